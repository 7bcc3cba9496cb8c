//! Several witnesses of one call, end to end: one is counted, all are told of, and a wrong join is undone.

use serde_json::json;
use tokmon_client::v1;
use tokmon_tests::env::Env;
use tokmon_tests::transcripts::{self, ClaudeCall};

/// 2026-11-20T12:00:00Z
const NOON: i64 = 1_795_176_000_000;

/// The transcript's call as a model logs it through MCP: 1,500 in, 800 out.
fn logged(key: &str, at_ms: i64) -> v1::RecordRequest {
    let usage = v1::Usage {
        agent: "claude-code".to_owned(),
        session: "of the MCP client".to_owned(),
        model: "claude-sonnet-4-5".to_owned(),
        tokens: Some(v1::Tokens {
            input: 1_500,
            output: 800,
            ..v1::Tokens::default()
        }),
        at_ms,
        idempotency_key: key.to_owned(),
        logged: true,
        ..v1::Usage::default()
    };
    v1::RecordRequest { usage: Some(usage) }
}

#[tokio::test]
async fn what_a_model_logs_and_its_transcript_tells_is_one_call_until_somebody_knows_better() {
    let env = Env::with_clock(NOON);
    let call = ClaudeCall::default();
    transcripts::claude(&env, call.session, std::slice::from_ref(&call));
    let ctl = |args: &[&str]| env.ctl_json(args);
    ctl(&["up", "--no-watch"]);
    let client = env.client().await;
    // A minute after the transcript's call at nine.
    let at_ms = NOON - 3 * 3_600_000 + 60_000;
    let answer = client.record(logged("once", at_ms)).await.expect("recorded");
    assert_eq!(answer.outcome(), v1::RecordOutcome::Amended);
    // A second one that is equal is a call that no transcript tells of.
    let second = client.record(logged("twice", at_ms)).await.expect("recorded");
    assert_eq!(second.outcome(), v1::RecordOutcome::Added);
    assert_eq!(ctl(&["report", "daily"])["totals"]["requests"], 2);

    let seq = answer.seq.to_string();
    let explained = ctl(&["explain", &seq]);
    let record = &explained["records"][0]["record"];
    assert_eq!(record["session"], call.session);
    let accounts = record["accounts"].as_array().expect("accounts");
    let told: Vec<_> = (accounts.iter())
        .map(|a| (a["witness"].clone(), a["counted"].clone()))
        .collect();
    assert_eq!(told, [(json!("file"), json!(true)), (json!("mcp"), json!(false))]);
    let all = ctl(&["explain"]);
    assert_eq!(
        (&all["witnesses"][0]["calls"], &all["witnesses"][0]["alone"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(
        (&all["witnesses"][1]["calls"], &all["witnesses"][1]["alone"]),
        (&json!(2), &json!(1))
    );
    let text = env.ctl(&["explain", &seq]).success().stdout;
    assert!(
        text.contains("seen by  file, counted: input 1,500, output 800"),
        "{text}"
    );
    assert!(text.contains("seen by  mcp: input 1,500, output 800"), "{text}");

    let apart = env.ctl(&["explain", &seq, "--split"]).success().stdout;
    assert!(
        apart.starts_with(&format!("Record #{seq} is now 2 calls: #")),
        "{apart}"
    );
    assert_eq!(ctl(&["report", "daily"])["totals"]["requests"], 3);
    env.ctl(&["explain", &seq, "--split"]).exits(66);
    let acts = env.ctl_json(&["audit", "--decision", "split"]);
    assert_eq!(acts["acts"].as_array().map(Vec::len), Some(1), "{acts}");
    assert!(acts["acts"][0]["by"]["client"].is_string(), "{acts}");
    env.ctl(&["explain", "--split"]).exits(2);
    env.ctl(&["ledger", "verify"]).success();
}
