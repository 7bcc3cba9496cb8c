//! Codex CLI: hooks in `hooks.json`, the MCP server in `config.toml`.

use serde_json::{Map, json};
use toml_edit::DocumentMut;

use super::{Agent, Content, Entry, Machine, Piece, Place, Plan, server, telemetry};

pub(super) fn plan(machine: &Machine) -> Plan {
    let agent = Agent::Codex;
    let dir = machine.dir("CODEX_HOME", ".codex");
    let handler = json!({"type": "command", "command": machine.hook_line(agent), "timeout": 5});
    let mut notes = vec![(
        Piece::Hooks,
        "Codex runs a hook only after you have trusted it: start codex, enter /hooks, and trust the one of \
         tokmonctl. Until then it is silently skipped; `codex exec` can be told to trust all hooks with \
         --dangerously-bypass-hook-trust."
            .to_owned(),
    )];
    let mut config = machine.mcp("mcp_servers", server);
    config.extend(machine.telemetry.as_ref().map(|telemetry| {
        telemetry::edit(Entry::Member {
            path: vec!["otel", "exporter"],
            value: telemetry.exporter(),
        })
    }));
    if is_off(&dir.join("config.toml")) {
        let off = "Hooks are switched off in config.toml ([features] hooks = false): no hook will run.";
        notes.push((Piece::Hooks, off.to_owned()));
    }
    Plan {
        places: vec![
            Place {
                file: dir.join("hooks.json"),
                content: Content::Json(machine.hooks(agent, Some(Map::new()), &handler)),
            },
            Place {
                file: dir.join("config.toml"),
                content: Content::Toml(config),
            },
        ],
        notes,
        only_at_prompts: true,
    }
}

/// Whether the user has switched hooks off, by the present name of the feature or the former one.
fn is_off(config: &std::path::Path) -> bool {
    let document: Option<DocumentMut> = std::fs::read_to_string(config)
        .ok()
        .and_then(|text| text.parse().ok());
    let features = document.as_ref().and_then(|d| d.get("features"));
    let feature = |name| {
        features
            .and_then(|f| f.get(name))
            .and_then(|value| value.as_bool())
    };
    ["hooks", "codex_hooks"]
        .into_iter()
        .any(|name| feature(name) == Some(false))
}
