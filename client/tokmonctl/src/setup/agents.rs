//! What belongs into each agent's configuration: one file per agent.

mod claude_code;
mod codex;
mod copilot_cli;
mod cursor;
mod gemini_cli;
mod opencode;
mod qwen_code;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::edit::{Edit, Entry, Mark, line};
use crate::hook::Agent;

/// A file of an agent and what is to stand in it.
#[derive(Debug)]
pub(super) struct Place {
    /// The file, as the agent names it.
    pub(super) file: PathBuf,
    /// What of ours.
    pub(super) content: Content,
}

/// What is ours of a file.
#[derive(Debug)]
pub(super) enum Content {
    /// Entries in JSON, with comments or without.
    Json(Vec<Edit>),
    /// Entries in TOML.
    Toml(Vec<Edit>),
    /// All of it. The mark stands in the first line of every version of it.
    Whole {
        /// The text.
        text: String,
        /// What only our file has in its beginning.
        mark: &'static str,
    },
}

/// Everything about one agent.
#[derive(Debug)]
pub(super) struct Plan {
    /// The files.
    pub(super) places: Vec<Place>,
    /// What the user has to do or to know.
    pub(super) notes: Vec<String>,
}

/// Where things are on this machine.
pub(super) struct Machine {
    /// The user's home.
    pub(super) home: PathBuf,
    /// A directory that an environment variable names.
    pub(super) var: fn(&str) -> Option<PathBuf>,
    /// `tokmonctl`, absolute: agents with a window have no shell's path.
    pub(super) ctl: String,
    /// `tokmon-mcp`; `None`: it is not installed.
    pub(super) mcp: Option<String>,
}

impl Machine {
    /// The directory that a variable names, or the usual one in the home.
    fn dir(&self, var: &str, usual: &str) -> PathBuf {
        (self.var)(var).unwrap_or_else(|| self.home.join(usual))
    }

    /// The hook's command as a line for a shell.
    fn hook_line(&self, agent: Agent) -> String {
        line(&self.ctl, &["hook", agent.name()])
    }

    /// A handler at each of the agent's gates.
    fn hooks(&self, agent: Agent, group: Option<Map<String, Value>>, handler: &Value) -> Vec<Edit> {
        let gates = agent.gates().iter().map(|event| Edit {
            entry: Entry::Handler {
                path: vec!["hooks", event],
                group: group.clone(),
                value: handler.clone(),
            },
            mark: mark(agent),
        });
        gates.collect()
    }

    /// The MCP server as a member of a table of servers; `shape` makes the entry of its command.
    fn mcp(&self, table: &'static str, shape: impl FnOnce(&str) -> Value) -> Vec<Edit> {
        let server = self.mcp.as_deref().map(|command| Edit {
            entry: Entry::Member {
                path: vec![table, "tokmon"],
                value: shape(command),
            },
            mark: Mark {
                program: "tokmon-mcp",
                words: Vec::new(),
            },
        });
        server.into_iter().collect()
    }
}

/// By what an agent's hook is known again.
fn mark(agent: Agent) -> Mark {
    Mark {
        program: "tokmonctl",
        words: vec!["hook", agent.name()],
    }
}

/// The usual entry of an MCP server.
fn server(command: &str) -> Value {
    json!({"command": command, "args": []})
}

/// What belongs into an agent's configuration.
pub(super) fn plan(agent: Agent, machine: &Machine) -> Plan {
    match agent {
        Agent::ClaudeCode => claude_code::plan(machine),
        Agent::Codex => codex::plan(machine),
        Agent::GeminiCli => gemini_cli::plan(machine),
        Agent::CopilotCli => copilot_cli::plan(machine),
        Agent::QwenCode => qwen_code::plan(machine),
        Agent::Cursor => cursor::plan(machine),
        Agent::OpenCode => opencode::plan(machine),
    }
}

/// The first of these files that is there, or the first.
fn existing(dir: &Path, names: [&str; 2]) -> PathBuf {
    let [first, second] = names.map(|name| dir.join(name));
    if !first.exists() && second.exists() {
        second
    } else {
        first
    }
}
