//! Limits of APIs through the real programs: a minute's calls, what headers say, fallbacks, failures, restarts.

use serde_json::Value;
use tokmon_tests::env::Env;

/// 2026-11-20T12:00:00Z.
const NOON: i64 = 1_795_176_000_000;

fn acquire(env: &Env, name: &str, code: i32) -> Value {
    env.ctl(&["api", "acquire", name, "--json"]).exits(code).json()
}

#[test]
fn a_minute_has_its_calls_and_the_next_api_is_named() {
    // D5
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    let set = [
        "api",
        "set",
        "anthropic",
        "--requests-per-minute",
        "3",
        "--fallback",
        "openai/gpt-5",
    ];
    let made = env.ctl_json(&set);
    assert_eq!(
        (&made["requests_per_minute"], &made["fallback"][0]),
        (&3.into(), &"openai/gpt-5".into())
    );
    for left in [2, 1, 0] {
        assert_eq!(acquire(&env, "anthropic", 0)["requests_left"], left);
    }
    let full = acquire(&env, "anthropic", 1);
    assert_eq!(
        (&full["allowed"], &full["reason"]),
        (&false.into(), &"quota_exceeded".into())
    );
    assert_eq!(
        (&full["wait_ms"], &full["next"]),
        (&61_000.into(), &"openai/gpt-5".into())
    );
    assert_eq!(
        (&full["retries_left"], &full["timeout_ms"]),
        (&3.into(), &30_000.into())
    );
    env.set_clock(NOON + 61_000);
    acquire(&env, "anthropic", 0);

    // What was set survives; the minute does not.
    daemon.kill();
    let daemon = env.start_daemon();
    let all = env.ctl_json(&["api", "list"]);
    assert_eq!(all["apis"][0]["requests_per_minute"], 3);
    assert_eq!(all["apis"][0]["now"]["requests_left"], 3);
    env.ctl(&["api", "remove", "anthropic"]).success();
    env.ctl(&["api", "remove", "anthropic"]).exits(66);
    assert_eq!(
        env.ctl_json(&["api", "show", "anthropic"])["requests_per_minute"],
        60
    );
    daemon.stop();
}

#[test]
fn headers_and_failures_of_the_other_side_decide() {
    // D5, D7
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    let report = |status: &str, headers: &[&str]| {
        let mut line = vec!["api", "report", "openai", "--status", status];
        headers.iter().for_each(|h| line.extend(["--header", h]));
        env.ctl_json(&line)
    };
    report(
        "200",
        &[
            "x-ratelimit-remaining-requests: 0",
            "x-ratelimit-reset-requests: 12s",
            "date: now",
        ],
    );
    let full = acquire(&env, "openai", 1);
    assert_eq!(
        (&full["wait_ms"], &full["resets_at"]),
        (&12_000.into(), &"2026-11-20T12:00:12.000Z".into())
    );
    env.set_clock(NOON + 12_000);
    acquire(&env, "openai", 0);
    report("429", &["retry-after: 30"]);
    assert_eq!(acquire(&env, "openai", 1)["wait_ms"], 30_000);
    env.set_clock(NOON + 60_000);
    for _ in 0..2 {
        report("503", &[]);
    }
    assert_eq!(acquire(&env, "openai", 1)["reason"], "integration_error");
    report("200", &[]);
    acquire(&env, "openai", 0);

    env.ctl(&["api", "report", "openai", "--header", "x-ratelimit-reset: soon"])
        .success()
        .complains(&["x-ratelimit-reset"]);
    env.ctl(&["api", "report", "openai", "--status", "99"])
        .exits(64)
        .complains(&["status"]);
    env.ctl(&["api", "acquire", ""]).exits(64).complains(&["name"]);
    env.ctl(&["api", "acquire", "a", "--tokens", "18446744073709551615"])
        .exits(64)
        .complains(&["tokens"]);
    env.ctl(&["api", "set", "a", "--fallback", "a"])
        .exits(64)
        .complains(&["fallback"]);
    env.ctl(&["api", "set", "a", "--requests-per-minute", "-1"])
        .exits(2);
    daemon.stop();
}
