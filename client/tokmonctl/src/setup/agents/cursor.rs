//! Cursor: hooks in `hooks.json`, the MCP server in `mcp.json`.

use serde_json::json;

use super::{Agent, Content, Edit, Entry, Machine, Place, Plan, mark, server};

pub(super) fn plan(machine: &Machine) -> Plan {
    let agent = Agent::Cursor;
    let dir = machine.home.join(".cursor");
    // Without a timeout: which unit it has is not agreed on.
    let handler = json!({"command": machine.hook_line(agent)});
    let mut hooks = machine.hooks(agent, None, &handler);
    hooks.push(Edit {
        entry: Entry::Needed {
            path: vec!["version"],
            value: 1.into(),
        },
        mark: mark(agent),
    });
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
        notes: vec![
            "Cursor asks before each prompt, not between the calls of one turn: a turn that has begun goes on."
                .to_owned(),
        ],
    }
}
