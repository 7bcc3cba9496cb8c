//! The audit: every change and every decision with who, when and why, in a chain that can be checked.

use serde_json::Value;
use tokmon_client::v1;
use tokmon_tests::env::Env;

/// 2026-11-20T12:00:00Z.
const NOON: i64 = 1_795_176_000_000;

/// The acts of a kind, newest first.
fn acts(env: &Env, args: &[&str]) -> Vec<Value> {
    let mut line = vec!["audit"];
    line.extend(args);
    let answer = env.ctl_json(&line);
    answer["acts"].as_array().expect("a list of acts").clone()
}

fn set_day(env: &Env, tokens: &str) {
    let set = [
        "budget",
        "set",
        "day",
        "--tokens",
        tokens,
        "--timezone",
        "UTC",
        "--action",
        "deny",
    ];
    env.ctl(&set).success();
}

#[test]
fn every_change_says_who_and_when() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    set_day(&env, "1000");
    env.ctl(&["budget", "lift", "day", "--tokens", "5"]).success();
    env.ctl(&["session", "reset", "--agent", "codex"]).success();
    env.ctl(&["price", "set", "my-model", "--input", "3", "--output", "15"])
        .success();
    env.ctl(&["price", "remove", "my-model"]).success();
    env.ctl(&["budget", "remove", "day"]).success();
    let file = env.path("backup.redb");
    env.ctl(&["ledger", "backup", file.to_str().expect("text")])
        .success();
    env.ctl(&["ledger", "restore", file.to_str().expect("text"), "--yes"])
        .success();
    let all = acts(&env, &[]);
    let kinds: Vec<&str> = all.iter().filter_map(|act| act["decision"].as_str()).collect();
    assert_eq!(
        kinds,
        [
            "ledger_replaced",
            "budget_removed",
            "price_removed",
            "price_set",
            "session_reset",
            "budget_lifted",
            "budget_set"
        ]
    );
    for act in &all {
        assert_eq!(act["at"], "2026-11-20T12:00:00.000Z", "{act}");
        let by = &act["by"];
        assert!(
            by["client"].as_str().is_some_and(|c| c.starts_with("tokmonctl ")),
            "{act}"
        );
        assert!(by["user"].as_str().is_some_and(|u| !u.is_empty()), "{act}");
        assert!(by["pid"].as_u64().is_some_and(|pid| pid > 1), "{act}");
    }
    // After a restart as before.
    daemon.stop();
    let daemon = env.start_daemon();
    assert_eq!(acts(&env, &[]), all);
    daemon.stop();
}

#[test]
fn decisions_can_be_searched_page_by_page() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    set_day(&env, "1000");
    for (id, session, agent) in [
        ("r1", "s1", "codex"),
        ("r2", "s2", "codex"),
        ("r3", "s1", "other"),
    ] {
        let ask = [
            "budget",
            "reserve",
            "--id",
            id,
            "--session",
            session,
            "--agent",
            agent,
            "--tokens",
            "10",
        ];
        env.ctl(&ask).success();
    }
    env.ctl(&["budget", "settle", "r1", "--input-tokens", "7"])
        .success();
    env.ctl(&["budget", "release", "r2"]).success();
    let granted = acts(&env, &["--decision", "granted"]);
    let ids: Vec<&str> = granted
        .iter()
        .filter_map(|act| act["reservation"].as_str())
        .collect();
    assert_eq!(ids, ["r3", "r2", "r1"]);
    let binding = &granted[0]["binding"];
    assert_eq!(
        (
            &binding["budget"],
            &binding["limit"],
            &binding["pending"],
            &binding["available"]
        ),
        (&"day".into(), &1000.into(), &20.into(), &980.into())
    );
    assert!(
        granted[0]["text"]
            .as_str()
            .is_some_and(|t| t.contains("10 tokens")),
        "{}",
        granted[0]
    );
    // The later entries of a reservation tell whose it was.
    let kinds = |args: &[&str]| -> Vec<String> {
        let text = |act: &Value| act["decision"].as_str().unwrap_or_default().to_owned();
        acts(&env, args).iter().map(text).collect()
    };
    assert_eq!(
        kinds(&["--session", "s1", "--agent", "codex"]),
        ["settled", "granted"]
    );
    assert_eq!(kinds(&["--session", "s2"]), ["released", "granted"]);
    assert_eq!(
        kinds(&["--budget", "day", "--decision", "budget_set"]),
        ["budget_set"]
    );
    assert_eq!(kinds(&["--since", "2026-11-21"]), [""; 0]);
    assert_eq!(
        kinds(&["--since", "2026-11-20", "--until", "2026-11-20"]).len(),
        6
    );
    // Two pages make the whole.
    let first = env.ctl_json(&["audit", "-n", "4"]);
    let token = first["next_page"].as_str().expect("a token").to_owned();
    let second = env.ctl_json(&["audit", "-n", "4", "--page", &token]);
    assert_eq!(second["acts"].as_array().map(Vec::len), Some(2));
    assert_eq!(second["next_page"], "");
    assert_eq!(second["acts"][1]["decision"], "budget_set");
    env.ctl(&["audit", "--decision", "maybe"])
        .exits(64)
        .complains(&["decisions", "maybe", "granted"]);
    env.ctl(&["audit", "--page", "x"])
        .exits(64)
        .complains(&["page_token"]);
    // For people.
    let table = env
        .ctl_with(&["audit"], &[("COLUMNS", "80")], b"")
        .success()
        .stdout;
    assert!(
        table.contains("granted") && table.contains("10 tokens"),
        "{table}"
    );
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    env.ctl(&["audit", "verify"]).success();
    daemon.stop();
}

#[tokio::test]
async fn a_program_without_a_handshake_is_known_by_its_library() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    // The test's own client shakes hands as tokmon-client.
    let client = env.client().await;
    let reset = v1::ResetSessionRequest {
        agent: "a".to_owned(),
    };
    client.reset_session(reset).await.expect("reset");
    let answer = client
        .list_audit(v1::ListAuditRequest::default())
        .await
        .expect("acts");
    let by = answer.acts[0].by.as_ref().expect("somebody");
    assert!(by.client.starts_with("tokmon-client "), "{by:?}");
    assert_eq!(by.pid, std::process::id());
    daemon.stop();
}
