//! Session budgets and tasks in them, through the real programs: shares, priorities, give-back, restarts, many at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokmon_tests::env::{Env, Run};

/// 2026-11-20T12:00:00Z.
const NOON: i64 = 1_795_176_000_000;
const DAY: i64 = 24 * 60 * 60 * 1000;

fn ask(env: &Env, task: &str, tokens: u64) -> Run {
    let tokens = tokens.to_string();
    let line = [
        "budget",
        "reserve",
        "--session",
        "s",
        "--task",
        task,
        "--tokens",
        &tokens,
        "--json",
    ];
    env.ctl(&line)
}

fn allocate(env: &Env, task: &str, tokens: u64, priority: &str) -> Run {
    let tokens = tokens.to_string();
    let line = [
        "task",
        "allocate",
        "s",
        task,
        "--tokens",
        &tokens,
        "--priority",
        priority,
        "--json",
    ];
    env.ctl(&line)
}

#[test]
fn a_session_has_three_budgets_and_each_refusal_says_which_kind_it_is() {
    // D1, D7
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    env.ctl(&["budget", "session", "s"])
        .exits(66)
        .complains(&["not found", "--daily"]);
    let made = env.ctl_json(&["budget", "session", "s", "--create", "--timezone", "UTC"]);
    for (which, limit) in [("daily", 10_000), ("monthly", 300_000), ("hard", 1_000_000)] {
        let budget = &made[which];
        assert_eq!(budget["limit_tokens"], limit);
        assert_eq!(
            (&budget["warn_percent"], &budget["critical_percent"]),
            (&80.into(), &95.into())
        );
        assert_eq!(
            (&budget["action"], &budget["scope"]["session"][0]),
            (&"deny".into(), &"s".into())
        );
    }
    // Another session is not concerned.
    let other = ["budget", "check", "--session", "other", "--tokens", "99999999"];
    env.ctl(&other).success();
    let denied = ask(&env, "", 10_001).exits(1).json();
    assert_eq!(denied["reason"], "quota_exceeded");
    let binding = &denied["binding"];
    assert_eq!(
        (&binding["budget"], &binding["available"]),
        (&"session.s.daily".into(), &10_000.into())
    );
    assert_eq!(binding["resets_at"], "2026-11-21T00:00:00.000Z");

    env.ctl(&[
        "budget",
        "session",
        "s",
        "--daily",
        "500",
        "--hard",
        "800",
        "--timezone",
        "UTC",
    ])
    .success();
    let id = ask(&env, "", 500).success().json()["reservation"]
        .as_str()
        .expect("an id")
        .to_owned();
    env.ctl(&["budget", "settle", &id, "--input-tokens", "500"])
        .success();
    assert_eq!(ask(&env, "", 1).exits(1).json()["reason"], "quota_exceeded");
    env.set_clock(NOON + DAY);
    let denied = ask(&env, "", 301).exits(1).json();
    assert_eq!(denied["reason"], "budget_exhausted");
    assert_eq!(
        (&denied["binding"]["available"], &denied["binding"]["resets_at"]),
        (&300.into(), &Value::Null)
    );
    ask(&env, "", 300).success();
    env.ctl(&["budget", "session", "s", "--remove"]).success();
    env.ctl(&["budget", "session", "s"]).exits(66);
    env.ctl(&["budget", "session", "", "--create"])
        .exits(64)
        .complains(&["session"]);
    daemon.stop();
}

#[test]
fn shares_of_tasks_are_kept_used_and_given_back_over_a_kill() {
    // D3
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    allocate(&env, "review", 100, "high")
        .exits(66)
        .complains(&["session"]);
    let session = [
        "budget",
        "session",
        "s",
        "--daily",
        "1000",
        "--monthly",
        "5000",
        "--hard",
        "9000",
    ];
    env.ctl(&session).success();
    let granted = allocate(&env, "review", 600, "high").success().json();
    assert_eq!(
        (&granted["granted"], &granted["task"]["left_tokens"]),
        (&true.into(), &600.into())
    );
    allocate(&env, "lint", 300, "low").success();
    let full = allocate(&env, "docs", 200, "low").exits(1).json();
    assert_eq!(
        (&full["reason"], &full["binding"]["kept"]),
        (&"quota_exceeded".into(), &900.into())
    );

    let low = ask(&env, "lint", 401).exits(1).json();
    assert_eq!(
        (&low["binding"]["kept"], &low["binding"]["available"]),
        (&600.into(), &400.into())
    );
    let id = ask(&env, "lint", 400).success().json()["reservation"]
        .as_str()
        .expect("an id")
        .to_owned();
    daemon.kill();
    let daemon = env.start_daemon();
    ask(&env, "", 1).exits(1);
    ask(&env, "lint", 1).exits(1);
    env.ctl(&[
        "budget",
        "settle",
        &id,
        "--input-tokens",
        "150",
        "--output-tokens",
        "50",
    ])
    .success();
    let lint = env.ctl_json(&["task", "show", "s", "lint"]);
    assert_eq!(
        (
            &lint["used_tokens"],
            &lint["pending_tokens"],
            &lint["left_tokens"]
        ),
        (&200.into(), &0.into(), &100.into())
    );
    // A call that nobody asked for counts as well.
    env.ctl(&[
        "record",
        "--model",
        "m",
        "--session",
        "s",
        "--task",
        "review",
        "--input",
        "250",
    ])
    .success();
    let tasks = env.ctl_json(&["task", "list", "s"]);
    assert_eq!(
        (&tasks["tasks"][1]["task"], &tasks["tasks"][1]["left_tokens"]),
        (&"review".into(), &350.into())
    );

    let done = env.ctl_json(&["task", "complete", "s", "review"]);
    assert_eq!(
        (&done["state"], &done["left_tokens"]),
        (&"completed".into(), &0.into())
    );
    env.ctl(&["task", "complete", "s", "review"]).success();
    allocate(&env, "review", 1, "high").exits(73);
    env.ctl(&["task", "complete", "s", "nobody"]).exits(66);
    // 1,000 − 450 used − 100 kept for lint.
    ask(&env, "", 451).exits(1);
    ask(&env, "", 450).success();
    assert_eq!(
        env.ctl_json(&["task", "list"])["tasks"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(
        env.ctl_json(&["task", "list", "--all"])["tasks"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    daemon.stop();
}

#[test]
fn many_processes_never_eat_a_share_together() {
    let env = Env::new();
    let daemon = env.start_daemon();
    env.ctl(&["budget", "session", "s", "--daily", "1000"]).success();
    allocate(&env, "high", 400, "high").success();
    let got = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..32 {
            let (env, got) = (&env, &got);
            scope.spawn(move || {
                let task = if client % 2 == 0 { "low" } else { "" };
                if ask(env, task, 50).code == 0 {
                    got.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(got.into_inner(), 12, "600 of 1,000 are free");
    ask(&env, "high", 400).success();
    ask(&env, "high", 1).exits(1);
    daemon.stop();
}
