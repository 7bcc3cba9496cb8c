//! Setup of all agents at once, of single pieces, and of editors.

use std::path::PathBuf;

use serde_json::Value;
use tokmon_tests::env::Env;

use super::actions;

/// Files of several agents as people have them, with what is theirs in our places.
const THEIRS: [(&str, &str); 6] = [
    (
        "claude/settings.json",
        "{\n  // mine\n  \"model\": \"opus\",\n  \"statusLine\": {\"type\": \"command\", \"command\": \"mine.sh\"}, /* blue */\n}\n",
    ),
    (
        "codex/config.toml",
        "model = \"gpt-5\" # good\n\n[otel]\nenvironment = \"dev\"\n\n[mcp_servers.x]\ncommand = \"y\"\n",
    ),
    (
        "home/.gemini/settings.json",
        "{\"telemetry\": {\"enabled\": false}}",
    ),
    ("home/.qwen/settings.json", "{\r\n\t\"a\": 1 // one\r\n}\r\n"),
    (
        "home/.config/Code/User/mcp.json",
        "{\"servers\": {\"other\": {\"command\": \"z\"}}, \"inputs\": []}",
    ),
    (
        "home/.config/zed/settings.json",
        "{\n  // a theme\n  \"theme\": \"One\",\n}\n",
    ),
];

fn several() -> Env {
    let mut env = Env::new();
    env.set_var("TOKMON_OTLP_LISTEN", "127.0.0.1:14399");
    for (file, text) in THEIRS {
        let file = env.path(file);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        std::fs::write(file, text).expect("the file");
    }
    env.write_config("# tokmon\ntimezone = \"UTC\" # always\n");
    env
}

/// Every file below the home of all agents and of tokmon, but for what setup remembers, with its mode.
fn all_files(env: &Env) -> Vec<(PathBuf, u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt as _;
    let (mut dirs, mut files) = (vec![env.path("")], Vec::new());
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path == env.path("tokmon/state") {
            } else if path.is_dir() {
                dirs.push(path);
            } else {
                let mode = path.metadata().expect("the file").permissions().mode();
                let bytes = std::fs::read(&path).expect("the file");
                files.push((path, mode, bytes));
            }
        }
    }
    files.sort();
    files
}

fn state<'a>(answer: &'a Value, agent: &str, piece: &str) -> &'a str {
    let agents = answer["agents"].as_array().expect("agents");
    let found = agents.iter().find(|a| a["agent"] == agent);
    let found = found.unwrap_or_else(|| panic!("no {agent} in {answer}"));
    found["pieces"][piece].as_str().expect("a state")
}

#[test]
fn all_that_is_here_is_set_up_at_once_and_given_back_to_the_byte() {
    let env = several();
    let before = all_files(&env);
    let diff = env.ctl(&["setup", "--dry-run"]).success();
    assert!(diff.stdout.contains("x-tokmon-token=…"), "{}", diff.stdout);
    assert!(diff.stderr.contains("Statusline"), "{}", diff.stderr);
    assert_eq!(all_files(&env), before, "a dry run writes nothing");
    assert!(!env.paths().otlp_token_file().exists());

    let done = env.ctl_json(&["setup", "--yes"]);
    for (agent, piece, word) in [
        ("claude-code", "hooks", "add"),
        ("claude-code", "statusline", "foreign"),
        ("claude-code", "telemetry", "add"),
        ("codex", "telemetry", "add"),
        ("codex", "statusline", "none"),
        ("gemini-cli", "telemetry", "foreign"),
        ("qwen-code", "telemetry", "add"),
        ("vscode", "mcp", "add"),
        ("zed", "mcp", "add"),
        ("zed", "hooks", "none"),
    ] {
        assert_eq!(state(&done, agent, piece), word, "{agent} {piece}");
    }
    let token = std::fs::read_to_string(env.paths().otlp_token_file()).expect("the token");
    let holders: Vec<_> = all_files(&env)
        .into_iter()
        .filter(|(_, _, bytes)| String::from_utf8_lossy(bytes).contains(token.trim()))
        .collect();
    assert_eq!(holders.len(), 3, "Claude Code, Codex, Qwen Code");
    assert!(
        holders.iter().all(|(_, mode, _)| mode & 0o077 == 0),
        "{holders:?}"
    );
    let config = std::fs::read_to_string(env.tokmon_home().join("config.toml")).expect("config.toml");
    assert!(
        config.starts_with("# tokmon\ntimezone = \"UTC\" # always\n") && config.contains("enabled = true"),
        "{config}"
    );

    let with = all_files(&env);
    let again = env.ctl_json(&["setup", "--yes"]);
    assert_eq!(again["done"], false, "nothing to do");
    assert_eq!(all_files(&env), with, "a second run changes nothing");

    env.ctl(&["setup", "--undo", "--only", "mcp,hooks", "--yes"])
        .success();
    assert_ne!(all_files(&env), before);
    let rest = env.ctl_json(&["setup", "--undo", "--yes"]);
    assert_eq!(state(&rest, "qwen-code", "telemetry"), "remove");
    assert_eq!(all_files(&env), before);
    let nothing = env.ctl(&["setup", "--undo", "--yes"]).success().stdout;
    assert!(nothing.contains("Nothing of ours"), "{nothing}");
}

#[test]
fn what_the_user_changes_in_between_outlives_the_undo() {
    let env = several();
    env.ctl(&["setup", "--yes"]).success();
    let settings = env.claude().join("settings.json");
    let with = std::fs::read_to_string(&settings).expect("the file");
    std::fs::write(&settings, with.replace("\"opus\"", "\"haiku\"")).expect("the file");
    env.ctl(&["setup", "--undo", "--yes"]).success();
    let words = |text: &str| -> String { text.split_whitespace().collect() };
    assert_eq!(
        words(&std::fs::read_to_string(&settings).expect("the file")),
        words(&THEIRS[0].1.replace("\"opus\"", "\"haiku\""))
    );
}

#[test]
fn nothing_is_done_that_nobody_agreed_to() {
    let env = several();
    let before = all_files(&env);
    for args in [&["setup"][..], &["setup", "codex"], &["setup", "--json"]] {
        let run = env.ctl(args);
        assert!(run.stdout.contains("codex"), "{}", run.stdout);
        run.exits(77).complains(&["nothing was changed", "--yes"]);
        assert_eq!(all_files(&env), before, "{args:?}");
    }
    env.ctl(&["setup", "--only", "hooks,nothing"]).exits(2);
}

#[test]
fn one_broken_file_stops_its_own_agent_only() {
    let env = several();
    let broken = env.path("home/.qwen/settings.json");
    std::fs::write(&broken, "{\"a\":").expect("the file");
    let run = env.ctl(&["setup", "--yes", "--json"]).exits(64);
    let done = run.json();
    let qwen = (done["agents"].as_array().expect("agents").iter()).find(|a| a["agent"] == "qwen-code");
    let error = qwen.and_then(|a| a["error"].as_str()).expect("an error");
    assert!(error.contains("not JSON"), "{error}");
    assert_eq!(state(&done, "codex", "hooks"), "add");
    assert!(env.codex().join("hooks.json").exists());
    assert_eq!(std::fs::read_to_string(&broken).expect("the file"), "{\"a\":");
    env.ctl(&["setup", "--undo", "--yes"])
        .exits(64)
        .complains(&["qwen-code"]);
    assert!(!env.codex().join("hooks.json").exists());
}

#[test]
fn without_a_receiver_no_agent_is_told_to_send() {
    let env = several();
    env.write_config("timezone = \n");
    env.ctl(&["setup", "--yes"]).exits(64).complains(&["tokmon"]);
    let settings = std::fs::read_to_string(env.claude().join("settings.json")).expect("the file");
    assert!(
        settings.contains("PostToolBatch") && !settings.contains("OTEL_"),
        "{settings}"
    );
}

#[test]
fn what_is_not_asked_for_stays_away_and_tokmons_switch_goes_with_its_last_user() {
    let env = several();
    env.ctl(&["setup", "claude-code", "--only", "telemetry", "--yes"])
        .success();
    env.ctl(&["setup", "codex", "--only", "telemetry,mcp", "--yes"])
        .success();
    let claude = std::fs::read_to_string(env.claude().join("settings.json")).expect("the file");
    assert!(claude.contains("OTEL_") && !claude.contains("hooks"), "{claude}");
    assert!(!env.codex().join("hooks.json").exists());
    let on = || {
        std::fs::read_to_string(env.tokmon_home().join("config.toml"))
            .expect("it")
            .contains("otlp")
    };
    env.ctl(&["setup", "claude-code", "--undo", "--yes"]).success();
    assert!(on(), "Codex still sends");
    env.ctl(&["setup", "codex", "--undo", "--yes"]).success();
    assert!(!on());
}

#[test]
fn each_agent_has_the_pieces_that_it_can_take() {
    let mut env = Env::new();
    env.set_var("TOKMON_OTLP_LISTEN", "127.0.0.1:14399");
    for (agent, hooks, statusline, telemetry) in [
        ("claude-code", "add", "add", "add"),
        ("codex", "add", "none", "add"),
        ("gemini-cli", "add", "none", "add"),
        ("copilot-cli", "add", "none", "none"),
        ("qwen-code", "add", "none", "add"),
        ("cursor", "add", "none", "none"),
        ("opencode", "add", "none", "none"),
    ] {
        let pieces = env.ctl_json(&["setup", agent, "--yes"])["pieces"].clone();
        let wanted = serde_json::json!({"hooks": hooks, "statusline": statusline, "telemetry": telemetry, "mcp": "add"});
        assert_eq!(pieces, wanted, "{agent}");
        let undone = env.ctl_json(&["setup", agent, "--undo", "--yes"])["pieces"].to_string();
        assert_eq!(undone, wanted.to_string().replace("add", "remove"), "{agent}");
    }
    let statusline = env.claude().join("settings.json");
    env.ctl(&["setup", "claude", "--only", "statusline", "--yes"])
        .success();
    let text = std::fs::read_to_string(&statusline).expect("the file");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let line = &value["statusLine"];
    assert!(
        line["command"]
            .as_str()
            .is_some_and(|c| c.ends_with("tokmonctl statusline")),
        "{text}"
    );
    assert_eq!(
        (&line["type"], &line["refreshInterval"]),
        (&"command".into(), &5.into())
    );
}

#[test]
fn agents_that_send_elsewhere_are_left_to() {
    let env = several();
    let vars = [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example")];
    let run = env.ctl_with(&["setup", "--yes", "--json"], &vars, b"").success();
    let done = run.json();
    assert_eq!(state(&done, "codex", "telemetry"), "none");
    assert!(
        done["notes"].to_string().contains("OTEL_EXPORTER_OTLP_ENDPOINT"),
        "{done}"
    );
    let config = std::fs::read_to_string(env.tokmon_home().join("config.toml")).expect("config.toml");
    assert!(!config.contains("otlp"), "{config}");
}

/// Posts an empty export of logs; the status.
fn post(url: &str, headers: &str) -> u16 {
    use std::io::{Read as _, Write as _};
    let rest = url.strip_prefix("http://").expect("a URL");
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    let body = "{\"resourceLogs\":[]}";
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn what_agents_are_told_is_what_the_daemon_takes() {
    let mut env = several();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("its address").to_string();
    drop(free);
    env.set_var("TOKMON_OTLP_LISTEN", &address);
    for plain in [
        env.claude().join("settings.json"),
        env.path("home/.qwen/settings.json"),
    ] {
        std::fs::write(plain, "{}").expect("the file");
    }
    env.ctl(&["setup", "--yes"]).success();
    let daemon = env.start_daemon();
    let read = |file: PathBuf| std::fs::read_to_string(file).expect("the file");
    let settings = |file: PathBuf| -> Value { serde_json::from_str(&read(file)).expect("JSON") };
    let claude = settings(env.claude().join("settings.json"));
    let header = claude["env"]["OTEL_EXPORTER_OTLP_HEADERS"]
        .as_str()
        .expect("a header");
    let header = format!("{}\r\n", header.replace('=', ": "));
    let base = claude["env"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        .as_str()
        .expect("an endpoint");
    assert_eq!(post(&format!("{base}/v1/logs"), &header), 200);
    assert_eq!(post(&format!("{base}/v1/logs"), ""), 401);
    assert!(read(env.codex().join("config.toml")).contains(&format!("\"{base}/v1/logs\"")));
    let qwen = settings(env.path("home/.qwen/settings.json"));
    let endpoint = qwen["telemetry"]["otlpEndpoint"].as_str().expect("an endpoint");
    for path in ["", "/v1/logs"] {
        assert_eq!(post(&format!("{endpoint}{path}"), ""), 200, "{path}");
    }
    drop(daemon);
}

#[test]
fn every_editor_gets_the_server_in_its_own_form() {
    let env = Env::new();
    let extension = "home/.config/Code/User/globalStorage";
    for (name, file, table) in [
        ("vscode", "home/.config/Code/User/mcp.json".to_owned(), "servers"),
        (
            "windsurf",
            "home/.codeium/windsurf/mcp_config.json".to_owned(),
            "mcpServers",
        ),
        (
            "zed",
            "home/.config/zed/settings.json".to_owned(),
            "context_servers",
        ),
        (
            "claude-desktop",
            "home/.config/Claude/claude_desktop_config.json".to_owned(),
            "mcpServers",
        ),
        (
            "cline",
            format!("{extension}/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"),
            "mcpServers",
        ),
        (
            "roo-code",
            format!("{extension}/rooveterinaryinc.roo-cline/settings/mcp_settings.json"),
            "mcpServers",
        ),
        (
            "kilo-code",
            format!("{extension}/kilocode.kilo-code/settings/mcp_settings.json"),
            "mcpServers",
        ),
    ] {
        let file = env.path(file);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        let done = env.ctl_json(&["setup", name, "--yes"]);
        assert_eq!(actions(&done), ["create"], "{name}: {done}");
        let text = std::fs::read_to_string(&file).expect("the file");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let command = value[table]["tokmon"]["command"].as_str().expect("a command");
        assert!(command.ends_with("tokmon-mcp"), "{name}: {command}");
        env.ctl(&["setup", name, "--undo", "--yes"]).success();
        assert!(!file.exists(), "{name}");
    }
    env.ctl(&["setup", "roo-code", "--only", "hooks", "--yes"])
        .success();
}
