//! The statusline and what it tells: one line for the agent, and the limits of subscriptions kept for everybody.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokmon_client::v1;
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
    let limits = env.ctl_json(&["quota", "--json"]);
    let one = &limits["quotas"][0];
    assert_eq!(
        (&one["agent"], &one["limit"], &one["used_percent"]),
        (&json!("claude-code"), &json!("five_hour"), &json!(24.0))
    );
    daemon.stop();
    let _daemon = env.start_daemon();
    let after = env.ctl_json(&["quota", "--json"]);
    assert_eq!(after["quotas"][0]["used_percent"], 24.0, "{after}");
}

#[tokio::test]
async fn what_codex_writes_down_is_known_too() {
    let env = Env::new();
    let resets = seconds_from_now(9_000);
    let body = json!({"type": "token_count", "info": null, "rate_limits": {
        "limit_id": "codex", "plan_type": "plus",
        "primary": {"used_percent": 90.5, "window_minutes": 300, "resets_at": resets},
        "secondary": {"used_percent": 10, "window_minutes": 10_080, "resets_at": resets},
    }});
    let line = json!({"timestamp": "2026-11-20T09:00:00Z", "type": "event_msg", "payload": body});
    let file = env
        .codex()
        .join("sessions/2026/11/20/rollout-2026-11-20T09-00-00-x.jsonl");
    std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
    std::fs::write(&file, format!("{line}\n")).expect("written");
    let _daemon = env.start_daemon();
    env.ctl(&["up", "--no-watch"]).success();
    let shown = env.ctl(&["quota"]).success().stdout;
    for part in [
        "codex",
        "5h window",
        "90.5 %",
        "used up in",
        "7d window",
        "10.0 %",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
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

#[tokio::test]
async fn limits_that_cannot_be_are_refused_by_name() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    for (used, limit, named) in [
        (f64::NAN, "five_hour", "used_percent"),
        (-1.0, "five_hour", "used_percent"),
        (1e9, "five_hour", "used_percent"),
        (1.0, "", "limit"),
    ] {
        let reading = v1::QuotaReading {
            agent: "x".to_owned(),
            limit: limit.to_owned(),
            used_percent: used,
            ..Default::default()
        };
        let request = v1::ReportQuotasRequest {
            readings: vec![reading],
        };
        let error = client
            .report_quotas(request)
            .await
            .expect_err("refused")
            .to_string();
        assert!(error.contains(named), "{error}");
    }
    let none = env.ctl(&["quota"]).success().stdout;
    assert!(none.contains("No limits are known yet"), "{none}");
}
