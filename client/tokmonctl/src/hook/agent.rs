//! The agents, and at which of their events refusing keeps a model from being called.
//!
//! Refusing single tools is no gate: the model is called again with the refusal, and again.

use tokmon_client::Error;

use super::input::Message;
use crate::failure::invalid;

/// An agent with hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agent {
    /// Claude Code.
    ClaudeCode,
    /// Codex CLI.
    Codex,
    /// Gemini CLI.
    GeminiCli,
    /// GitHub Copilot CLI.
    CopilotCli,
    /// Qwen Code.
    QwenCode,
    /// Cursor.
    Cursor,
    /// OpenCode, by our plugin.
    OpenCode,
}

/// What may come of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// Refusing keeps a model from being called.
    Gate,
    /// Only taken note of.
    Signal,
    /// Not known to this program.
    Unknown,
}

impl Point {
    /// The word on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Point::Gate => "gate",
            Point::Signal => "signal",
            Point::Unknown => "",
        }
    }
}

/// Tools of Claude Code that call a model of their own before the next batch of tools has ended.
const CLAUDE_SUBAGENTS: [&str; 2] = ["Agent", "Task"];

impl Agent {
    /// All of them.
    pub(crate) const ALL: [Agent; 7] = [
        Agent::ClaudeCode,
        Agent::Codex,
        Agent::GeminiCli,
        Agent::CopilotCli,
        Agent::QwenCode,
        Agent::Cursor,
        Agent::OpenCode,
    ];

    /// The name in the ledger.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Agent::ClaudeCode => "claude-code",
            Agent::Codex => "codex",
            Agent::GeminiCli => "gemini-cli",
            Agent::CopilotCli => "copilot-cli",
            Agent::QwenCode => "qwen-code",
            Agent::Cursor => "cursor",
            Agent::OpenCode => "opencode",
        }
    }

    /// Reads a name, or the short one that people use.
    pub(crate) fn parse(text: &str) -> Option<Agent> {
        let short = match text {
            "claude" => "claude-code",
            "gemini" => "gemini-cli",
            "copilot" => "copilot-cli",
            "qwen" => "qwen-code",
            other => other,
        };
        Agent::ALL.into_iter().find(|agent| agent.name() == short)
    }

    /// The same, with an error that says which there are.
    pub(crate) fn named(text: &str) -> Result<Agent, Error> {
        Agent::parse(text).ok_or_else(|| {
            let names: Vec<_> = Agent::ALL.iter().map(|agent| agent.name()).collect();
            let (text, names) = (crate::show::clean(text), names.join(", "));
            invalid(format!("agent {text:?} has no hooks here; allowed is {names}"))
        })
    }

    /// The events at which refusing keeps a model from being called.
    pub(crate) fn gates(self) -> &'static [&'static str] {
        match self {
            Agent::ClaudeCode => &["UserPromptSubmit", "PostToolBatch", "PreCompact"],
            Agent::Codex | Agent::QwenCode => &["UserPromptSubmit"],
            Agent::GeminiCli => &["BeforeAgent", "BeforeModel"],
            Agent::CopilotCli => &["userPromptSubmitted"],
            Agent::Cursor => &["beforeSubmitPrompt"],
            Agent::OpenCode => &["chat.params"],
        }
    }

    /// The events at which refusing would save nothing, or at which an agent cannot be refused.
    fn signals(self) -> &'static [&'static str] {
        match self {
            Agent::ClaudeCode | Agent::Codex | Agent::QwenCode => &[
                "SessionStart",
                "SessionEnd",
                "Setup",
                "PreToolUse",
                "PostToolUse",
                "PostToolUseFailure",
                "PermissionRequest",
                "PermissionDenied",
                "Notification",
                "SubagentStart",
                "SubagentStop",
                "Stop",
                "StopFailure",
                "PreCompact",
                "PostCompact",
            ],
            Agent::GeminiCli => &[
                "SessionStart",
                "SessionEnd",
                "BeforeToolSelection",
                "AfterModel",
                "BeforeTool",
                "AfterTool",
                "AfterAgent",
                "PreCompress",
                "Notification",
            ],
            Agent::CopilotCli => &[
                "sessionStart",
                "sessionEnd",
                "preToolUse",
                "postToolUse",
                "agentStop",
                "subagentStop",
                "errorOccurred",
            ],
            Agent::Cursor => &[
                "sessionStart",
                "sessionEnd",
                "preToolUse",
                "postToolUse",
                "postToolUseFailure",
                "beforeShellExecution",
                "afterShellExecution",
                "beforeMCPExecution",
                "afterMCPExecution",
                "beforeReadFile",
                "afterFileEdit",
                "afterAgentResponse",
                "afterAgentThought",
                "subagentStart",
                "subagentStop",
                "preCompact",
                "stop",
            ],
            Agent::OpenCode => &["chat.message", "event"],
        }
    }

    /// What may come of a message.
    pub(crate) fn point(self, message: &Message) -> Point {
        let event = message.event.as_str();
        let subagent = self == Agent::ClaudeCode
            && event == "PreToolUse"
            && CLAUDE_SUBAGENTS.contains(&message.tool.as_str());
        if subagent || self.gates().contains(&event) {
            Point::Gate
        } else if self.signals().contains(&event) {
            Point::Signal
        } else {
            Point::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for agent in Agent::ALL {
            assert_eq!(Agent::parse(agent.name()), Some(agent));
        }
        assert_eq!(Agent::parse("claude"), Some(Agent::ClaudeCode));
        assert_eq!(Agent::parse("Claude"), None);
    }

    #[test]
    fn refusing_a_tool_is_no_gate_unless_it_calls_a_model() {
        let at = |agent: Agent, event: &str, tool: &str| {
            agent.point(&Message {
                event: event.to_owned(),
                tool: tool.to_owned(),
                ..Message::default()
            })
        };
        for (agent, event, tool, point) in [
            (Agent::ClaudeCode, "UserPromptSubmit", "", Point::Gate),
            (Agent::ClaudeCode, "PostToolBatch", "", Point::Gate),
            (Agent::ClaudeCode, "PreToolUse", "Bash", Point::Signal),
            (Agent::ClaudeCode, "PreToolUse", "Task", Point::Gate),
            (Agent::ClaudeCode, "Stop", "", Point::Signal),
            (Agent::ClaudeCode, "FromTheFuture", "", Point::Unknown),
            (Agent::ClaudeCode, "", "", Point::Unknown),
            (Agent::Codex, "UserPromptSubmit", "", Point::Gate),
            (Agent::Codex, "PreToolUse", "Task", Point::Signal),
            (Agent::GeminiCli, "BeforeModel", "", Point::Gate),
            (Agent::GeminiCli, "AfterModel", "", Point::Signal),
            (Agent::CopilotCli, "userPromptSubmitted", "", Point::Gate),
            (Agent::CopilotCli, "preToolUse", "bash", Point::Signal),
            (Agent::QwenCode, "UserPromptSubmit", "", Point::Gate),
            (Agent::Cursor, "beforeSubmitPrompt", "", Point::Gate),
            (Agent::OpenCode, "chat.params", "", Point::Gate),
        ] {
            assert_eq!(at(agent, event, tool), point, "{agent:?} {event} {tool}");
        }
    }
}
