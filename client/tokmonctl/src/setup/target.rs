//! Whom setup can set up: agents with hooks, editors, and tokmon's own configuration with them.

use tokmon_client::Error;

use super::agents::{self, Machine, Plan};
use super::editors::{EDITORS, Editor};
use crate::failure::invalid;
use crate::hook::Agent;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// An agent with hooks.
    Agent(Agent),
    /// A program that takes the MCP server only.
    Editor(&'static Editor),
}

impl Target {
    /// All of them, in the order in which they are shown.
    pub(super) fn all() -> impl Iterator<Item = Target> {
        let agents = Agent::ALL.into_iter().map(Target::Agent);
        agents.chain(EDITORS.iter().map(Target::Editor))
    }

    /// The one of that name.
    pub(super) fn named(text: &str) -> Result<Target, Error> {
        if let Some(agent) = Agent::parse(text) {
            return Ok(Target::Agent(agent));
        }
        Target::all().find(|target| target.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Target::all().map(Target::name).collect();
            let text = crate::show::clean(text);
            invalid(format!(
                "nothing is known of an agent {text:?}; allowed is {}",
                names.join(", ")
            ))
        })
    }

    /// Its name, the same as in the ledger.
    pub(super) fn name(self) -> &'static str {
        match self {
            Target::Agent(agent) => agent.name(),
            Target::Editor(editor) => editor.name,
        }
    }

    /// Whether it is on this machine: its directory, or its program.
    pub(super) fn is_present(self, machine: &Machine) -> bool {
        match self {
            Target::Agent(agent) => agents::is_present(agent, machine),
            Target::Editor(editor) => editor.is_present(machine),
        }
    }

    /// What belongs into its configuration.
    pub(super) fn plan(self, machine: &Machine) -> Plan {
        match self {
            Target::Agent(agent) => agents::plan(agent, machine),
            Target::Editor(editor) => editor.plan(machine),
        }
    }

    /// The name under which the daemon reads its files, if it does.
    pub(super) fn source(self) -> Option<&'static str> {
        match self.name() {
            "vscode" | "windsurf" | "claude-desktop" => None,
            name => Some(name),
        }
    }
}
