//! Qwen Code: all of it in `settings.json`. Its timeouts are in milliseconds.

use serde_json::{Map, json};

use super::{Agent, Content, Machine, Place, Plan, Telemetry, server};

pub(super) fn plan(machine: &Machine) -> Plan {
    let agent = Agent::QwenCode;
    let handler = json!({
        "name": "tokmon",
        "type": "command",
        "command": machine.hook_line(agent),
        "timeout": 5000,
    });
    let mut edits = machine.hooks(agent, Some(Map::new()), &handler);
    edits.extend(machine.telemetry("telemetry", Telemetry::settings));
    edits.extend(machine.mcp("mcpServers", server));
    Plan {
        places: vec![Place {
            file: machine.home.join(".qwen/settings.json"),
            content: Content::Json(edits),
        }],
        notes: Vec::new(),
        only_at_prompts: false,
    }
}
