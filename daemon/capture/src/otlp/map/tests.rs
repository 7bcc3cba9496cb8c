//! Tables of what each agent says and what is understood, in JSON and in protobuf.

use proptest::prelude::*;
use serde_json::{Value, json};
use tokmon_core::limits::MAX_TOKENS_PER_CALL;

use super::*;
use crate::otlp::record::Visitor;
use crate::otlp::{json, protobuf, wire};

const AT: &str = "1795166105668000000";
const AT_MS: i64 = 1_795_166_105_668;

/// What became of the records of a body.
#[derive(Default)]
struct Found {
    calls: Vec<Observation>,
    others: usize,
    problems: Vec<String>,
}

struct Mapping(Signal, Intake, Found);

impl Visitor for Mapping {
    fn record(&mut self, resource: &Attributes<'_>, record: &Record<'_>) {
        match call(self.0, resource, record, &mut self.1) {
            Ok(Some(call)) => self.2.calls.push(call),
            Ok(None) => self.2.others += 1,
            Err(problem) => self.2.problems.push(problem.0),
        }
    }
}

/// The same request in JSON and in protobuf must mean the same.
fn read(signal: Signal, request: &Value) -> Found {
    let mut all = Vec::new();
    for in_json in [true, false] {
        let intake = Intake::new(AT_MS, "me".into());
        let mut mapping = Mapping(signal, intake, Found::default());
        if in_json {
            let body = serde_json::to_vec(request).unwrap();
            json::decode(signal, &body, &mut mapping).unwrap();
        } else {
            protobuf::decode(signal, &wire::request(signal, request), &mut mapping).unwrap();
        }
        all.push(mapping.2);
    }
    let (other, found) = (all.pop().unwrap(), all.pop().unwrap());
    assert_eq!(found.calls, other.calls);
    assert_eq!((found.others, &found.problems), (other.others, &other.problems));
    found
}

/// Attributes as OTLP has them: whole numbers of JSON are whole numbers, texts are texts.
fn attributes(pairs: &Value) -> Value {
    let pairs = pairs.as_object().unwrap().iter().map(|(key, value)| {
        let value = match value {
            Value::String(text) => json!({"stringValue": text}),
            Value::Bool(flag) => json!({"boolValue": flag}),
            Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
            // As the standard has it; Claude Code leaves the quotes out, and the reader does not mind.
            Value::Number(number) => json!({"intValue": number.to_string()}),
            _ => json!({}),
        };
        json!({"key": key, "value": value})
    });
    pairs.collect()
}

fn logs(service: &str, records: &[(&str, Value)]) -> Value {
    let records: Vec<Value> = records
        .iter()
        .map(|(body, pairs)| {
            json!({"timeUnixNano": AT, "observedTimeUnixNano": AT, "body": {"stringValue": body},
                   "attributes": attributes(pairs)})
        })
        .collect();
    json!({"resourceLogs": [{
        "scopeLogs": [{"scope": {"name": "s"}, "logRecords": records}],
        "resource": {"attributes": attributes(&json!({"service.name": service}))},
    }]})
}

fn span(service: &str, name: &str, pairs: Value) -> Value {
    json!({"resourceSpans": [{
        "resource": {"attributes": attributes(&json!({"service.name": service}))},
        "scopeSpans": [{"spans": [{
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": name,
            "startTimeUnixNano": "1795166100000000000", "endTimeUnixNano": AT,
            "attributes": attributes(&pairs),
        }]}],
    }]})
}

fn one(found: Found) -> Observation {
    assert_eq!((found.others, &found.problems), (0, &vec![]));
    let [call] = <[Observation; 1]>::try_from(found.calls).unwrap();
    call
}

/// [input, output, reasoning, cache_read, cache_write_5m, cache_write_1h]
fn buckets(call: &Observation) -> [u64; 6] {
    let [input, output, reasoning, read, for_5m, for_1h, rest @ ..] = call.tokens.to_array();
    assert_eq!(rest, [0; 5]);
    [input, output, reasoning, read, for_5m, for_1h]
}

fn claude(more: Value) -> Value {
    let mut pairs = json!({
        "event.name": "api_request", "session.id": "s1", "event.sequence": 8, "model": "claude-opus-4-8",
        "input_tokens": 127, "output_tokens": 42, "cache_read_tokens": 3000, "cache_creation_tokens": 2000,
        "cost_usd": 0.5, "cost_usd_micros": 16448, "request_id": "req_1", "speed": "normal",
        "user.email": "someone@example.org", "prompt": "the words of the prompt",
    });
    for (key, value) in more.as_object().unwrap() {
        pairs[key] = value.clone();
    }
    logs("claude-code", &[("claude_code.api_request", pairs)])
}

#[test]
fn claude_codes_events() {
    let call = one(read(Signal::Logs, &claude(json!({}))));
    assert_eq!(buckets(&call), [127, 42, 0, 3000, 2000, 0]);
    assert_eq!(
        (&*call.who.agent, &*call.who.session, &*call.who.user),
        ("claude-code", "s1", "me")
    );
    assert_eq!((&*call.provider, &*call.model), ("anthropic", "claude-opus-4-8"));
    assert_eq!(
        (&*call.request_id, call.at_ms, call.failed),
        ("req_1", AT_MS, false)
    );
    assert_eq!(call.reported_cost.unwrap().to_string(), "0.016448");
    assert_eq!((&*call.source.kind, &*call.source.path), ("claude-code-otel", ""));
    assert_eq!(call.place, None);
    assert!(!format!("{call:?}").contains("example.org") && !format!("{call:?}").contains("words"));

    let split = json!({"cache_creation_5m_tokens": 500, "cache_creation_1h_tokens": 1400, "speed": "fast",
        "agent.name": "Explore", "skill.name": "review", "mcp_server.name": "custom"});
    let call = one(read(Signal::Logs, &claude(split)));
    assert_eq!(buckets(&call), [127, 42, 0, 3000, 600, 1400]);
    assert!(call.fast);
    let place = call.place.unwrap();
    assert_eq!(
        (&*place.subagent, &*place.skill, &*place.mcp_server),
        ("Explore", "review", "")
    );

    // Their spans say the same again.
    let found = read(
        Signal::Traces,
        &span(
            "claude-code",
            "chat x",
            json!({
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 5}),
        ),
    );
    assert_eq!((found.calls.len(), found.others), (0, 1));
}

#[test]
fn a_failed_call_of_claude_code_has_no_tokens_and_a_key_of_its_own() {
    let error = json!({"event.name": "api_error", "session.id": "s1", "model": "claude-opus-4-8",
        "status_code": "529", "attempt": 3, "error": "overloaded", "client_request_id": "c"});
    let failed = one(read(
        Signal::Logs,
        &logs("claude-code", &[("claude_code.api_error", error)]),
    ));
    assert!(failed.failed && failed.tokens.total() == 0);
    let done = one(read(
        Signal::Logs,
        &claude(json!({"request_id": "", "client_request_id": "c"})),
    ));
    assert_ne!(failed.key, done.key);
}

#[test]
fn of_codexs_two_events_the_one_with_figures_counts() {
    let bare = json!({"event.name": "codex.sse_event", "event.kind": "response.completed", "model": "gpt-5.4",
        "conversation.id": "c1"});
    let mut full = bare.clone();
    for (key, value) in [
        ("input_token_count", "1030"),
        ("output_token_count", "77"),
        ("tool_token_count", "1107"),
    ] {
        full[key] = value.into();
    }
    for (key, value) in [
        ("cached_token_count", 600),
        ("cache_write_token_count", 30),
        ("reasoning_token_count", 33),
    ] {
        full[key] = value.into();
    }
    let mut failed = bare.clone();
    failed["event.name"] = "codex.api_request".into();
    failed["event.kind"] = Value::Null;
    failed["http.response.status_code"] = 429.into();
    let mut fine = failed.clone();
    fine["http.response.status_code"] = 200.into();
    let records = [bare, full, failed, fine].map(|pairs| ("", pairs));
    let found = read(Signal::Logs, &logs("codex_exec", &records));
    assert_eq!((found.calls.len(), found.others), (2, 2));
    assert_eq!(buckets(&found.calls[0]), [400, 77, 33, 600, 30, 0]);
    assert_eq!(
        (&*found.calls[0].who.agent, &*found.calls[0].who.session),
        ("codex", "c1")
    );
    assert!(found.calls[1].failed && !found.calls[0].failed);
    assert_eq!(&*found.calls[0].source.kind, "codex-otel");
}

#[test]
fn whether_thoughts_are_extra_the_total_tells() {
    for (total, thoughts, tools, wanted) in [
        (json!(1_080), 60, 0, [600, 180, 60, 300, 0, 0]),
        (json!(1_020), 60, 0, [600, 120, 60, 300, 0, 0]),
        (json!(1_090), 60, 10, [610, 180, 60, 300, 0, 0]),
        (json!(1_030), 60, 10, [610, 120, 60, 300, 0, 0]),
        (json!(1_030), 0, 10, [610, 120, 0, 300, 0, 0]),
        // Nonsense and nothing: as Google's own API has it.
        (json!(7), 60, 10, [610, 180, 60, 300, 0, 0]),
        (Value::Null, 60, 0, [600, 180, 60, 300, 0, 0]),
    ] {
        let pairs = json!({"event.name": "gemini_cli.api_response", "session.id": "s", "model": "gemini-2.5-pro",
            "input_token_count": 900, "output_token_count": 120, "cached_content_token_count": 300,
            "thoughts_token_count": thoughts, "tool_token_count": tools, "total_token_count": total,
            "prompt_id": "p1", "response_text": "words"});
        let call = one(read(
            Signal::Logs,
            &logs("gemini-cli", &[("API response", pairs)]),
        ));
        assert_eq!(buckets(&call), wanted, "{total} {thoughts} {tools}");
        assert_eq!((&*call.who.agent, &*call.provider), ("gemini-cli", "google"));
    }
}

#[test]
fn gemini_and_qwen_say_in_other_words_what_they_said() {
    let details = json!({"event.name": "gen_ai.client.inference.operation.details", "gen_ai.operation.name":
        "generate_content", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 5});
    let found = read(Signal::Logs, &logs("gemini-cli", &[("", details)]));
    assert_eq!((found.calls.len(), found.others), (0, 1));

    let pairs = json!({"event.name": "qwen-code.api_response", "session.id": "s", "model": "qwen3-coder-plus",
        "input_token_count": 1500, "output_token_count": 70, "cached_content_token_count": 1000,
        "thoughts_token_count": 20, "total_token_count": 1570, "response_id": "chatcmpl-1"});
    let call = one(read(Signal::Logs, &logs("qwen-code", &[("", pairs.clone())])));
    assert_eq!(buckets(&call), [500, 70, 20, 1000, 0, 0]);
    assert_eq!((&*call.who.agent, &*call.request_id), ("qwen-code", "chatcmpl-1"));
    let mut error = pairs;
    error["event.name"] = "qwen-code.api_error".into();
    error["response_id"] = Value::Null;
    assert!(one(read(Signal::Logs, &logs("qwen-code", &[("", error)]))).failed);
}

fn chat(more: Value) -> Value {
    let mut pairs = json!({
        "gen_ai.operation.name": "chat", "gen_ai.conversation.id": "c1", "gen_ai.response.id": "r1",
        "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5", "gen_ai.response.model": "gpt-5.5",
        "gen_ai.usage.input_tokens": 2000, "gen_ai.usage.cache_read.input_tokens": 1500,
        "gen_ai.usage.output_tokens": 80, "gen_ai.usage.reasoning.output_tokens": 10,
        "gen_ai.input.messages": "[{\"role\":\"user\",\"content\":\"words\"}]",
    });
    for (key, value) in more.as_object().unwrap() {
        pairs[key] = value.clone();
    }
    pairs
}

#[test]
fn a_span_of_the_conventions_counts_and_its_parents_do_not() {
    let call = one(read(
        Signal::Traces,
        &span(
            "github-copilot",
            "chat gpt-5.5",
            chat(json!({
        "github.copilot.nano_aiu": 123_000_000, "gen_ai.provider.name": "github"})),
        ),
    ));
    assert_eq!(buckets(&call), [500, 80, 10, 1500, 0, 0]);
    assert_eq!(
        (&*call.who.agent, &*call.who.session, &*call.request_id),
        ("copilot-cli", "c1", "r1")
    );
    assert_eq!((&*call.provider, &*call.model), ("openai", "gpt-5.5"));
    assert_eq!(call.reported_cost.unwrap().to_string(), "0.00123");
    // As in the file that it can write instead.
    assert_eq!(call.key, Key::new(0, &["copilot-response", "r1"]));

    for operation in ["invoke_agent", "execute_tool", "create_agent", "invoke_workflow"] {
        let pairs = chat(json!({"gen_ai.operation.name": operation}));
        let found = read(Signal::Traces, &span("my-bot", "x", pairs));
        assert_eq!((found.calls.len(), found.others), (0, 1), "{operation}");
    }
}

#[test]
fn others_are_booked_under_their_own_name_with_what_they_say() {
    let pairs = chat(
        json!({"gen_ai.provider.name": "gcp.vertex_ai", "user.name": "ada", "vcs.ref.head.name": "main",
        "vcs.repository.name": "app", "gen_ai.usage.cache_creation.input_tokens": 100, "gen_ai.usage.cost": 0.25,
        "openai.response.service_tier": "flex"}),
    );
    let call = one(read(Signal::Traces, &span("my-bot", "chat", pairs)));
    assert_eq!(buckets(&call), [400, 80, 10, 1500, 100, 0]);
    assert_eq!(
        (&*call.who.agent, &*call.who.user, &*call.who.project),
        ("my-bot", "ada", "app")
    );
    assert_eq!((&*call.provider, call.tier), ("vertex", Tier::Flex));
    assert_eq!(&*call.place.unwrap().branch, "main");
    assert_eq!(call.reported_cost.unwrap().to_string(), "0.25");

    // A name that is an address is nobody's; input that cannot contain the cached part does not.
    let pairs = chat(json!({"user.name": "ada@example.org", "gen_ai.usage.input_tokens": 9}));
    let call = one(read(Signal::Traces, &span("my-bot", "chat", pairs)));
    assert_eq!((&*call.who.user, buckets(&call)), ("me", [9, 80, 10, 1500, 0, 0]));

    // Older words, and no operation.
    let pairs = json!({"gen_ai.system": "mistral_ai", "gen_ai.response.model": "mistral-large",
        "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 3});
    let call = one(read(Signal::Traces, &span("old", "x", pairs)));
    assert_eq!((buckets(&call), &*call.provider), ([7, 3, 0, 0, 0, 0], "mistral"));

    let pairs = json!({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "text-embedding-3-small",
        "gen_ai.usage.input_tokens": 7});
    assert_eq!(
        one(read(Signal::Traces, &span("rag", "x", pairs))).kind,
        CallKind::Embedding
    );

    let pairs =
        json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "error.type": "timeout"});
    assert!(one(read(Signal::Traces, &span("bot", "x", pairs))).failed);
}

#[test]
fn sent_again_it_has_the_same_key_and_another_call_has_another() {
    let key = |signal, request: &Value| one(read(signal, request)).key;
    let claude_key = |more| key(Signal::Logs, &claude(more));
    assert_eq!(claude_key(json!({})), claude_key(json!({"event.sequence": 9})));
    assert_ne!(claude_key(json!({})), claude_key(json!({"request_id": "req_2"})));
    // Without the provider's id, all that is said makes the key.
    let bare = |more: Value| {
        let mut pairs = json!({"request_id": Value::Null});
        for (name, value) in more.as_object().unwrap() {
            pairs[name] = value.clone();
        }
        claude_key(pairs)
    };
    assert_eq!(bare(json!({})), bare(json!({})));
    for other in [
        json!({"event.sequence": 9}),
        json!({"session.id": "s2"}),
        json!({"output_tokens": 43}),
    ] {
        assert_ne!(bare(json!({})), bare(other.clone()), "{other}");
    }
    // One call told of in a span and in a log record.
    let as_log = logs("my-bot", &[("", chat(json!({})))]);
    assert_eq!(
        key(Signal::Logs, &as_log),
        key(Signal::Traces, &span("my-bot", "x", chat(json!({}))))
    );
    let anonymous = chat(json!({"gen_ai.response.id": Value::Null}));
    let first = key(Signal::Traces, &span("my-bot", "x", anonymous.clone()));
    assert_eq!(
        first,
        key(Signal::Traces, &span("my-bot", "y", anonymous.clone()))
    );
    assert_ne!(first, key(Signal::Logs, &logs("my-bot", &[("", anonymous)])));
}

#[test]
fn figures_that_cannot_be_right_are_named_and_the_rest_counts() {
    let records = [
        json!(-1),
        json!("lots"),
        json!(1.5),
        json!(MAX_TOKENS_PER_CALL + 1),
        json!(3),
    ]
    .map(|input| {
        let pairs =
            json!({"event.name": "api_request", "model": "m", "session.id": "s", "input_tokens": input});
        ("claude_code.api_request", pairs)
    });
    let found = read(Signal::Logs, &logs("claude-code", &records));
    assert_eq!((found.calls.len(), found.problems.len()), (1, 4));
    assert!(
        found
            .problems
            .iter()
            .all(|problem| problem.contains("input_tokens"))
    );
}

#[test]
fn of_the_ai_sdks_spans_the_inner_one_counts() {
    let outer = json!({"ai.operationId": "ai.streamText", "session.id": "ses_1", "ai.model.id": "m1",
        "ai.usage.inputTokens": 1348, "ai.usage.outputTokens": 68});
    assert_eq!(
        read(Signal::Traces, &span("opencode", "ai.streamText", outer)).others,
        1
    );
    let inner = |more: Value| {
        let mut pairs = json!({"ai.operationId": "ai.streamText.doStream", "ai.telemetry.metadata.sessionId": "ses_1",
            "gen_ai.system": "mock.chat", "gen_ai.request.model": "m1", "gen_ai.response.model": "m1",
            "gen_ai.response.id": "r1", "gen_ai.usage.input_tokens": 1348, "gen_ai.usage.output_tokens": 68,
            "ai.prompt.messages": "[\"words\"]", "ai.usage.reasoningTokens": 11,
            "ai.usage.outputTokenDetails.reasoningTokens": 11, "ai.usage.cachedInputTokens": 311});
        for (key, value) in more.as_object().unwrap() {
            pairs[key] = value.clone();
        }
        one(read(
            Signal::Traces,
            &span("opencode", "ai.streamText.doStream", pairs),
        ))
    };
    let told = json!({"ai.usage.inputTokenDetails.noCacheTokens": 1007, "ai.usage.inputTokenDetails.cacheWriteTokens": 30});
    for (more, wanted) in [
        (json!({}), [1037, 68, 11, 311, 0, 0]),
        (told, [1007, 68, 11, 311, 30, 0]),
    ] {
        let call = inner(more);
        assert_eq!(buckets(&call), wanted);
        assert_eq!(
            (&*call.who.agent, &*call.who.session, &*call.request_id),
            ("opencode", "ses_1", "r1")
        );
        assert_eq!(&*call.provider, "mock");
    }
    for (said, provider) in [
        ("anthropic.messages", "anthropic"),
        ("google.vertex.chat", "vertex"),
    ] {
        assert_eq!(&*inner(json!({"gen_ai.system": said})).provider, provider);
    }
}

#[test]
fn times_are_looked_for_in_order() {
    let mut request = claude(json!({}));
    let record = |request: &mut Value, name: &str, value: &str| {
        request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0][name] = value.into();
    };
    record(&mut request, "timeUnixNano", "0");
    record(&mut request, "observedTimeUnixNano", "1795166000000000000");
    assert_eq!(one(read(Signal::Logs, &request)).at_ms, 1_795_166_000_000);
    record(&mut request, "observedTimeUnixNano", "0");
    // With an id it is now that counts; without, nothing tells one call from another.
    assert_eq!(one(read(Signal::Logs, &request)).at_ms, AT_MS);
    let mut timeless = claude(json!({"request_id": Value::Null}));
    for name in ["timeUnixNano", "observedTimeUnixNano"] {
        record(&mut timeless, name, "0");
    }
    assert_eq!(
        read(Signal::Logs, &timeless).problems,
        ["a call with neither an id nor a time"]
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for signal in [Signal::Logs, Signal::Traces] {
            let mapping = || Mapping(signal, Intake::new(AT_MS, "me".into()), Found::default());
            let _ = protobuf::decode(signal, &bytes, &mut mapping());
            let _ = json::decode(signal, &bytes, &mut mapping());
        }
    }

    #[test]
    fn a_body_that_is_cut_or_changed_never_panics(cut in 0usize..2000, at in 0usize..2000, byte: u8) {
        for signal in [Signal::Logs, Signal::Traces] {
            let request = match signal {
                Signal::Logs => claude(json!({})),
                _ => span("my-bot", "chat", chat(json!({}))),
            };
            for mut body in [serde_json::to_vec(&request).unwrap(), wire::request(signal, &request)] {
                body.truncate(cut.max(1));
                let length = body.len();
                body[at % length] = byte;
                let mut mapping = Mapping(signal, Intake::new(AT_MS, "me".into()), Found::default());
                let _ = protobuf::decode(signal, &body, &mut mapping);
                let _ = json::decode(signal, &body, &mut mapping);
                prop_assert!(mapping.2.calls.len() < 2);
            }
        }
    }
}
