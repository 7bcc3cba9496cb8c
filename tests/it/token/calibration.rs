//! What bills teach: learned from transcripts, kept over a crash, and told with every estimate.

use serde_json::{Value, json};
use tokmon_client::v1;
use tokmon_client::v1::follow_response::Entry;
use tokmon_tests::env::Env;

/// A conversation with Claude that grows by the same words, at 1.5 tokens for each one that the public encoding counts
/// and 20 for each block.
pub(super) fn conversation(steps: u64) -> String {
    let mut lines = String::new();
    let mut prompt = 20_000;
    for step in 0..steps {
        let minute = |second: u64| format!("2026-11-20T09:{:02}:{second:02}.000Z", step % 60);
        let words = 100 + step % 7 * 40;
        let answer = json!({
            "type": "assistant", "sessionId": "grown", "uuid": format!("a{step}"), "timestamp": minute(1),
            "requestId": format!("req_{step}"), "cwd": "/home/me/app", "version": "2.1.251",
            "message": {
                "id": format!("msg_{step}"), "role": "assistant", "model": "claude-opus-4-6", "stop_reason": "tool_use",
                "content": [{"type": "text", "text": "Reading on, as I was asked to do."}],
                "usage": {"input_tokens": 3, "cache_read_input_tokens": prompt - 3, "output_tokens": 40},
            },
        });
        let result = json!({
            "type": "user", "sessionId": "grown", "uuid": format!("u{step}"), "timestamp": minute(2),
            "message": {"role": "user", "content": [{"type": "tool_result", "content": " apple".repeat(words as usize)}]},
        });
        lines.push_str(&format!("{answer}\n{result}\n"));
        prompt += 40 + words * 3 / 2 + 20;
    }
    lines
}

pub(super) async fn learned(env: &Env) {
    let client = env.client().await;
    let mut feed = client.follow(v1::FollowRequest::default()).await.expect("a feed");
    loop {
        let entry = feed.message().await.expect("an entry").expect("no end").entry;
        if entry == Some(Entry::Other("learned".to_owned())) {
            return;
        }
    }
}

#[tokio::test]
async fn bills_teach_and_what_they_taught_survives_a_crash() {
    let env = Env::new();
    let project = env.claude().join("projects/app");
    std::fs::create_dir_all(&project).expect("a directory");
    std::fs::write(project.join("grown.jsonl"), conversation(50)).expect("a transcript");
    let daemon = env.start_daemon();
    learned(&env).await;

    let shown = env.ctl_json(&["count", "--calibration"]);
    let one = &shown["calibrations"][0];
    assert_eq!(
        (&one["agent"], &one["model"]),
        (&json!("claude-code"), &json!("claude-opus-4-6"))
    );
    assert_eq!((&one["observations"], &one["used"]), (&json!(49), &json!(true)));
    let slope = one["slope"].as_f64().expect("a slope");
    assert!((slope - 1.5).abs() < 0.06, "{shown}");

    let count = |text: &str| -> Value {
        let counted = env.ctl_with(
            &["count", "--model", "claude-opus-4-6", "--json"],
            &[],
            text.as_bytes(),
        );
        counted.json()["files"][0].clone()
    };
    let counted = count(&" apple".repeat(1_000));
    assert_eq!(counted["basis"]["kind"], "calibrated", "{counted}");
    assert_eq!(counted["basis"]["observations"], 49);
    let tokens = counted["tokens"].as_u64().expect("tokens");
    assert!((1_440..=1_560).contains(&tokens), "{counted}");
    let people = env.ctl_with(&["count", "--model", "claude-opus-4-6"], &[], b"an apple a day");
    assert!(people.success().stdout.contains("calibrated"), "the label");

    // The next prompt: the last one, its answer, and what is appended.
    let last = 20_000
        + (0..49)
            .map(|step| 40 + (100 + step % 7 * 40) * 3 / 2 + 20)
            .sum::<u64>();
    let check = |session: &str| {
        env.ctl_json(&[
            "budget",
            "check",
            "--agent",
            "claude-code",
            "--model",
            "claude-opus-4-6",
            "--session",
            session,
            "--appended-tokens",
            "200",
            "--appended-blocks",
            "1",
        ])["prompt"]
            .clone()
    };
    let next = check("grown");
    let tokens = next["tokens"].as_u64().expect("tokens");
    assert!(tokens.abs_diff(last + 40 + 320) < 20, "{next}, last {last}");
    assert_eq!(next["basis"]["kind"], "calibrated");
    assert!(
        next["basis"]["above_percent"].as_f64().expect("a band") < 0.5,
        "{next}"
    );
    assert!(check("another")["tokens"].as_u64().expect("tokens") < 400);

    daemon.kill();
    let _daemon = env.start_daemon();
    assert_eq!(env.ctl_json(&["count", "--calibration"]), shown);
    assert_eq!(count(&" apple".repeat(1_000)), counted);
}
