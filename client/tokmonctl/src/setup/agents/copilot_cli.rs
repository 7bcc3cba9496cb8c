//! GitHub Copilot CLI: a file of our own among the user's hooks, the MCP server in `mcp-config.json`.

use serde_json::json;

use super::{Agent, Content, Machine, Piece, Place, Plan, version};

pub(super) fn plan(machine: &Machine) -> Plan {
    let agent = Agent::CopilotCli;
    let dir = machine.dir("COPILOT_HOME", ".copilot");
    let handler = json!({"type": "command", "bash": machine.hook_line(agent), "timeoutSec": 5});
    let mut hooks = machine.hooks(agent, None, &handler);
    hooks.push(version(agent));
    let server = |command: &str| json!({"type": "local", "command": command, "args": [], "tools": ["*"]});
    Plan {
        places: vec![
            Place {
                file: dir.join("hooks/tokmon.json"),
                content: Content::Json(hooks),
            },
            Place {
                file: dir.join("mcp-config.json"),
                content: Content::Json(machine.mcp("mcpServers", server)),
            },
        ],
        notes: vec![(
            Piece::Telemetry,
            "Copilot CLI takes where to send telemetry from its environment only (see \"Telemetry\" in the README); \
             what it used is read from its own files."
                .to_owned(),
        )],
        only_at_prompts: true,
    }
}
