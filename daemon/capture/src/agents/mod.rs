//! One parser per agent. Pure: bytes and the parser's own state in, observations and failures out.

/// An agent whose files are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Agent {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// OpenAI's Codex CLI.
    Codex,
}

impl Agent {
    /// Every agent.
    pub const ALL: [Agent; 2] = [Agent::ClaudeCode, Agent::Codex];

    /// The agent's name in records, configuration and status.
    pub fn name(self) -> &'static str {
        match self {
            Agent::ClaudeCode => "claude-code",
            Agent::Codex => "codex",
        }
    }

    /// The inverse of [`Agent::name`].
    pub fn parse(name: &str) -> Option<Agent> {
        Agent::ALL.into_iter().find(|agent| agent.name() == name)
    }

    /// The kind of source in a record's provenance.
    pub fn source_kind(self) -> &'static str {
        match self {
            Agent::ClaudeCode => "claude-code-transcript",
            Agent::Codex => "codex-rollout",
        }
    }
}
