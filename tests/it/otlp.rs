//! Telemetry over OTLP: real exporters, agents' events as they are on the wire, and everything that is wrong.

mod hostile;
mod http;
mod joined;

use serde_json::{Value, json};
use tokmon_tests::env::{Env, Run};
use tokmon_tests::tools;

use self::http::{Answer, Door};

/// The official exporters for Python.
const OPENTELEMETRY: [&str; 2] = ["opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp==1.45.2"];

/// A machine whose daemon takes telemetry at a port of its own.
fn env() -> Env {
    let mut env = Env::new();
    env.set_var("TOKMON_OTLP_ENABLED", "true");
    env
}

fn attributes(pairs: &Value) -> Vec<Value> {
    let pairs = pairs.as_object().expect("attributes");
    pairs
        .iter()
        .map(|(key, value)| {
            let kind = match value {
                Value::String(_) => "stringValue",
                Value::Number(number) if number.is_f64() => "doubleValue",
                Value::Number(_) => "intValue",
                _ => "boolValue",
            };
            json!({"key": key, "value": {kind: value}})
        })
        .collect()
}

/// A request with one record of an agent.
fn logs(service: &str, at_nanos: u64, pairs: &Value) -> Value {
    json!({"resourceLogs": [{
        "resource": {"attributes": attributes(&json!({"service.name": service}))},
        "scopeLogs": [{"logRecords": [{
            "timeUnixNano": at_nanos.to_string(), "attributes": attributes(pairs),
        }]}],
    }]})
}

/// One call of Claude Code: 100 uncached, 20 out, 3,000 read and 500 written.
fn claude(request: &str, now_nanos: u64) -> Value {
    let pairs = json!({
        "event.name": "api_request", "session.id": "s1", "model": "claude-sonnet-4-5", "input_tokens": 100,
        "output_tokens": 20, "cache_read_tokens": 3000, "cache_creation_tokens": 500,
        "request_id": request, "cost_usd_micros": 3375, "prompt": "SECRET-WORDS", "user.email": "a@SECRET.example",
    });
    logs("claude-code", now_nanos, &pairs)
}

fn now_nanos() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_nanos()).expect("before 2554")
}

/// [requests, input, output, cache read, cache written] of all there is.
fn totals(env: &Env) -> [u64; 5] {
    let totals = env.ctl_json(&["report", "model"])["totals"].clone();
    [
        "requests",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_5m_tokens",
    ]
    .map(|name| totals[name].as_u64().expect("a figure"))
}

#[test]
fn an_agents_event_counts_once_however_often_it_is_sent() {
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let body = claude("req_1", now_nanos()).to_string();
    for _ in 0..3 {
        let answer = door.post("/v1/logs", &[], body.as_bytes());
        assert_eq!((answer.status, answer.json()), (200, json!({})));
    }
    assert_eq!(totals(&env), [1, 100, 20, 3_000, 500]);
    let record = &env.ctl_json(&["log"])["records"][0];
    assert_eq!(
        (record["agent"].as_str(), record["session"].as_str()),
        (Some("claude-code"), Some("s1"))
    );
    let status = env.ctl_json(&["status"])["otlp"].clone();
    assert_eq!(
        [&status["requests"], &status["calls"], &status["duplicates"]],
        [3, 1, 2].map(Value::from).each_ref()
    );
    assert_eq!(status["senders"][0]["agent"], "claude-code");
    assert!(status["last"].is_string() && status["error"] == "");
    let shown = env.ctl(&["status"]).success().stdout;
    assert!(
        shown.contains(&door.endpoint)
            && shown.contains("3 requests, ")
            && shown.contains("1 new call, 2 known"),
        "{shown}"
    );
    daemon.stop();
    // No word of a prompt and no address lies anywhere.
    let found = Run::of(
        {
            let mut grep = env.command("grep");
            grep.args(["-r", "-a", "-l", "SECRET"]).arg(env.tokmon_home());
            grep
        },
        b"",
    );
    assert_eq!((found.code, found.stdout.as_str()), (1, ""));
}

#[test]
fn what_was_counted_stays_counted_once_after_a_crash() {
    let env = env();
    let daemon = env.start_daemon();
    let at = now_nanos();
    let body = claude("req_1", at).to_string();
    assert_eq!(Door::of(&env).post("/v1/logs", &[], body.as_bytes()).status, 200);
    daemon.kill();
    let daemon = env.start_daemon();
    // The token is the same: agents need not be set up again.
    let door = Door::of(&env);
    for body in [body, claude("req_2", at).to_string()] {
        assert_eq!(door.post("/v1/logs", &[], body.as_bytes()).status, 200);
    }
    assert_eq!(totals(&env), [2, 200, 40, 6_000, 1_000]);
    daemon.stop();
}

#[test]
fn a_record_that_cannot_be_right_is_told_and_the_others_count() {
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let mut body = claude("req_1", now_nanos());
    let mut wrong = claude("req_2", now_nanos());
    wrong["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"]
        .as_array_mut()
        .expect("attributes")
        .push(json!({"key": "input_tokens", "value": {"intValue": "-5"}}));
    let early = claude("req_3", 1_000_000_000_000);
    for other in [wrong, early] {
        let group = other["resourceLogs"][0].clone();
        body["resourceLogs"].as_array_mut().expect("groups").push(group);
    }
    let answer = door.post("/v1/logs", &[], body.to_string().as_bytes());
    assert_eq!(answer.status, 200);
    let partial = &answer.json()["partialSuccess"];
    assert_eq!(partial["rejectedLogRecords"], "2");
    assert!(
        partial["errorMessage"]
            .as_str()
            .expect("why")
            .contains("input_tokens"),
        "{partial}"
    );
    assert_eq!(totals(&env), [1, 100, 20, 3_000, 500]);
    let status = env.ctl_json(&["status"])["otlp"].clone();
    assert_eq!(status["rejected"], 2);
    assert!(
        status["problems"][0]
            .as_str()
            .expect("a problem")
            .contains("input_tokens")
    );
    daemon.stop();
}

#[test]
fn official_exporters_over_grpc_and_http_packed_and_not() {
    let python = tools::python("otlp", &OPENTELEMETRY);
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let script = tokmon_tests::binaries::root().join("tests/python/otlp_client.py");
    let mut calls = 0;
    for protocol in ["grpc", "http"] {
        for packing in ["none", "gzip"] {
            let mut command = env.command(&python);
            command
                .arg(&script)
                .args([protocol, packing, &door.endpoint, &door.token]);
            Run::of(command, b"").success();
            calls += 1;
            // A span and a log record tell of one call, and each run of a call of its own.
            assert_eq!(
                totals(&env),
                [calls, 500 * calls, 80 * calls, 1_500 * calls, 0],
                "{protocol} {packing}"
            );
        }
    }
    let status = env.ctl_json(&["status"])["otlp"].clone();
    assert_eq!(
        (&status["rejected"], &status["refused"]),
        (&json!(0), &json!(0)),
        "{status}"
    );
    assert_eq!(status["senders"][0]["agent"], "my-bot");
    // Logs, traces and metrics in each of the four ways.
    assert_eq!(status["requests"], 12);
    daemon.stop();
}

#[test]
fn grpc_clients_are_told_what_is_wrong_in_its_codes() {
    let python = tools::python("otlp", &OPENTELEMETRY);
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let script = tokmon_tests::binaries::root().join("tests/python/otlp_wrong.py");
    let mut command = env.command(&python);
    command.arg(&script).args([door.address(), &door.token]);
    let said = Run::of(command, b"").success().stdout;
    let said: Vec<&str> = said.lines().collect();
    for (said, (code, part)) in said.iter().zip([
        ("UNAUTHENTICATED", "otlp.token"),
        ("UNAUTHENTICATED", "otlp.token"),
        ("OK", ""),
        ("INVALID_ARGUMENT", "malformed protobuf"),
        ("RESOURCE_EXHAUSTED", "4194304"),
        ("UNIMPLEMENTED", "no such method"),
        ("UNIMPLEMENTED", "no such method"),
    ]) {
        assert!(said.starts_with(code) && said.contains(part), "{code}: {said}");
    }
    assert_eq!(said.len(), 7, "{said:?}");
    daemon.stop();
}

#[test]
fn agents_without_headers_send_everything_to_one_path_that_holds_the_token() {
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let pairs = json!({
        "event.name": "gemini_cli.api_response", "session.id": "g1", "model": "gemini-2.5-pro",
        "input_token_count": 900, "output_token_count": 120, "cached_content_token_count": 300,
        "thoughts_token_count": 60, "tool_token_count": 0, "total_token_count": 1080,
    });
    let body = logs("gemini-cli", now_nanos(), &pairs).to_string();
    let paths = [format!("/{}", door.token), format!("/{}/v1/logs", door.token)];
    for path in paths {
        let answer = door.raw(
            "POST",
            &path,
            &[("content-type", "application/json")],
            body.as_bytes(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(totals(&env), [1, 600, 180, 300, 0]);
    daemon.stop();
}

#[test]
fn metrics_count_for_nothing_and_tell_what_is_missing() {
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let metrics = |output: u64| {
        let pairs = json!({"session.id": "s1", "type": "output", "model": "claude-sonnet-4-5"});
        let point = json!({"startTimeUnixNano": "1", "timeUnixNano": now_nanos().to_string(),
            "asDouble": output, "attributes": attributes(&pairs)});
        let sum = json!({"dataPoints": [point], "aggregationTemporality": 1, "isMonotonic": true});
        let service = attributes(&json!({"service.name": "claude-code"}));
        json!({"resourceMetrics": [{"resource": {"attributes": service}, "scopeMetrics": [
            {"metrics": [{"name": "claude_code.token.usage", "sum": sum}]}]}]})
    };
    assert_eq!(
        door.post(
            "/v1/logs",
            &[],
            claude("req_1", now_nanos()).to_string().as_bytes()
        )
        .status,
        200
    );
    // As much as the call used: nothing is missing.
    for (more, missing) in [(3_620, None), (1_000, Some(4_620))] {
        let answer = door.post("/v1/metrics", &[], metrics(more).to_string().as_bytes());
        assert_eq!((answer.status, answer.json()), (200, json!({})));
        let drift = env.ctl_json(&["status"])["otlp"]["drifts"][0].clone();
        assert_eq!(drift["measured_tokens"].as_u64(), missing, "{drift}");
    }
    let shown = env.ctl(&["status"]).success().stdout;
    assert!(shown.contains("1,000 more than came in"), "{shown}");
    assert_eq!(totals(&env), [1, 100, 20, 3_000, 500]);
    daemon.stop();
}

#[test]
fn a_taken_port_is_told_and_keeps_nobody_from_serving() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut env = env();
    env.set_var("TOKMON_OTLP_LISTEN", &format!("{address},[::1]:0,127.0.0.1:0"));
    let daemon = env.start_daemon();
    let status = env.ctl_json(&["status"])["otlp"].clone();
    assert!(
        status["error"].as_str().expect("an error").contains(&address),
        "{status}"
    );
    let endpoints = status["endpoints"].as_array().expect("endpoints").len();
    assert!((1..=2).contains(&endpoints), "{status}");
    assert!(env.ctl(&["status"]).success().stdout.contains("cannot listen on"));
    daemon.stop();

    for (listen, allowed) in [
        ("0.0.0.0:4318", "loopback"),
        ("localhost", "loopback"),
        ("192.168.0.1:1", "loopback"),
    ] {
        env.set_var("TOKMON_OTLP_LISTEN", listen);
        let exit = tokmon_tests::daemon::Daemon::start(&env, &[])
            .err()
            .expect("it must not start");
        assert_eq!(exit.code, 78);
        assert!(
            exit.stderr.contains("TOKMON_OTLP_LISTEN") && exit.stderr.contains(allowed),
            "{exit}"
        );
    }
}

#[test]
fn without_it_nothing_listens() {
    let env = Env::new();
    let daemon = env.start_daemon();
    assert_eq!(env.ctl_json(&["status"])["otlp"], Value::Null);
    assert!(!env.paths().otlp_token_file().exists());
    daemon.stop();
}

/// What every refusal is: an answer in the form of the request, with a reason.
#[track_caller]
fn refused(answer: &Answer, status: u16, part: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body = answer.json();
    let message = body["message"]
        .as_str()
        .unwrap_or_else(|| panic!("no message in {answer:?}"));
    assert!(message.contains(part), "no {part:?} in {message:?}");
}
