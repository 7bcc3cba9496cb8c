//! The next prompt of a session: anchored on its last bill, and never said to be so when its transcript hides something.

use std::io::Write as _;

use serde_json::{Value, json};
use tokmon_client::{Kind, v1};
use tokmon_tests::env::Env;

use super::calibration::{conversation, learned};

/// What the fiftieth call of the conversation was billed as.
fn last() -> u64 {
    let step = |step: u64| 40 + (100 + step % 7 * 40) * 3 / 2 + 20;
    20_000 + (0..49).map(step).sum::<u64>()
}

#[tokio::test]
async fn the_next_prompt_of_a_session_says_whether_it_is_anchored() {
    let env = Env::new();
    let project = env.claude().join("projects/app");
    std::fs::create_dir_all(&project).expect("a directory");
    let path = project.join("grown.jsonl");
    std::fs::write(&path, conversation(50)).expect("a transcript");
    let daemon = env.start_daemon();
    learned(&env).await;

    let next = |args: &[&str]| -> Value { env.ctl_json(&[&["count", "--session", "grown"], args].concat()) };
    let whole = next(&[]);
    // Its answer, and the result that was appended after it.
    let right = last() + 40 + 100 * 3 / 2 + 20;
    let near = |next: &Value, right: u64| {
        next["tokens"]
            .as_u64()
            .is_some_and(|tokens| tokens.abs_diff(right) < 20)
    };
    assert!(near(&whole, right), "{whole}, right {right}");
    assert_eq!(
        (&whole["anchored"], &whole["unsure"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(
        (&whole["agent"], &whole["model"]),
        (&json!("claude-code"), &json!("claude-opus-4-6"))
    );
    assert_eq!(whole["basis"]["kind"], "calibrated");
    assert!(
        whole["basis"]["above_percent"]
            .as_f64()
            .is_some_and(|band| band < 2.0),
        "{whole}"
    );
    assert_eq!(next(&["--model", "anthropic/claude-opus-4-6"])["anchored"], true);
    let other = next(&["--model", "claude-haiku-4-5"]);
    assert_eq!(
        (&other["anchored"], &other["unsure"]),
        (&json!(false), &json!("model"))
    );

    // What is said and attached from now on is seen at once, without a call that was billed.
    let append = |line: Value| {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .expect("a transcript");
        writeln!(file, "{line}").expect("written");
    };
    let said = |text: &str| json!({"type": "user", "sessionId": "grown", "message": {"role": "user", "content": text}});
    append(said(&" apple".repeat(100)));
    let grown = next(&[]);
    assert!(near(&grown, right + 170) && grown["anchored"] == true, "{grown}");
    append(said("Look at @docs/PLAN.md"));
    let hidden = next(&[]);
    assert_eq!(
        (&hidden["anchored"], &hidden["unsure"]),
        (&json!(false), &json!("file"))
    );
    assert_eq!(hidden["basis"]["kind"], "prior");
    let bound = |side: &str| hidden[side].as_u64().expect("a bound");
    assert!(
        bound("low") < right * 8 / 10 && bound("high") > right * 14 / 10,
        "{hidden}"
    );
    let people = env.ctl(&["count", "--session", "grown"]).success();
    assert!(
        people.stdout.contains("Not anchored: a prompt names a file"),
        "{}",
        people.stdout
    );
    // So much at once that the whole is not certain to a fiftieth, though nothing is hidden.
    append(
        json!({"type": "attachment", "sessionId": "grown", "attachment": {"type": "file", "content": " apple".repeat(20_000)}}),
    );
    let much = next(&[]);
    assert_eq!(
        (&much["anchored"], &much["unsure"]),
        (&json!(false), &json!("much"))
    );
    // A summary in place of everything.
    append(json!({"type": "system", "sessionId": "grown", "subtype": "compact_boundary"}));
    append(said("So far we have read."));
    let summed_up = next(&[]);
    assert_eq!(summed_up["unsure"], "compacted");
    assert!(near(&summed_up, 20_030), "{summed_up}");

    // Without its transcript only the last bill is known.
    std::fs::remove_file(&path).expect("removed");
    let unread = next(&[]);
    assert_eq!(
        (&unread["anchored"], &unread["unsure"]),
        (&json!(false), &json!("unread"))
    );
    assert_eq!(unread["tokens"], last() + 40);
    daemon.stop();
}

#[tokio::test]
async fn a_session_that_nobody_knows_is_refused_by_name() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    let ask = |session: &str| v1::EstimateNextRequest {
        session: session.to_owned(),
        ..v1::EstimateNextRequest::default()
    };
    for (session, kind) in [
        ("nobody", Kind::NotFound),
        ("", Kind::Invalid),
        (&*"x".repeat(2_000), Kind::Invalid),
    ] {
        let error = client.estimate_next(ask(session)).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
    }
    let refused = env.ctl(&["count", "--session", "nobody"]);
    assert_eq!(refused.code, 66, "{}", refused.stderr);
    assert!(refused.stderr.contains("nobody"));
}
