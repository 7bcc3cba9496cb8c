//! Claude Code: hooks, statusline and telemetry in `settings.json`, the MCP server in `.claude.json`.

use serde_json::{Map, json};

use super::{Agent, Content, Edit, Entry, Machine, Mark, Piece, Place, Plan, Telemetry, line, mark};

pub(super) fn plan(machine: &Machine) -> Plan {
    let (agent, dir) = (Agent::ClaudeCode, "CLAUDE_CONFIG_DIR");
    let handler = json!({
        "type": "command",
        "command": machine.ctl,
        "args": ["hook", agent.name()],
        "timeout": 5,
    });
    let mut settings = machine.hooks(agent, Some(Map::new()), &handler);
    // A subagent calls its model before the batch that started it has ended.
    settings.push(Edit {
        entry: Entry::Handler {
            path: vec!["hooks", "PreToolUse"],
            group: Some(Map::from_iter([("matcher".to_owned(), "Agent|Task".into())])),
            value: handler,
        },
        mark: mark(agent),
        piece: Piece::Hooks,
    });
    let line = json!({
        "type": "command",
        "command": line(&machine.ctl, &["statusline"]),
        "refreshInterval": 5,
    });
    settings.push(Edit {
        entry: Entry::Member {
            path: vec!["statusLine"],
            value: line,
        },
        mark: Mark::Command {
            program: "tokmonctl",
            words: vec!["statusline"],
        },
        piece: Piece::Statusline,
    });
    settings.extend(machine.telemetry("env", Telemetry::variables));
    // Without the variable this file lies beside the directory, not in it.
    let state =
        (machine.var)(dir).map_or_else(|| machine.home.join(".claude.json"), |d| d.join(".claude.json"));
    let server = |command: &str| json!({"type": "stdio", "command": command, "args": [], "env": {}});
    Plan {
        places: vec![
            Place {
                file: machine.dir(dir, ".claude").join("settings.json"),
                content: Content::Json(settings),
            },
            Place {
                file: state,
                content: Content::Json(machine.mcp("mcpServers", server)),
            },
        ],
        notes: vec![(
            Piece::Hooks,
            "Sessions of Claude Code that run already take it over when they are started again.".to_owned(),
        )],
        only_at_prompts: false,
    }
}
