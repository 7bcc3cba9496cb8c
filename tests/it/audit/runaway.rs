//! Sessions that run away: told of once, and stopped when a budget says so.

use tokmon_client::v1;
use tokmon_tests::env::Env;

use super::{NOON, acts, ask};

/// Records the same tool call of a session, a second after the other.
async fn repeat(env: &Env, client: &tokmon_client::Client, session: &str, times: i64) {
    for n in 0..times {
        let usage = v1::Usage {
            agent: "codex".to_owned(),
            session: session.to_owned(),
            model: "claude-sonnet-4-5".to_owned(),
            tool: "Bash".to_owned(),
            context: "the same command".to_owned(),
            tokens: Some(v1::Tokens {
                input: 1_000,
                output: 10,
                ..Default::default()
            }),
            at_ms: NOON + n * 1_000,
            ..Default::default()
        };
        env.set_clock(NOON + n * 1_000);
        let request = v1::RecordRequest { usage: Some(usage) };
        client.record(request).await.expect("recorded");
    }
}

#[tokio::test]
async fn a_session_that_runs_away_is_told_of_once_and_stopped_if_a_budget_says_so() {
    let env = Env::with_clock(NOON);
    env.write_config("usage_log.enabled = true\n");
    let daemon = env.start_daemon();
    let set = [
        "budget",
        "set",
        "month",
        "--usd",
        "1000",
        "--window",
        "month",
        "--timezone",
        "UTC",
    ];
    let mut deny = set.to_vec();
    deny.extend(["--on-runaway", "deny"]);
    env.ctl(&deny).success();
    let client = env.client().await;
    repeat(&env, &client, "loop", 60).await;
    repeat(&env, &client, "calm", 10).await;
    let told = acts(&env, &["--decision", "runaway"]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(
        (&told[0]["session"], &told[0]["budget"]),
        (&"loop".into(), &"month".into())
    );
    assert!(
        told[0]["text"]
            .as_str()
            .is_some_and(|t| t.contains("25 times in a row")),
        "{}",
        told[0]
    );
    // It is stopped, also over a restart and when the budget is set again; others are not.
    daemon.stop();
    let daemon = env.start_daemon();
    env.ctl(&deny).success();
    assert_eq!((ask(&env, "loop", "1"), ask(&env, "calm", "1")), (1, 0));
    let answer = env.ctl(&[
        "budget",
        "check",
        "--session",
        "loop",
        "--agent",
        "codex",
        "--tokens",
        "1",
        "--json",
    ]);
    assert_eq!(answer.json()["stopped"], "repeats");
    let shown = env.ctl(&["budget", "show", "month"]).success().stdout;
    assert!(shown.contains("stopped session loop"), "{shown}");
    // Until it is lifted; taken back, it is stopped again.
    env.ctl(&[
        "budget",
        "lift",
        "month",
        "--session",
        "loop",
        "--for",
        "30m",
        "--reason",
        "known",
    ])
    .success();
    assert_eq!(ask(&env, "loop", "1"), 0);
    env.ctl(&["budget", "unlift", "month", "--session", "loop"])
        .success();
    assert_eq!(ask(&env, "loop", "1"), 1);
    // The alert is in its file, too.
    let file = env.paths().log_dir.join("alerts.jsonl");
    let deadline = std::time::Instant::now() + tokmon_tests::daemon::PATIENCE;
    let lines = loop {
        let lines = std::fs::read_to_string(&file).unwrap_or_default();
        if lines.contains("runaway") || std::time::Instant::now() > deadline {
            break lines;
        }
        tokio::task::yield_now().await;
    };
    assert!(lines.contains("\"sign\":\"repeats\""), "{lines}");
    // A budget that only observes says nothing.
    let mut observe = set.to_vec();
    observe.extend(["--on-runaway", "observe"]);
    env.ctl(&observe).success();
    let client = env.client().await;
    repeat(&env, &client, "unseen", 60).await;
    assert_eq!(acts(&env, &["--decision", "runaway"]).len(), 1);
    assert_eq!(
        ask(&env, "loop", "1"),
        0,
        "what stopped it does not stop any more"
    );
    daemon.stop();
}
