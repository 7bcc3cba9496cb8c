//! Doctor: what keeps figures from being whole is found by itself, and its exit code says so.

use tokmon_client::v1;
use tokmon_tests::env::Env;

#[tokio::test]
async fn a_house_in_order_passes_and_trouble_is_named() {
    let env = Env::new();
    let none = env.ctl(&["doctor", "--json"]).exits(1);
    assert_eq!(none.json()["worst"], "critical", "no daemon runs");
    assert!(!env.socket().exists(), "and none was started");

    let file = env.claude().join("projects/-p/s.jsonl");
    std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
    std::fs::write(&file, "").expect("written");
    let _daemon = env.start_daemon();
    env.ctl(&["up", "--no-watch"]).success();
    let run = env.ctl(&["doctor"]).success();
    assert!(run.stdout.contains("In order besides"), "{}", run.stdout);
    let all = env.ctl(&["doctor", "--all"]).success().stdout;
    assert!(all.contains("claude-code at"), "{all}");

    std::fs::write(&file, "{\"type\":\"assistant\",\n{\"broken\n").expect("written");
    let usage = v1::Usage {
        model: "a-model-nobody-knows".to_owned(),
        tokens: Some(v1::Tokens {
            input: 1,
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = v1::RecordRequest { usage: Some(usage) };
    env.client().await.record(request).await.expect("recorded");
    env.ctl(&["up", "--no-watch"]).success();
    let run = env.ctl(&["doctor"]).exits(1);
    for part in ["a-model-nobody-knows", "could not be used", "s.jsonl byte 0"] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }

    let line = r#"{"type":"assistant","timestamp":"2026-11-20T09:15:02.311Z","sessionId":"s1","message":{"id":"m1","model":"claude-sonnet-4-5","usage":{"output_tokens":4,"moon_tokens":7}}}"#;
    std::fs::write(&file, format!("{line}\n")).expect("written");
    env.ctl(&["up", "--no-watch"]).success();
    let run = env.ctl(&["doctor"]).exits(1);
    assert!(
        run.stdout.contains("moon_tokens was met 1 times"),
        "{}",
        run.stdout
    );
    let status = env.ctl_json(&["status"]);
    let sources = status["sources"].as_array().expect("a list");
    let fields: Vec<_> = sources
        .iter()
        .filter_map(|s| s["unknown_fields"].get(0))
        .collect();
    assert_eq!(fields[0]["field"], "moon_tokens", "{status}");
}
