//! Sessions: several clients of different kinds at the same time see one session's totals; a reset starts anew.

use serde_json::json;
use tokmon_client::v1;
use tokmon_tests::env::Env;

use crate::other_tools::{Python, mcp};

/// The editor that two windows of are open.
const AGENT: &str = "claude-code";

/// What every client records in this test: 1,500 input and 800 output tokens.
fn log(tool: &str) -> serde_json::Value {
    json!(["log_token_usage", {
        "input_tokens": 1500,
        "output_tokens": 800,
        "model": "claude-sonnet-4-5",
        "tool_name": tool,
        "context": "",
    }])
}

#[tokio::test]
async fn two_mcp_clients_python_and_the_command_line_see_one_session() {
    let mut env = Env::new();
    // What an editor passes on, so that all of its tools speak of the same session.
    env.set_var("CLAUDE_CODE_SESSION_ID", "shared");
    let daemon = env.start_daemon();
    let client = env.client().await;

    // At the same time, each from a process of its own.
    std::thread::scope(|scope| {
        let legacy = scope.spawn(|| mcp(&env, "legacy", AGENT, &json!([log("Read"), log("Edit")])));
        let modern = scope.spawn(|| mcp(&env, "2026-07-28", AGENT, &json!([log("Bash"), log("Grep")])));
        let python =
            scope.spawn(|| Python::new(&env).call(&env, &["record", AGENT, "shared", "p1", "p2", "p3"]));
        for answers in [legacy.join(), modern.join()] {
            let answers = answers.expect("the MCP client ends");
            for result in answers["results"].as_array().expect("results") {
                assert_eq!(result["is_error"], false, "{result:#}");
            }
        }
        python.join().expect("the Python client ends");
    });

    // Each kind of client reads the same figures.
    let expected = 7;
    let session = client
        .get_session(v1::GetSessionRequest {
            id: "shared".to_owned(),
            agent: AGENT.to_owned(),
        })
        .await
        .expect("the session");
    assert_eq!(session.totals.expect("a sum").requests, expected);
    let python = Python::new(&env).call(&env, &["session", AGENT, "shared"]);
    assert_eq!(
        python,
        json!({"requests": expected, "input_tokens": 1_500 * expected, "cost_usd": "0.1155"})
    );
    let stats = json!([["get_current_session_stats", {}]]);
    let (first, second) = (
        mcp(&env, "legacy", AGENT, &stats),
        mcp(&env, "2026-07-28", AGENT, &stats),
    );
    assert_eq!(first["results"], second["results"]);
    let listed = env.ctl_json(&["report", "session"]);
    let rows = listed["rows"].as_array().expect("rows");
    let requests: u64 = rows
        .iter()
        .filter(|row| row["session"] == "shared")
        .filter_map(|row| row["requests"].as_u64())
        .sum();
    assert_eq!(requests, expected, "{listed:#}");
    daemon.stop();
}

#[tokio::test]
async fn a_reset_ends_the_session_and_history_stays() {
    // A6
    let env = Env::new();
    let daemon = env.start_daemon();
    let client = env.client().await;
    let usage = || v1::Usage {
        agent: "editor".to_owned(),
        model: "claude-sonnet-4-5".to_owned(),
        tokens: Some(v1::Tokens {
            input: 10,
            ..Default::default()
        }),
        ..Default::default()
    };
    let record = async || {
        let request = v1::RecordRequest { usage: Some(usage()) };
        let answer = client.record(request).await.expect("recorded");
        answer.session.expect("the session's totals")
    };
    let (first, second) = (record().await, record().await);
    assert_eq!(first.session, second.session);
    assert_eq!(second.requests, 2);

    let reset = client
        .reset_session(v1::ResetSessionRequest {
            agent: "editor".to_owned(),
        })
        .await
        .expect("a reset");
    let ended = reset.ended.expect("a session was ended");
    assert_eq!(
        (ended.session.as_str(), ended.requests),
        (first.session.as_str(), 2)
    );
    assert_ne!(reset.started, first.session);

    let third = record().await;
    assert_eq!(
        (third.session.as_str(), third.requests),
        (reset.started.as_str(), 1)
    );
    let old = client
        .get_session(v1::GetSessionRequest {
            id: first.session.clone(),
            agent: "editor".to_owned(),
        })
        .await
        .expect("history stays");
    assert_eq!(old.totals.expect("a sum").requests, 2);
    daemon.stop();
}
