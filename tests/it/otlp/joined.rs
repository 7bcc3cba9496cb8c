//! Two witnesses of one call: what an agent writes down and what it exports is one entry, whichever comes first.

use serde_json::{Value, json};
use tokmon_tests::env::Env;
use tokmon_tests::transcripts::{self, ClaudeCall};

use super::http::Door;
use super::{logs, totals};

/// 2026-11-20T09:00:00Z, when the transcripts' calls are.
const AT_MS: u64 = 1_795_165_200_000;

fn env() -> Env {
    let mut env = Env::with_clock(i64::try_from(AT_MS + 3_600_000).expect("a time"));
    env.set_var("TOKMON_OTLP_ENABLED", "true");
    env
}

fn event(call: &ClaudeCall, request: &str) -> Value {
    let pairs = json!({
        "event.name": "api_request", "session.id": call.session, "model": call.model, "input_tokens": call.input,
        "output_tokens": call.output, "cache_read_tokens": call.cache_read,
        "cache_creation_tokens": call.cache_5m + call.cache_1h, "request_id": request,
    });
    logs("claude-code", AT_MS * 1_000_000, &pairs)
}

#[test]
fn a_transcript_and_telemetry_are_one_entry_and_what_only_one_saw_counts_too() {
    let env = env();
    let call = |id| ClaudeCall {
        id,
        cache_read: 5_000,
        cache_1h: 300,
        ..ClaudeCall::default()
    };
    let (early, late) = (call("msg_1"), call("msg_2"));
    transcripts::claude(&env, early.session, std::slice::from_ref(&early));
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let post = |body: Value| {
        let answer = door.post("/v1/logs", &[], body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    env.ctl(&["up", "--no-watch"]).success();
    for request in ["req_msg_1", "req_msg_2", "req_title", "req_msg_1"] {
        post(event(&early, request));
    }
    assert_eq!(totals(&env)[0], 3);
    transcripts::claude(&env, late.session, std::slice::from_ref(&late));
    env.ctl(&["up", "--no-watch"]).success();
    assert_eq!(totals(&env)[..4], [3, 4_500, 2_400, 15_000]);
    daemon.stop();
}

#[test]
fn where_the_agent_names_no_request_the_figures_join_as_many_as_both_saw() {
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let session = "01a1f80b-879b-7b00-a7da-fbf8f1bf33f0";
    let mut codex = transcripts::Codex::start(&env, session, "gpt-5.4");
    let event = |at_ms: u64| {
        let pairs = json!({
            "event.name": "codex.sse_event", "event.kind": "response.completed", "conversation.id": session,
            "model": "gpt-5.4", "input_token_count": "1030", "output_token_count": "77",
            "cached_token_count": "600", "reasoning_token_count": "33",
        });
        logs("codex_cli_rs", at_ms * 1_000_000, &pairs)
    };
    // Three equal calls; the file has two of them.
    codex.turn("2026-11-20T09:00:10.000Z", 1_030, 600, 77, 33);
    codex.turn("2026-11-20T09:00:20.000Z", 1_030, 600, 77, 33);
    for after_ms in [9_900, 19_900, 40_000, 9_900] {
        let answer = door.post("/v1/logs", &[], event(AT_MS + after_ms).to_string().as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    env.ctl(&["up", "--no-watch"]).success();
    assert_eq!(totals(&env)[..4], [3, 3 * 430, 3 * 77, 3 * 600]);
    daemon.stop();
}
