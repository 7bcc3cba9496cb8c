//! What each agent understands as a refusal: the least that it accepts. Codex ignores an answer with one field that it
//! does not know, so there is no common form.

use serde_json::{Value, json};

use super::agent::Agent;
use super::input::Message;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Allow,
    /// Not now.
    Deny,
    /// Not now, and end what is under way.
    Stop,
}

impl Verdict {
    /// Reads the daemon's word. One that is not known was meant to be heard.
    pub(crate) fn of(word: &str) -> Verdict {
        match word {
            "allow" => Verdict::Allow,
            "stop" => Verdict::Stop,
            _ => Verdict::Deny,
        }
    }
}

/// What this process leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// For the agent.
    pub(crate) stdout: String,
    /// For the user, where the agent shows it.
    pub(crate) stderr: String,
    /// The exit code.
    pub(crate) code: u8,
}

/// With it agents refuse whatever was about to happen, where they can, and show standard error.
const BLOCK: u8 = 2;

impl Reply {
    /// Go on.
    pub(crate) fn silent() -> Reply {
        Reply {
            stdout: String::new(),
            stderr: String::new(),
            code: 0,
        }
    }

    fn json(value: &Value) -> Reply {
        Reply {
            stdout: format!("{value}\n"),
            ..Reply::silent()
        }
    }

    fn block(reason: &str) -> Reply {
        Reply {
            stdout: String::new(),
            stderr: format!("{reason}\n"),
            code: BLOCK,
        }
    }
}

impl Agent {
    /// The reply to a message.
    pub(crate) fn reply(self, message: &Message, verdict: Verdict, reason: &str) -> Reply {
        if verdict == Verdict::Allow {
            return Reply::silent();
        }
        let stop = verdict == Verdict::Stop;
        let block = || Reply::json(&json!({"decision": "block", "reason": reason}));
        let end = || Reply::json(&json!({"continue": false, "stopReason": reason}));
        match (self, message.event.as_str()) {
            (Agent::ClaudeCode, "PreToolUse") => Reply::json(&json!({"hookSpecificOutput": {
                "hookEventName": "PreToolUse",
                "permissionDecision": "deny",
                "permissionDecisionReason": reason,
            }})),
            (Agent::ClaudeCode | Agent::Codex | Agent::QwenCode, event) if self.gates().contains(&event) => {
                if stop && event != "PreCompact" {
                    end()
                } else {
                    block()
                }
            }
            (Agent::GeminiCli, "BeforeAgent" | "BeforeModel") if stop => Reply::json(
                &json!({"decision": "deny", "reason": reason, "continue": false, "stopReason": reason}),
            ),
            (Agent::GeminiCli, "BeforeAgent" | "BeforeModel") => {
                Reply::json(&json!({"decision": "deny", "reason": reason}))
            }
            (Agent::CopilotCli, "userPromptSubmitted") | (Agent::OpenCode, _) => block(),
            (Agent::Cursor, "beforeSubmitPrompt") => {
                Reply::json(&json!({"continue": false, "user_message": reason}))
            }
            _ => Reply::block(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(agent: Agent, event: &str, verdict: Verdict) -> Reply {
        let message = Message {
            event: event.to_owned(),
            ..Message::default()
        };
        agent.reply(&message, verdict, "why \"not\"")
    }

    #[test]
    fn whoever_may_go_on_hears_nothing() {
        for agent in Agent::ALL {
            for event in agent.gates().iter().chain(&["", "Unheard"]) {
                assert_eq!(reply(agent, event, Verdict::Allow), Reply::silent());
            }
        }
    }

    #[test]
    fn every_refusal_carries_its_reason_in_one_place_that_the_agent_reads() {
        for agent in Agent::ALL {
            for event in agent.gates() {
                for verdict in [Verdict::Deny, Verdict::Stop] {
                    let reply = reply(agent, event, verdict);
                    let told: Value = serde_json::from_str(&reply.stdout).unwrap();
                    let fields = ["reason", "stopReason", "user_message"];
                    let reasons = fields.iter().filter(|f| told[**f] == "why \"not\"").count();
                    assert!(reasons > 0, "{agent:?} {event}: {told}");
                    assert_eq!((reply.code, reply.stderr.as_str()), (0, ""));
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_exit_code() {
        let refused = reply(Agent::ClaudeCode, "FromTheFuture", Verdict::Deny);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
        assert!(refused.stderr.contains("why"));
    }
}
