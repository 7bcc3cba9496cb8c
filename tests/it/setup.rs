//! Setup: our entries go into an agent's own configuration and out of it again; what is not ours stays to the byte.

mod several;

use std::path::PathBuf;

use serde_json::Value;
use tokmon_tests::env::Env;

const AGENTS: [&str; 7] = [
    "claude-code",
    "codex",
    "gemini-cli",
    "copilot-cli",
    "qwen-code",
    "cursor",
    "opencode",
];

/// The files that setup names for an agent.
fn files(env: &Env, agent: &str) -> Vec<PathBuf> {
    let plan = env.ctl_json(&["setup", agent, "--dry-run"]);
    let files = plan["files"].as_array().expect("files");
    let path = |file: &Value| PathBuf::from(file["path"].as_str().expect("a path"));
    files.iter().map(path).collect()
}

fn actions(plan: &Value) -> Vec<&str> {
    let files = plan["files"].as_array().expect("files");
    files.iter().filter_map(|file| file["action"].as_str()).collect()
}

#[test]
fn every_agent_is_set_up_in_its_own_home_once_and_taken_out_without_a_trace() {
    let env = Env::new();
    for agent in AGENTS {
        let files = files(&env, agent);
        assert!(
            files.iter().all(|file| !file.exists()),
            "{agent}: a dry run writes nothing"
        );
        assert!(
            files.iter().all(|file| file.starts_with(env.path(""))),
            "{agent}: {files:?}"
        );
        let first = env.ctl_json(&["setup", agent, "--yes"]);
        assert!(actions(&first).iter().all(|a| *a == "create"), "{agent}: {first}");
        let mut said = String::new();
        for file in &files {
            said.push_str(
                &std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())),
            );
        }
        for part in ["tokmonctl", "hook", agent, "tokmon-mcp"] {
            assert!(said.contains(part), "{agent}: no {part} in\n{said}");
        }
        let second = env.ctl_json(&["setup", agent, "--yes"]);
        assert!(actions(&second).iter().all(|a| *a == "none"), "{agent}: {second}");
        let undone = env.ctl_json(&["setup", agent, "--undo", "--yes"]);
        assert!(!actions(&undone).contains(&"none"), "{agent}: {undone}");
        for file in &files {
            assert!(!file.exists(), "{agent}: {} is left", file.display());
        }
        let again = env.ctl_json(&["setup", agent, "--undo", "--yes"]);
        assert!(actions(&again).iter().all(|a| *a == "none"), "{agent}: {again}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_with_comments_behind_a_link_is_itself_again_afterwards() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let env = Env::new();
    let (dots, settings) = (env.path("dots.json"), env.claude().join("settings.json"));
    let text = "{\n  // mine\n  \"model\": \"opus\",\n  \"hooks\": {\"Stop\": [{\"hooks\": [{\"type\": \"command\", \
                \"command\": \"say done\"}]}]}, // loud\n}\n";
    std::fs::write(&dots, text).expect("the file");
    std::fs::set_permissions(&dots, std::fs::Permissions::from_mode(0o640)).expect("its mode");
    symlink(&dots, &settings).expect("a link");

    let diff = env.ctl(&["setup", "claude-code", "--dry-run"]).success().stdout;
    for line in ["--- /tmp", "@@ ", "+    \"UserPromptSubmit\": [", "   // mine"] {
        assert!(
            diff.lines().any(|l| l.starts_with(line)),
            "no {line:?} in\n{diff}"
        );
    }
    assert!(
        !diff.lines().any(|l| l.starts_with('-') && l.contains("mine")),
        "{diff}"
    );
    let done = env.ctl(&["setup", "claude-code", "--yes"]).success().stdout;
    assert!(done.contains("former version"), "{done}");
    let with = std::fs::read_to_string(&dots).expect("the file");
    assert!(
        with.contains("// mine") && with.contains("// loud") && with.contains("PostToolBatch"),
        "{with}"
    );
    assert!(std::fs::symlink_metadata(&settings).expect("a link").is_symlink());
    assert_eq!(
        std::fs::metadata(&dots).expect("the file").permissions().mode() & 0o777,
        0o640
    );

    env.ctl(&["setup", "claude-code", "--undo", "--yes"]).success();
    assert_eq!(std::fs::read_to_string(&dots).expect("the file"), text);

    // And when the user has changed something in between, that stays.
    env.ctl(&["setup", "claude-code", "--yes"]).success();
    let with = std::fs::read_to_string(&dots).expect("the file");
    std::fs::write(&dots, with.replace("\"opus\"", "\"haiku\"")).expect("the file");
    env.ctl(&["setup", "claude-code", "--undo", "--yes"]).success();
    let rest = std::fs::read_to_string(&dots).expect("the file");
    let words = |text: &str| -> String { text.split_whitespace().collect() };
    assert_eq!(words(&rest), words(&text.replace("\"opus\"", "\"haiku\"")));
}

#[test]
fn a_broken_file_is_named_and_nothing_at_all_is_written() {
    let env = Env::new();
    let hooks = env.codex().join("hooks.json");
    let config = env.codex().join("config.toml");
    std::fs::write(&config, "model = \n").expect("the file");
    env.ctl(&["setup", "codex", "--yes"]).exits(64).complains(&[
        "config.toml",
        "not TOML",
        "nothing was changed",
    ]);
    assert!(!hooks.exists());
    std::fs::write(&config, "model = \"gpt-5\" # mine\n").expect("the file");
    std::fs::write(&hooks, "{\"hooks\": [").expect("the file");
    env.ctl(&["setup", "codex", "--yes"])
        .exits(64)
        .complains(&["hooks.json", "not JSON"]);
    assert_eq!(
        std::fs::read_to_string(&config).expect("the file"),
        "model = \"gpt-5\" # mine\n"
    );
    env.ctl(&["setup", "emacs", "--yes"])
        .exits(64)
        .complains(&["claude-code"]);
}

#[test]
fn what_is_not_ours_is_left_and_said() {
    let env = Env::new();
    std::fs::write(
        env.codex().join("config.toml"),
        "[mcp_servers.tokmon]\ncommand = \"other\"\n",
    )
    .expect("the file");
    let said = env.ctl(&["setup", "codex", "--yes"]).success().stdout;
    assert!(said.contains("mcp_servers.tokmon` that is not ours"), "{said}");
    assert!(said.contains("/hooks"), "the user has to trust the hook: {said}");
    let plugin = env.path("home/.config/opencode/plugin/tokmon.js");
    std::fs::create_dir_all(plugin.parent().expect("a directory")).expect("a directory");
    std::fs::write(&plugin, "// mine\n").expect("the file");
    env.ctl(&["setup", "opencode", "--yes"])
        .exits(64)
        .complains(&["not ours"]);
    env.ctl(&["setup", "opencode", "--undo", "--yes"]).success();
    assert_eq!(std::fs::read_to_string(&plugin).expect("the file"), "// mine\n");
}
