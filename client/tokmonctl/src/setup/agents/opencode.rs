//! OpenCode: a plugin of ours, and the MCP server in `opencode.json`.

use serde_json::{Value, json};

use super::{Content, Machine, Place, Plan, existing};

/// The plugin; `TOKMONCTL` in it stands for the program.
const PLUGIN: &str = include_str!("opencode.js");
/// How its first line begins.
const MARK: &str = "// tokmon: ";

pub(super) fn plan(machine: &Machine) -> Plan {
    let dir = machine.dir("XDG_CONFIG_HOME", ".config").join("opencode");
    let program = Value::from(machine.ctl.as_str()).to_string();
    let server = |command: &str| json!({"type": "local", "command": [command], "enabled": true});
    Plan {
        places: vec![
            Place {
                file: dir.join("plugin/tokmon.js"),
                content: Content::Whole {
                    text: PLUGIN.replace("\"TOKMONCTL\"", &program),
                    mark: MARK,
                },
            },
            Place {
                file: existing(&dir, ["opencode.json", "opencode.jsonc"]),
                content: Content::Json(machine.mcp("mcp", server)),
            },
        ],
        notes: Vec::new(),
        only_at_prompts: false,
    }
}
