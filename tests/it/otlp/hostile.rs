//! What is wrong, huge or hostile: refused with a reason, and the ledger goes on.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::http::{Door, read};
use super::{claude, env, now_nanos, refused, totals};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .args(["-c", "-9"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip");
    let mut input = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    let feeder = std::thread::spawn(move || input.write_all(&bytes).expect("gzip reads"));
    let packed = child.wait_with_output().expect("gzip ends").stdout;
    feeder.join().expect("the feeder ends");
    packed
}

#[test]
fn only_who_has_the_token_gets_in() {
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let body = claude("req_1", now_nanos()).to_string();
    let json = ("content-type", "application/json");
    let bearer = format!("bEARER {}", door.token);
    let almost = format!("{}0", &door.token[1..]);
    for (path, headers, status) in [
        ("/v1/logs", vec![json], 401),
        ("/v1/logs", vec![json, ("x-tokmon-token", "")], 401),
        ("/v1/logs", vec![json, ("x-tokmon-token", almost.as_str())], 401),
        (
            "/v1/logs",
            vec![json, ("authorization", door.token.as_str())],
            401,
        ),
        ("/0123456789/v1/logs", vec![json], 401),
        // Nobody learns what is here without it.
        ("/nothing", vec![json], 401),
        ("/v1/logs", vec![json, ("authorization", bearer.as_str())], 200),
        (
            "/v1/logs",
            vec![json, ("x-tokmon-token", door.token.as_str())],
            200,
        ),
    ] {
        let answer = door.raw("POST", path, &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{path} {headers:?}: {answer:?}");
        if status == 401 {
            refused(&answer, 401, "otlp.token");
            assert!(!String::from_utf8_lossy(&answer.body).contains(&door.token));
        }
    }
    assert_eq!(totals(&env)[0], 1);
    assert_eq!(env.ctl_json(&["status"])["otlp"]["refused"], 6);
    daemon.stop();
}

#[test]
fn web_pages_and_other_hosts_are_kept_out() {
    let mut env = env();
    env.set_var("TOKMON_OTLP_REQUIRE_TOKEN", "false");
    let daemon = env.start_daemon();
    let endpoint = env.ctl_json(&["status"])["otlp"]["endpoints"][0].clone();
    let door = Door {
        endpoint: endpoint.as_str().expect("an endpoint").to_owned(),
        token: String::new(),
    };
    let body = claude("req_1", now_nanos()).to_string();
    for (header, status) in [
        (("origin", "https://evil.example"), 403),
        (("origin", "null"), 403),
        (("host", "evil.example"), 421),
        (("host", "127.0.0.1.evil.example:80"), 421),
        (("host", "localhost:1"), 200),
    ] {
        let answer = door.post("/v1/logs", &[header], body.as_bytes());
        assert_eq!(answer.status, status, "{header:?}: {answer:?}");
    }
    assert_eq!(env.ctl_json(&["status"])["otlp"]["token_file"], "");
    daemon.stop();
}

#[test]
fn what_is_not_otlp_is_named() {
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let good = claude("req_1", now_nanos()).to_string();
    let good = good.as_bytes();
    for (path, status, part) in [
        ("/v2/logs", 404, "/v1/logs"),
        ("/api/stats", 404, "/v1/logs"),
        ("/v1/logs/../../etc", 404, "/v1/logs"),
    ] {
        refused(&door.post(path, &[], good), status, part);
    }
    for (kind, status) in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ] {
        let answer = door.post("/v1/logs", &[("content-type", kind)], good);
        refused(&answer, status, "application/x-protobuf");
    }
    let packed = door.post("/v1/logs", &[("content-encoding", "br")], good);
    refused(&packed, 415, "gzip");
    let token = ("x-tokmon-token", door.token.as_str());
    let got = door.raw("GET", "/v1/logs", &[token], b"");
    refused(&got, 405, "POST");
    assert_eq!(got.header("allow"), Some("POST"));
    // Some kind must be said; JSON says it itself.
    refused(&door.post("/", &[], b"{}"), 404, "/v1/logs");
    assert_eq!(door.post("/", &[], good).status, 200);

    let protobuf = ("content-type", "application/x-protobuf");
    let answer = door.post("/v1/logs", &[protobuf], b"\x0a\xff\xff\xff\xff\x0f");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    assert!(answer.body.starts_with(&[0x08, 3, 0x12]), "{answer:?}");
    assert_eq!(totals(&env)[0], 1);
    daemon.stop();
}

#[test]
fn bodies_that_are_broken_deep_or_huge_are_bounded() {
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let deep = |open: &str, close: &str| {
        format!(
            "{{\"resourceLogs\":{}{}}}",
            open.repeat(400_000),
            close.repeat(400_000)
        )
    };
    let nested_value = {
        let (open, close) = (
            "{\"arrayValue\":{\"values\":[".repeat(50_000),
            "]}}".repeat(50_000),
        );
        format!(
            "{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"attributes\":[{{\"key\":\"model\",\"value\":{open}{close}}}]}}]}}]}}]}}"
        )
    };
    for (body, status) in [
        (b"".to_vec(), 400),
        (b"[]".to_vec(), 400),
        (b"null".to_vec(), 400),
        (b"{\"resourceLogs\":[".to_vec(), 400),
        (b"{\"resourceLogs\":[{}]} and more".to_vec(), 400),
        (b"\xff\xfe\x00".to_vec(), 400),
        (deep("[", "]").into_bytes(), 200),
        (deep("{\"a\":", "}").into_bytes(), 200),
        (nested_value.into_bytes(), 200),
        (
            format!("{{\"resourceLogs\":[{}{{}}]}}", "{},".repeat(1_000_000)).into_bytes(),
            200,
        ),
        (b"{\"resourceLogs\":{\"a\":1},\"x\":[1,2]}".to_vec(), 200),
    ] {
        let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = door.post("/v1/logs", &[], &body);
        assert_eq!(answer.status, status, "{start}: {answer:?}");
    }
    let broken_text = [
        br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"NaN","attributes":[{"key":"model","value":{"stringValue":""#.as_slice(),
        b"\xff\xfe",
        br#""}},{"key":"event.name","value":{"stringValue":"claude_code.api_request"}},{"key":"input_tokens","value":{"doubleValue":"NaN"}}]}]}]}]}"#,
    ]
    .concat();
    let answer = door.post("/v1/logs", &[], &broken_text);
    assert_eq!(
        answer.json()["partialSuccess"]["rejectedLogRecords"],
        "1",
        "{answer:?}"
    );

    // Too large as sent, said and unsaid, and unpacked.
    let large = vec![b' '; 5 << 20];
    refused(&door.post("/v1/logs", &[], &large), 413, "4194304");
    let chunked = [b"500000\r\n".as_slice(), &large, b"\r\n0\r\n\r\n"].concat();
    refused(
        &door.post("/v1/logs", &[("transfer-encoding", "chunked")], &chunked),
        413,
        "4194304",
    );
    let gzipped = ("content-encoding", "gzip");
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    refused(&door.post("/v1/logs", &[gzipped], &bomb), 413, "16777216");
    let good = gzip(claude("req_1", now_nanos()).to_string().as_bytes());
    for cut in [good.len() - 1, good.len() / 2, 3] {
        refused(&door.post("/v1/logs", &[gzipped], &good[..cut]), 400, "unpacked");
    }
    assert_eq!(door.post("/v1/logs", &[gzipped], &good).status, 200);
    assert_eq!(totals(&env)[0], 1);
    let resident = env.ctl_json(&["status"])["resident_bytes"]
        .as_u64()
        .expect("a size");
    assert!(resident < 150 << 20, "{resident} bytes");
    daemon.stop();
}

#[test]
fn who_is_slow_or_silent_loses_the_place_and_others_are_served() {
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    // Half a head, half a body, silence: each on many connections.
    let mut held = Vec::new();
    let token = &door.token;
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\nx-tokmon-token: {token}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{"
    );
    for kind in ["", "POST /v1/lo", head.as_str()] {
        for _ in 0..20 {
            let mut stream = door.connect();
            stream.write_all(kind.as_bytes()).expect("it is accepted");
            held.push(stream);
        }
    }
    let body = claude("req_1", now_nanos()).to_string();
    assert_eq!(door.post("/v1/logs", &[], body.as_bytes()).status, 200);
    // After ten seconds each has been told or closed.
    for mut stream in held {
        let answer = read(&mut stream);
        assert!([0, 408].contains(&answer.status), "{answer:?}");
    }
    daemon.stop();
}

#[test]
fn more_connections_than_allowed_are_closed_and_more_requests_told_to_wait() {
    let env = env();
    let daemon = env.start_daemon();
    let door = Door::of(&env);
    let mut held: Vec<_> = (0..128).map(|_| door.connect()).collect();
    let mut one_more = door.connect();
    let answer = read(&mut one_more);
    assert_eq!((answer.status, answer.body.len()), (0, 0), "{answer:?}");
    held.clear();

    // One connection, many requests at once.
    let body = json!({"resourceLogs": []}).to_string();
    let token = &door.token;
    let one = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\nx-tokmon-token: {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let last = one.replacen("host:", "connection: close\r\nhost:", 1);
    let answers = loop {
        // The places come back when the daemon sees that the others are gone.
        let answers = door.bytes(format!("{}{last}", one.repeat(600)).as_bytes());
        if answers.status != 0 {
            break answers;
        }
    };
    let text = answers.head + &String::from_utf8_lossy(&answers.body);
    let (taken, later) = (
        text.matches("HTTP/1.1 200").count(),
        text.matches("HTTP/1.1 429").count(),
    );
    assert!(
        taken >= 200 && later > 0 && taken + later == 601,
        "{taken} {later}"
    );
    assert!(text.to_lowercase().contains("retry-after: 1"));
    daemon.stop();
}
