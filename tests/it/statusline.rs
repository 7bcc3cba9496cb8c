//! The statusline and what it tells: one line for the agent, and the limits of subscriptions kept for everybody.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokmon_client::v1;
use tokmon_tests::daemon::PATIENCE;
use tokmon_tests::env::Env;

fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("before the year 292 billion") + seconds
}

fn told(session: &str, used: f64) -> Value {
    json!({
        "session_id": session, "cwd": "/p", "model": {"id": "claude-sonnet-4-5", "display_name": "Sonnet"},
        "cost": {"total_cost_usd": 0.5}, "context_window": {"used_percentage": 12},
        "rate_limits": {
            "five_hour": {"used_percentage": used, "resets_at": seconds_from_now(7_000)},
            "seven_day": {"used_percentage": 1_795_170_000_i64, "resets_at": seconds_from_now(70_000)},
        },
        "future_field": [1, {"x": null}],
    })
}

/// What `told` tells, with another total.
fn total(session: &str, usd: f64) -> Value {
    json!({
        "session_id": session, "cwd": "/p", "model": {"id": "claude-sonnet-4-5", "display_name": "Sonnet"},
        "cost": {"total_cost_usd": usd},
    })
}

async fn spend(env: &Env, session: &str) {
    let usage = v1::Usage {
        agent: "claude-code".to_owned(),
        session: session.to_owned(),
        model: "claude-sonnet-4-5".to_owned(),
        tokens: Some(v1::Tokens {
            input: 1_500,
            output: 800,
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = v1::RecordRequest { usage: Some(usage) };
    env.client().await.record(request).await.expect("recorded");
}

fn line(env: &Env, told: &Value) -> String {
    let run = env.ctl_with(&["statusline", "--plain"], &[], told.to_string().as_bytes());
    run.success().stdout
}

#[tokio::test]
async fn a_line_shows_the_ledger_s_figures_and_tells_the_limits() {
    let env = Env::new();
    let daemon = env.start_daemon();
    spend(&env, "s1").await;
    let shown = line(&env, &told("s1", 24.0));
    for part in [
        "Sonnet",
        "$0.0165 session",
        "$0.0165 today",
        "ctx 12 %",
        "5h 24 % (1 h 56 min)",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("7d"), "an instant is no percentage: {shown}");
    assert_eq!(shown.lines().count(), 1);
    // Another window of the same agent, which heard less: the limit is one.
    let other = line(&env, &told("s2", 20.0));
    assert!(
        other.contains("$0.50 session") && other.contains("5h 24 %"),
        "{other}"
    );
    let limits = env.ctl_json(&["quota"]);
    let one = &limits["quotas"][0];
    assert_eq!(
        (&one["agent"], &one["limit"], &one["used_percent"]),
        (&json!("claude-code"), &json!("five_hour"), &json!(24.0))
    );
    daemon.stop();
    let _daemon = env.start_daemon();
    let after = env.ctl_json(&["quota"]);
    assert_eq!(after["quotas"][0]["used_percent"], 24.0, "{after}");
}

#[test]
fn without_a_daemon_a_line_is_shown_and_none_is_started() {
    let env = Env::new();
    let shown = line(&env, &told("s1", 24.0));
    assert!(
        shown.contains("$0.50 session") && shown.contains("tokmon is off"),
        "{shown}"
    );
    assert!(!env.socket().exists());
    for garbage in ["", "{", "[]", "\"x\"", "{\"session_id\":1e999}"] {
        let run = env.ctl_with(&["statusline", "--plain"], &[], garbage.as_bytes());
        assert_eq!(run.success().stdout, "tokmon is off\n", "{garbage}");
    }
}

const NOON: i64 = 1_795_176_000_000;
const MINUTE: i64 = 60_000;

/// Asks until it is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
    }
}

/// The ledger's cost of everything comes to this.
fn comes_to(env: &Env, usd: &str) {
    wait_until(usd, || {
        env.ctl_json(&["report", "session"])["totals"]["cost_usd"] == usd
    });
}

fn entries(env: &Env) -> u64 {
    env.ctl_json(&["status"])["ledger"]["entries"]
        .as_u64()
        .expect("a number")
}

#[tokio::test]
async fn what_only_the_line_s_total_shows_is_booked_until_something_else_shows_it() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    spend(&env, "s1").await;
    line(&env, &total("s1", 0.5));
    env.set_clock(NOON + 9 * MINUTE);
    line(&env, &total("s1", 0.5));
    comes_to(&env, "0.0165");
    env.set_clock(NOON + 11 * MINUTE);
    line(&env, &total("s1", 0.5));
    comes_to(&env, "0.5");
    let explained = env.ctl_json(&["explain", "--session", "s1"]);
    assert_eq!(explained["requests"], 2, "{explained}");
    let shown = env.ctl(&["explain", "--session", "s1"]).success().stdout;
    assert!(shown.contains("unlogged"), "{shown}");
    // The same is told again after a restart, then a call comes in, then the agent's counter begins anew.
    daemon.stop();
    let _daemon = env.start_daemon();
    line(&env, &total("s1", 0.5));
    spend(&env, "s1").await;
    comes_to(&env, "0.5");
    line(&env, &total("s1", 0.1));
    env.set_clock(NOON + 40 * MINUTE);
    line(&env, &total("s1", 0.1));
    comes_to(&env, "0.6");
    // What one session has cost is not booked for the next, which goes on with its counter.
    line(&env, &total("s2", 0.61));
    env.set_clock(NOON + 60 * MINUTE);
    let before = entries(&env);
    line(&env, &total("s2", 0.62));
    wait_until("whose counter it is", || entries(&env) > before);
    comes_to(&env, "0.6");
}
