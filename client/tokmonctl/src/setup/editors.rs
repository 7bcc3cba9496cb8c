//! Programs with a window that take an MCP server and nothing else of ours: one row each.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::agents::{Content, Machine, Place, Plan, server};

/// One of them.
#[derive(Debug)]
pub(super) struct Editor {
    pub(super) name: &'static str,
    /// A program by which it is there, beside the directories of its files.
    pub(super) program: Option<&'static str>,
    /// Every file that it may read, each of them only where its directory is there.
    files: fn(&Machine) -> Vec<PathBuf>,
    /// The member that holds the servers.
    table: &'static str,
    /// The entry of our command.
    shape: fn(&str) -> Value,
}

/// Where Visual Studio Code and what was made of it keep what is the user's.
const FAMILY: [&str; 4] = ["Code", "Code - Insiders", "VSCodium", "Cursor"];

/// All of them.
pub(super) const EDITORS: [Editor; 7] = [
    Editor {
        name: "vscode",
        program: Some("code"),
        files: |machine| {
            let user = |name: &&str| machine.config.join(name).join("User/mcp.json");
            FAMILY[..3].iter().map(user).collect()
        },
        table: "servers",
        shape: |command| json!({"type": "stdio", "command": command, "args": []}),
    },
    Editor {
        name: "windsurf",
        program: Some("windsurf"),
        files: |machine| vec![machine.home.join(".codeium/windsurf/mcp_config.json")],
        table: "mcpServers",
        shape: server,
    },
    Editor {
        name: "zed",
        program: Some("zed"),
        files: |machine| {
            let dir = match cfg!(target_os = "macos") {
                true => machine.home.join(".config"),
                false => machine.config.clone(),
            };
            vec![dir.join("zed/settings.json")]
        },
        table: "context_servers",
        shape: |command| json!({"source": "custom", "command": command, "args": [], "env": {}}),
    },
    Editor {
        name: "claude-desktop",
        program: None,
        files: |machine| {
            // Both spellings are told of on Linux; on macOS they are the same.
            let names: &[&str] = if cfg!(target_os = "macos") {
                &["Claude"]
            } else {
                &["Claude", "claude"]
            };
            let file = |name: &&str| machine.config.join(name).join("claude_desktop_config.json");
            names.iter().map(file).collect()
        },
        table: "mcpServers",
        shape: server,
    },
    Editor {
        name: "cline",
        program: None,
        files: |machine| {
            let mut files = extension(machine, "saoudrizwan.claude-dev/settings/cline_mcp_settings.json");
            files.push(machine.home.join(".cline/data/settings/cline_mcp_settings.json"));
            files
        },
        table: "mcpServers",
        shape: server,
    },
    Editor {
        name: "roo-code",
        program: None,
        files: |machine| extension(machine, "rooveterinaryinc.roo-cline/settings/mcp_settings.json"),
        table: "mcpServers",
        shape: server,
    },
    Editor {
        name: "kilo-code",
        program: None,
        files: |machine| extension(machine, "kilocode.kilo-code/settings/mcp_settings.json"),
        table: "mcpServers",
        shape: server,
    },
];

/// The file of an extension in each editor that may have it.
fn extension(machine: &Machine, file: &str) -> Vec<PathBuf> {
    let of = |name: &&str| machine.config.join(name).join("User/globalStorage").join(file);
    FAMILY.iter().map(of).collect()
}

impl Editor {
    /// The files whose directories are there. One that the program itself would make first is named all the same when
    /// the program is there.
    fn places(&self, machine: &Machine) -> Vec<PathBuf> {
        let all = (self.files)(machine);
        let first = all.first().cloned();
        let there: Vec<PathBuf> = all
            .into_iter()
            .filter(|file| file.parent().is_some_and(|dir| dir.is_dir()))
            .collect();
        match self.program {
            Some(program) if there.is_empty() && machine.program(program) => first.into_iter().collect(),
            _ => there,
        }
    }

    /// Whether it is on this machine.
    pub(super) fn is_present(&self, machine: &Machine) -> bool {
        !self.places(machine).is_empty()
    }

    /// What belongs into its configuration.
    pub(super) fn plan(&self, machine: &Machine) -> Plan {
        let places = self.places(machine).into_iter().map(|file| Place {
            file,
            content: Content::Json(machine.mcp(self.table, self.shape)),
        });
        Plan {
            places: places.collect(),
            notes: Vec::new(),
            only_at_prompts: false,
        }
    }
}
