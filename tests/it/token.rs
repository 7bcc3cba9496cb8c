//! Counting: exact where the encoding is public, an estimate that says so elsewhere, and never a crash.

mod calibration;
#[cfg(target_os = "linux")]
mod memory;
mod next;

use tokmon_client::{Client, v1};
use tokmon_tests::env::Env;

async fn count(client: &Client, text: &[u8], model: &str) -> v1::Count {
    let request = v1::CountRequest {
        text: text.to_vec(),
        model: model.to_owned(),
        ..v1::CountRequest::default()
    };
    client.count(request).await.expect("a count")
}

#[tokio::test]
async fn exact_and_estimated_counts_say_which_they_are() {
    // C1
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    let exact = count(&client, b"hello world", "gpt-4o").await;
    assert_eq!((exact.tokens, exact.exact), (2, true));
    assert_eq!(exact.encoding, "o200k_base");
    let unknown = count(&client, b"hello world", "nobody-knows-9").await;
    assert_eq!(unknown.encoding, "cl100k_base");
    assert!(!unknown.exact && !unknown.note.is_empty(), "{unknown:?}");
    let claude = count(&client, b"hello world, how are you today?", "claude-sonnet-4-5").await;
    assert!(
        !claude.exact && claude.low <= claude.tokens && claude.tokens <= claude.high,
        "{claude:?}"
    );
}

#[tokio::test]
async fn the_worst_inputs_do_not_crash_it() {
    let env = Env::new();
    let daemon = env.start_daemon();
    let client = env.client().await;
    let megabyte = 1 << 20;
    for text in [
        vec![b'a'; megabyte],
        vec![b' '; megabyte],
        vec![b'\n'; megabyte],
        vec![0xff; megabyte],
        "\u{1f600}".repeat(megabyte / 4).into_bytes(),
        Vec::new(),
    ] {
        let counted = count(&client, &text, "gpt-5").await;
        assert!(counted.tokens <= text.len() as u64 * 3, "{}", counted.tokens);
        assert_eq!(counted.tokens == 0, text.is_empty());
    }
    daemon.stop();
}

#[test]
fn the_command_line_counts_files_and_standard_input() {
    let env = Env::new();
    std::fs::write(env.path("text.txt"), "hello world").expect("a file");
    let from_file = env
        .ctl(&["count", "text.txt", "--model", "gpt-4o", "--json"])
        .success();
    assert!(
        from_file.stdout.contains("\"tokens\": 2") || from_file.stdout.contains("\"tokens\":2"),
        "{from_file:?}"
    );
    let from_stdin = env
        .ctl_with(&["count", "--model", "gpt-4o", "--json"], &[], b"hello world")
        .success();
    assert!(from_stdin.stdout.contains('2'), "{from_stdin:?}");
}

#[test]
fn a_whole_request_is_counted_part_by_part() {
    let env = Env::new();
    let request = serde_json::json!({
        "model": "claude-sonnet-4-5", "system": "Be brief.",
        "tools": [{"name": "Bash", "description": "Runs a command", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": "hello world"}],
    });
    std::fs::write(env.path("request.json"), request.to_string()).expect("a file");
    let answer = env
        .ctl(&["count", "--request", "request.json", "--json"])
        .success();
    let answer: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(answer["provider"], "anthropic", "{answer}");
    assert_eq!(answer["basis"]["kind"], "prior");
    let kinds: Vec<&str> = answer["parts"]
        .as_array()
        .expect("parts")
        .iter()
        .filter_map(|part| part["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["system", "tool", "framing", "message", "framing"]);

    let chat = br#"{"model": "gpt-4o", "messages": [{"role": "user", "content": "hello world"}]}"#;
    let answer = env.ctl_with(&["count", "--request", "-"], &[], chat).success();
    assert!(answer.stdout.contains("exact"), "{answer:?}");
    assert!(
        answer.stdout.lines().all(|line| line.chars().count() <= 80),
        "{answer:?}"
    );

    for (body, provider, wanted) in [
        ("[]", "openai", "not a JSON object"),
        ("{\"prompt\": 1}", "", "whose request"),
        ("{\"messages\": \"hello\"}", "openai", "messages is a text"),
    ] {
        let named = ["count", "--request", "-", "--provider", provider];
        let arguments = if provider.is_empty() { &named[..3] } else { &named };
        let refused = env.ctl_with(arguments, &[], body.as_bytes());
        assert_eq!(refused.code, 64, "{refused:?}");
        assert!(refused.stderr.contains(wanted), "{refused:?}");
    }
}
