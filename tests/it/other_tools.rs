//! Programs that are not ours: a Python client that has only the contract, and MCP clients of the official SDK.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokmon_tests::binaries;
use tokmon_tests::env::{Env, Run};
use tokmon_tests::tools;

/// The published packages that the foreign clients use.
const GRPC: [&str; 4] = [
    "grpcio==1.85.1",
    "grpcio-tools==1.85.1",
    "grpcio-health-checking==1.85.1",
    "grpcio-reflection==1.85.1",
];
const MCP: [&str; 1] = ["mcp==2.3.0"];

/// The Python client with its stubs, ready to be called.
pub(crate) struct Python {
    python: PathBuf,
    stubs: PathBuf,
}

impl Python {
    pub(crate) fn new(env: &Env) -> Python {
        let python = tools::python("grpc", &GRPC);
        let stubs = env.path("stubs");
        tools::python_stubs(&python, &stubs);
        Python { python, stubs }
    }

    pub(crate) fn call(&self, env: &Env, arguments: &[&str]) -> Value {
        let mut command = env.command(&self.python);
        command
            .arg(binaries::root().join("tests/python/client.py"))
            .arg(env.socket())
            .arg(&self.stubs)
            .args(arguments);
        Run::of(command, b"").success().json()
    }
}

/// Calls tools of tokmon-mcp the way the editor of that name does.
pub(crate) fn mcp(env: &Env, mode: &str, editor: &str, calls: &Value) -> Value {
    let python = tools::python("mcp", &MCP);
    let mut command = env.command(python);
    command
        .arg(binaries::root().join("tests/python/mcp_client.py"))
        .arg(binaries::tokmon_mcp())
        .args([mode, editor]);
    Run::of(command, calls.to_string().as_bytes()).success().json()
}

#[test]
fn python_speaks_to_the_daemon_with_nothing_but_the_contract() {
    let env = Env::new();
    let daemon = env.start_daemon();
    let python = Python::new(&env);

    let probe = python.call(&env, &["probe"]);
    assert_eq!(probe["health"], "SERVING");
    assert_eq!(probe["contract"], tokmon_proto::CONTRACT);
    assert_eq!(probe["error"], json!(["NOT_FOUND", "not_found"]));
    let services = probe["services"].as_array().expect("services");
    for noun in ["Budget", "Daemon", "Price", "Report", "Session", "Token", "Usage"] {
        let name = format!("tokmon.v1.{noun}Service");
        assert!(services.contains(&json!(name)), "{name} is not in {services:?}");
    }

    let recorded = python.call(&env, &["record", "python", "s", "a", "b", "a"]);
    let outcome = |at: usize| recorded["answers"][at]["outcome"].clone();
    assert_eq!(outcome(0), "RECORD_OUTCOME_ADDED");
    assert_eq!(outcome(2), "RECORD_OUTCOME_DUPLICATE");
    assert_eq!(recorded["answers"][0]["cost_usd"], "0.0165");

    let report = python.call(&env, &["report"]);
    assert_eq!(
        report,
        json!({"requests": 2, "cost_usd": "0.033", "rows": {"claude-sonnet-4-5": 2}})
    );
    daemon.stop();
}

#[test]
fn a_long_stream_of_small_records_is_no_flood() {
    // gRPC's C core sends every record in a frame of its own, faster than they become durable.
    let env = Env::new();
    let daemon = env.start_daemon();
    let python = Python::new(&env);
    let streamed = python.call(&env, &["stream", "python", "s", "20000"]);
    assert_eq!(streamed, json!({"added": 20_000, "refused": 0}));
    assert_eq!(python.call(&env, &["report"])["requests"], 20_000);
    daemon.stop();
}

#[test]
fn both_eras_of_mcp_offer_the_same_tools() {
    let env = Env::new();
    let daemon = env.start_daemon();
    let expected = [
        "export_analysis",
        "get_current_session_stats",
        "get_daily_report",
        "get_optimization_tips",
        "get_waste_analysis",
        "log_token_usage",
        "reset_session",
        "set_budget_alert",
    ];
    let calls = json!([
        ["log_token_usage", {"input_tokens": 1500, "output_tokens": 800, "model": "claude-sonnet-4-5",
                             "tool_name": "Read", "context": "c"}],
        ["get_current_session_stats", {}],
        ["get_waste_analysis", {"period": "today"}],
        ["get_daily_report", {}],
        ["get_optimization_tips", {}],
        ["set_budget_alert", {"daily_limit_tokens": 1000000, "daily_limit_usd": 20, "alert_threshold_percent": 80}],
        ["export_analysis", {"format": "csv", "period": "all"}],
        ["reset_session", {}],
        ["get_waste_analysis", {"period": "last_fortnight"}],
        ["log_token_usage", {"input_tokens": -1, "output_tokens": 0, "model": "m"}],
    ]);
    for mode in ["legacy", "2026-07-28"] {
        let answers = mcp(&env, mode, "some-editor", &calls);
        let mut names: Vec<&str> = answers["tools"]
            .as_array()
            .expect("tools")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{mode}");
        let results = answers["results"].as_array().expect("results");
        for (call, result) in calls.as_array().expect("calls").iter().zip(results).take(8) {
            assert_eq!(result["is_error"], false, "{mode} {call}: {result:#}");
        }
        assert!(
            results[0]["text"].as_str().expect("text").contains("0.0165"),
            "{}",
            results[0]
        );
        // A mistake is an answer that the model can act on: it names what is allowed.
        assert_eq!(results[8]["is_error"], true);
        assert!(
            results[8]["text"].as_str().expect("text").contains("last_7_days"),
            "{}",
            results[8]
        );
        assert_eq!(results[9]["is_error"], true, "{}", results[9]);
    }
    daemon.stop();
}

#[test]
fn mcp_starts_the_daemon_when_it_is_away() {
    let env = Env::new();
    let answers = mcp(
        &env,
        "legacy",
        "some-editor",
        &json!([["get_current_session_stats", {}]]),
    );
    assert_eq!(answers["results"][0]["is_error"], false, "{answers:#}");
    env.ctl(&["daemon", "stop"]).success();
}
