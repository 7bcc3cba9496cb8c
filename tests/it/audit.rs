//! The audit: every change and every decision with who, when and why, in a chain that can be checked.

mod export;
mod runaway;

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

fn ask(env: &Env, session: &str, tokens: &str) -> i32 {
    let ask = [
        "budget",
        "reserve",
        "--session",
        session,
        "--agent",
        "codex",
        "--tokens",
        tokens,
        "--json",
    ];
    env.ctl(&ask).code
}

#[test]
fn denials_are_counted_by_few_entries_and_none_is_lost() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    set_day(&env, "100");
    for _ in 0..11 {
        assert_eq!(ask(&env, "s", "101"), 1);
    }
    let denied = acts(&env, &["--decision", "denied", "--session", "s"]);
    // The first, and whenever there are twice as many: 1, 2, 4, 8.
    assert_eq!(denied.len(), 4, "{denied:#?}");
    assert_eq!((&denied[3]["times"], &denied[0]["times"]), (&1.into(), &8.into()));
    assert_eq!(denied[0]["binding"]["budget"], "day");
    // The rest is told of when the daemon stops.
    daemon.stop();
    let daemon = env.start_daemon();
    let denied = acts(&env, &["--decision", "denied"]);
    let sum: u64 = denied.iter().filter_map(|act| act["count"].as_u64()).sum();
    assert_eq!((sum, &denied[0]["times"]), (11, &11.into()));
    // And counting goes on where it stopped.
    assert_eq!(ask(&env, "s", "101"), 1);
    env.set_clock(NOON + 120_000);
    assert_eq!(
        ask(&env, "s", "1"),
        0,
        "somebody else asks, which is when what is due is written"
    );
    let denied = acts(&env, &["--decision", "denied", "-n", "1"]);
    assert_eq!(
        (&denied[0]["count"], &denied[0]["times"]),
        (&1.into(), &12.into())
    );
    env.ctl(&["audit", "verify"]).success();
    daemon.stop();
}

#[test]
fn a_stopped_session_may_go_on_while_others_stay_stopped() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    set_day(&env, "100");
    assert_eq!(ask(&env, "mine", "100"), 0);
    assert_eq!((ask(&env, "mine", "10"), ask(&env, "other", "10")), (1, 1));
    let lift = [
        "budget",
        "lift",
        "day",
        "--tokens",
        "15",
        "--session",
        "mine",
        "--reason",
        "the demo",
    ];
    let shown = env.ctl(&lift).success().stdout;
    assert!(
        shown.contains("session mine") && shown.contains("the demo"),
        "{shown}"
    );
    assert_eq!((ask(&env, "mine", "10"), ask(&env, "other", "1")), (0, 1));
    assert_eq!(ask(&env, "mine", "10"), 1, "only by so much");
    let state = env.ctl_json(&["budget", "show", "day"]);
    let lifted = &state["lifts"][0];
    assert_eq!(
        (&lifted["session"], &lifted["tokens"], &lifted["reason"]),
        (&"mine".into(), &15.into(), &"the demo".into())
    );
    assert!(
        lifted["by"].as_str().is_some_and(|by| by.contains("tokmonctl")),
        "{lifted}"
    );
    assert_eq!(lifted["until"], "2026-11-21T00:00:00.000Z");
    assert_eq!(state["overdraft_tokens"], 0, "what was approved is no overdraft");
    // Taken back early.
    env.ctl(&["budget", "unlift", "day", "--session", "other"])
        .exits(66);
    env.ctl(&["budget", "unlift", "day", "--session", "mine"])
        .success();
    assert_eq!(ask(&env, "mine", "1"), 1);
    env.ctl(&["budget", "unlift", "day"])
        .exits(66)
        .complains(&["day"]);
    // By itself: when the window is over there is nothing lifted.
    env.ctl(&["budget", "lift", "day", "--session", "mine"]).success();
    assert_eq!((ask(&env, "mine", "500"), ask(&env, "other", "1")), (0, 1));
    env.set_clock(NOON + 13 * 60 * 60 * 1000);
    let state = env.ctl_json(&["budget", "show", "day"]);
    assert_eq!(state["lifts"], serde_json::json!([]));
    assert_eq!(ask(&env, "mine", "101"), 1);
    let kinds = acts(
        &env,
        &["--decision", "budget_lifted", "--decision", "budget_unlifted"],
    );
    let kinds: Vec<_> = kinds
        .iter()
        .map(|act| (act["decision"].clone(), act["reason"].clone()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("budget_lifted".into(), Value::Null),
            ("budget_unlifted".into(), Value::Null),
            ("budget_lifted".into(), "the demo".into())
        ]
    );
    daemon.stop();
}
