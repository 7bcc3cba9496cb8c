//! What holds while the daemon cannot be reached: calls are made, but not those under a budget that stays closed.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tokmon_client::policy::{Caller, Verdict, when_unreachable};
use tokmon_tests::env::{Env, Run};

fn ask(env: &Env, verb: &str, agent: &str) -> Run {
    env.ctl(&[
        "--no-start",
        "budget",
        verb,
        "--agent",
        agent,
        "--tokens",
        "5",
        "--json",
    ])
}

#[test]
fn a_budget_that_stays_closed_denies_without_the_daemon() {
    let env = Env::new();
    let daemon = env.start_daemon();
    let policy = env.paths().policy_file();
    let set = |more: &[&str]| {
        let mut line = vec!["budget", "set", "closed", "--tokens", "1000", "--action", "deny"];
        line.extend(["--scope", "agent=codex"]);
        line.extend(more);
        env.ctl(&line).success();
    };
    set(&[]);
    assert!(!policy.exists(), "calls are allowed by default");
    set(&["--unreachable", "deny"]);
    let mode = std::fs::metadata(&policy)
        .expect("the policy")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.kill();

    for verb in ["reserve", "check"] {
        let said = ask(&env, verb, "codex").exits(1).json();
        assert_eq!(
            (&said["granted"], &said["reservation"]),
            (&Value::Bool(false), &Value::Null)
        );
        assert_eq!(said["unreachable"]["budget"], "closed");
        // Neither denied nor reserved.
        ask(&env, verb, "claude-code").exits(69);
    }
    let caller = Caller {
        agent: "codex".to_owned(),
        ..Caller::default()
    };
    assert_ne!(when_unreachable(&env.paths(), &caller), Verdict::Allow);

    // It follows every change: shadow, allow, removed, another ledger.
    let daemon = env.start_daemon();
    for change in [["--unreachable", "deny", "--shadow"].as_slice(), &[]] {
        set(change);
        assert_eq!(
            when_unreachable(&env.paths(), &caller),
            Verdict::Allow,
            "{change:?}"
        );
        set(&["--unreachable", "deny"]);
        assert_ne!(when_unreachable(&env.paths(), &caller), Verdict::Allow);
    }
    env.ctl(&["budget", "remove", "closed"]).success();
    assert_eq!(when_unreachable(&env.paths(), &caller), Verdict::Allow);
    set(&["--unreachable", "deny"]);
    daemon.stop();

    // What was lost while it was away is written again before the daemon is ready.
    std::fs::write(&policy, b"cut").expect("a damaged policy");
    ask(&env, "reserve", "claude-code").exits(1);
    let daemon = env.start_daemon();
    daemon.stop();
    ask(&env, "reserve", "claude-code").exits(69);
    ask(&env, "reserve", "codex").exits(1);
}
