//! Cursor: hooks in `hooks.json`, the MCP server in `mcp.json`.

use serde_json::json;

use super::{Agent, Content, Machine, Place, Plan, server, version};

pub(super) fn plan(machine: &Machine) -> Plan {
    let agent = Agent::Cursor;
    let dir = machine.home.join(".cursor");
    // Without a timeout: which unit it has is not agreed on.
    let handler = json!({"command": machine.hook_line(agent)});
    let mut hooks = machine.hooks(agent, None, &handler);
    hooks.push(version(agent));
    Plan {
        places: vec![
            Place {
                file: dir.join("hooks.json"),
                content: Content::Json(hooks),
            },
            Place {
                file: dir.join("mcp.json"),
                content: Content::Json(machine.mcp("mcpServers", server)),
            },
        ],
        notes: Vec::new(),
        only_at_prompts: true,
    }
}
