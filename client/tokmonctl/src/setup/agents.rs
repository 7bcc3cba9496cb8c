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
use super::piece::Piece;
use super::telemetry::{self, Telemetry};
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
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Entries in JSON, with comments or without.
    Json(Vec<Edit>),
    /// Entries in TOML.
    Toml(Vec<Edit>),
    /// The switch of the receiver of telemetry in tokmon's own configuration.
    Own,
    /// Nothing.
    Nothing,
    /// All of it, for hooks. The mark stands in the first line of every version of it.
    Whole {
        /// The text.
        text: String,
        /// What only our file has in its beginning.
        mark: &'static str,
    },
}

impl Content {
    /// What of it belongs to these pieces.
    pub(super) fn only(&self, pieces: &[Piece]) -> Content {
        let chosen = |edits: &[Edit]| -> Vec<Edit> {
            let chosen = edits.iter().filter(|edit| pieces.contains(&edit.piece));
            chosen.cloned().collect()
        };
        match self {
            Content::Json(edits) => Content::Json(chosen(edits)),
            Content::Toml(edits) => Content::Toml(chosen(edits)),
            Content::Own if pieces.contains(&Piece::Telemetry) => Content::Own,
            Content::Whole { .. } if pieces.contains(&Piece::Hooks) => self.clone(),
            Content::Own | Content::Nothing | Content::Whole { .. } => Content::Nothing,
        }
    }

    /// Whether there is nothing to put in.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Content::Json(edits) | Content::Toml(edits) => edits.is_empty(),
            Content::Nothing => true,
            Content::Own | Content::Whole { .. } => false,
        }
    }
}

/// Everything about one agent.
#[derive(Debug)]
pub(super) struct Plan {
    /// The files.
    pub(super) places: Vec<Place>,
    /// What the user has to do or to know when a piece is put in.
    pub(super) notes: Vec<(Piece, String)>,
    /// Its hooks ask before each prompt, not between the calls of one turn.
    pub(super) only_at_prompts: bool,
}

/// Where things are on this machine.
pub(super) struct Machine {
    /// The user's home.
    pub(super) home: PathBuf,
    /// Where programs with a window keep what is the user's.
    pub(super) config: PathBuf,
    /// A directory that an environment variable names.
    pub(super) var: fn(&str) -> Option<PathBuf>,
    /// `tokmonctl`, absolute: agents with a window have no shell's path.
    pub(super) ctl: String,
    /// `tokmon-mcp`; `None`: it is not installed.
    pub(super) mcp: Option<String>,
    /// Where telemetry goes; `None`: nobody can be told.
    pub(super) telemetry: Option<Telemetry>,
}

impl Machine {
    /// The directory that a variable names, or the usual one in the home.
    fn dir(&self, var: &str, usual: &str) -> PathBuf {
        (self.var)(var).unwrap_or_else(|| self.home.join(usual))
    }

    /// Whether a program of that name is on the path.
    pub(super) fn program(&self, name: &str) -> bool {
        on_path(name).is_some()
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
            piece: Piece::Hooks,
        });
        gates.collect()
    }

    /// Telemetry as members of an object, each of which means nothing without the others.
    fn telemetry(
        &self,
        object: &'static str,
        members: impl FnOnce(&Telemetry) -> Map<String, Value>,
    ) -> Vec<Edit> {
        let entry = self.telemetry.as_ref().map(|telemetry| Entry::Group {
            path: vec![object],
            members: members(telemetry),
        });
        entry.map(telemetry::edit).into_iter().collect()
    }

    /// The MCP server as a member of a table of servers; `shape` makes the entry of its command.
    pub(super) fn mcp(&self, table: &'static str, shape: impl FnOnce(&str) -> Value) -> Vec<Edit> {
        let server = self.mcp.as_deref().map(|command| Edit {
            entry: Entry::Member {
                path: vec![table, "tokmon"],
                value: shape(command),
            },
            mark: Mark::Command {
                program: "tokmon-mcp",
                words: Vec::new(),
            },
            piece: Piece::Mcp,
        });
        server.into_iter().collect()
    }
}

/// Where a program of that name is on the path.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path)
        .map(|dir| dir.join(&name))
        .find(|file| file.is_file())
}

/// By what an agent's hook is known again.
fn mark(agent: Agent) -> Mark {
    Mark::Command {
        program: "tokmonctl",
        words: vec!["hook", agent.name()],
    }
}

/// A number that some agents want to read first in a file of hooks.
fn version(agent: Agent) -> Edit {
    Edit {
        entry: Entry::Needed {
            path: vec!["version"],
            value: 1.into(),
        },
        mark: mark(agent),
        piece: Piece::Hooks,
    }
}

/// The usual entry of an MCP server.
pub(super) fn server(command: &str) -> Value {
    json!({"command": command, "args": []})
}

/// Whether an agent is on this machine: its directory, or its program.
pub(super) fn is_present(agent: Agent, machine: &Machine) -> bool {
    let (dir, program) = match agent {
        Agent::ClaudeCode => (machine.dir("CLAUDE_CONFIG_DIR", ".claude"), "claude"),
        Agent::Codex => (machine.dir("CODEX_HOME", ".codex"), "codex"),
        Agent::GeminiCli => (machine.home.join(".gemini"), "gemini"),
        Agent::CopilotCli => (machine.dir("COPILOT_HOME", ".copilot"), "copilot"),
        Agent::QwenCode => (machine.home.join(".qwen"), "qwen"),
        Agent::Cursor => (machine.home.join(".cursor"), "cursor"),
        Agent::OpenCode => (
            machine.dir("XDG_CONFIG_HOME", ".config").join("opencode"),
            "opencode",
        ),
    };
    dir.is_dir() || machine.program(program)
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
