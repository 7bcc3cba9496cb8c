//! Exports that leave the machine without a name in them.

use serde_json::Value;
use tokmon_tests::env::Env;

use super::{NOON, set_day};

#[tokio::test]
async fn an_anonymised_export_tells_no_name() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    set_day(&env, "1000");
    let raw = [
        "SECRET-SESSION",
        "/home/SECRET/project",
        "SECRET-TASK",
        "SECRET-BOT",
        "SECRET-MODEL",
        "SECRET-TOOL",
    ];
    let [session, project, task, agent, model, tool] = raw;
    let reserve = [
        "budget",
        "reserve",
        "--id",
        "SECRET-ID",
        "--session",
        session,
        "--project",
        project,
    ];
    let more = [
        "--task", task, "--agent", agent, "--model", model, "--tokens", "10",
    ];
    env.ctl(&[&reserve[..], &more[..]].concat()).success();
    env.ctl(&[
        "budget",
        "lift",
        "day",
        "--session",
        session,
        "--reason",
        "SECRET REASON",
    ])
    .success();
    let record = [
        "record",
        "--model",
        model,
        "--tool",
        tool,
        "--input",
        "60000",
        "--session",
        session,
        "--agent",
        agent,
    ];
    env.ctl(&record).success();
    let plain = env.ctl(&["audit", "export"]).success().stdout;
    assert!(raw[..5].iter().all(|name| plain.contains(name)), "{plain}");
    let veiled = env.ctl(&["audit", "export", "--anonymize"]).success().stdout;
    assert!(
        !veiled.contains("SECRET") && !veiled.contains("tokmonctl"),
        "{veiled}"
    );
    assert_eq!(veiled.lines().count(), plain.lines().count());
    let sessions: Vec<Value> = veiled
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|act| act["session"].clone())
        .filter(|session| !session.is_null())
        .collect();
    assert!(
        sessions.len() == 2 && sessions[0] == sessions[1],
        "the same name, the same hash: {sessions:?}"
    );
    for format in ["json", "csv", "html"] {
        let ask = ["export", "--format", format, "--period", "all"];
        let plain = env.ctl(&ask).success().stdout;
        assert!(plain.contains("SECRET-TOOL"), "{plain}");
        let veiled = env.ctl(&[&ask[..], &["--anonymize"]].concat()).success().stdout;
        assert!(!veiled.contains("SECRET"), "{veiled}");
    }
    // With a key of one's own the hashes are others, and the same again.
    let key = env.path("key");
    std::fs::write(&key, "a secret of one's own").expect("a key");
    let with = [
        "audit",
        "export",
        "--anonymize",
        "--key-file",
        key.to_str().expect("text"),
    ];
    let own = env.ctl(&with).success().stdout;
    assert!(own != veiled && own == env.ctl(&with).success().stdout);
    std::fs::write(&key, "short").expect("a key");
    env.ctl(&with).exits(64).complains(&["16 to 4096"]);
    use std::os::unix::fs::PermissionsExt as _;
    let kept = std::fs::metadata(env.paths().state_dir.join("anonymize.key")).expect("the daemon's key");
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    daemon.stop();
}

#[test]
fn past_windows_suggest_a_limit() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    for n in 1..=19 {
        let at = format!("2026-11-{:02}T12:00:00Z", 20 - n);
        let input = (n * 1_000).to_string();
        env.ctl(&["record", "--model", "m", "--input", &input, "--at", &at])
            .success();
    }
    let told = env.ctl_json(&["budget", "suggest", "--window", "day", "--timezone", "UTC"]);
    assert_eq!(
        (&told["windows"], &told["units"][0]["unit"]),
        (&19.into(), &"tokens".into())
    );
    assert_eq!(
        (&told["units"][0]["p50"], &told["units"][0]["max"]),
        (&10_000.into(), &19_000.into())
    );
    set_day(&env, "15000");
    let told = env.ctl_json(&["budget", "suggest", "day"]);
    let limits = told["units"][0]["limits"].as_array().expect("limits").clone();
    let set: Vec<&Value> = limits.iter().filter(|limit| limit["basis"] == "as set").collect();
    assert_eq!((&set[0]["limit"], &set[0]["denied"]), (&15_000.into(), &4.into()));
    let shown = env
        .ctl_with(&["budget", "suggest"], &[("COLUMNS", "80")], b"")
        .success()
        .stdout;
    assert!(
        shown.contains("of 19") && shown.lines().all(|l| l.chars().count() <= 80),
        "{shown}"
    );
    env.ctl(&["budget", "suggest", "--window", "lifetime"])
        .exits(64)
        .complains(&["window"]);
    env.ctl(&["budget", "suggest", "nobody"]).exits(66);
    daemon.stop();
}
