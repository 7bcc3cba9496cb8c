//! Whole requests: against published bills, and with bodies of every shape and none.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokmon_tokenizer::{Api, BadRequest, Label, PartKind, RequestCount, Tokenizer, count_request};

/// Its tables are laid out once.
static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(Tokenizer::new);

fn count(api: Api, body: &Value) -> RequestCount {
    let counted = count_request(&TOKENIZER, Some(api), "", body.to_string().as_bytes()).unwrap();
    let sum = |of: fn(&tokmon_tokenizer::Part) -> u64| counted.parts.iter().map(of).sum::<u64>();
    assert_eq!(counted.tokens, sum(|part| part.tokens));
    assert_eq!(counted.low, sum(|part| part.low));
    assert_eq!(counted.high, sum(|part| part.high));
    for part in &counted.parts {
        assert!(part.low <= part.tokens && part.tokens <= part.high, "{part:?}");
    }
    counted
}

/// The example of OpenAI's cookbook, for which it tells the bills.
fn jargon(model: &str) -> Value {
    json!({"model": model, "messages": [
        {"role": "system", "content": "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
        {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
        {"role": "system", "name": "example_assistant", "content": "Things working well together will increase revenue."},
        {"role": "system", "name": "example_user", "content": "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
        {"role": "system", "name": "example_assistant", "content": "Let's talk later when we're less busy about how to do better."},
        {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client deliverable."},
    ]})
}

#[test]
fn a_chat_of_texts_is_exact() {
    for (model, tokens) in [
        ("gpt-3.5-turbo", 129),
        ("gpt-4-0613", 129),
        ("gpt-4o", 124),
        ("openai/gpt-5", 123),
    ] {
        let counted = count(Api::OpenAiChat, &jargon(model));
        assert_eq!((counted.tokens, counted.label), (tokens, Label::Exact), "{model}");
        assert_eq!(
            (counted.exact_tokens, counted.low, counted.high),
            (tokens, tokens, tokens)
        );
        assert_eq!(counted.parts.len(), 7);
        assert_eq!(counted.parts[1].name, "1 system");
        assert_eq!(
            (counted.parts[0].kind, counted.parts[5].kind),
            (PartKind::System, PartKind::Message)
        );
    }
}

#[test]
fn a_plain_response_is_exact_unless_something_is_hidden() {
    let body = json!({"model": "gpt-4.1", "instructions": "Be brief.", "input": "hello world"});
    let counted = count(Api::OpenAiResponses, &body);
    // 3 + 1 + 3 for the instructions, 3 + 1 + 2 for the input, 3.
    assert_eq!((counted.tokens, counted.label), (16, Label::Exact));
    let listed = json!({"model": "gpt-4.1", "instructions": "Be brief.", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "hello world"}]},
    ]});
    assert_eq!(count(Api::OpenAiResponses, &listed).tokens, 16);
    let mut body = body;
    body["previous_response_id"] = json!("resp_1");
    let counted = count(Api::OpenAiResponses, &body);
    assert_eq!((counted.tokens, counted.hidden.len()), (16, 1));
    assert_ne!(counted.label, Label::Exact);
}

/// The cookbook's example with a tool: billed 105 by GPT-4 and 101 by GPT-4o.
#[test]
fn tools_are_near_the_bill_and_say_that_they_are_estimates() {
    let body = |model: &str| {
        json!({"model": model, "messages": [
            {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
            {"role": "user", "content": "What's the weather like in San Francisco?"},
        ], "tools": [{"type": "function", "function": {
            "name": "get_current_weather",
            "description": "Get the current weather in a given location",
            "parameters": {"type": "object", "properties": {
                "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                "unit": {"type": "string", "description": "The unit of temperature to return", "enum": ["celsius", "fahrenheit"]},
            }, "required": ["location"]},
        }}]})
    };
    for (model, billed) in [("gpt-4", 105), ("gpt-4o", 101)] {
        let counted = count(Api::OpenAiChat, &body(model));
        assert!(
            counted.tokens.abs_diff(billed) <= 5,
            "{model}: {}, not {billed}",
            counted.tokens
        );
        assert!((counted.low..=counted.high).contains(&billed), "{model}");
        assert!(matches!(counted.label, Label::Prior { .. }));
        let tool = counted
            .parts
            .iter()
            .find(|part| part.kind == PartKind::Tool)
            .unwrap();
        assert_eq!(tool.name, "get_current_weather");
        assert!(counted.exact_tokens > 20 && counted.exact_tokens < counted.tokens);
    }
}

#[test]
fn claude_is_an_estimate_part_by_part() {
    // A PNG of 5 × 5 pixels.
    let png = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4";
    let body = json!({
        "model": "claude-opus-4-6",
        "system": [{"type": "text", "text": "You are a careful reviewer. ".repeat(40)}],
        "tools": [{"name": "read", "description": "Reads a file.", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}},
                  {"type": "bash_20250124", "name": "bash"}],
        "messages": [
            {"role": "user", "content": "What is in this picture?"},
            {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": png}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm. ".repeat(50)}, {"type": "tool_use", "name": "read", "input": {"path": "/a"}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "nothing"}]}]},
        ],
    });
    let counted = count(Api::Anthropic, &body);
    let names: Vec<&str> = counted.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "system 0",
            "read",
            "bash",
            "tools",
            "0 user",
            "1 user",
            "image",
            "2 assistant",
            "3 user",
            "request"
        ]
    );
    let part = |name: &str| counted.parts.iter().find(|part| part.name == name).unwrap();
    // 1.15 × 241 tokens of o200k_base, and one.
    assert_eq!(part("system 0").tokens, 278);
    assert_eq!(part("image").tokens, 1 + 3);
    // Thoughts of an earlier turn may be left out.
    assert!(part("2 assistant").tokens > 150 && part("2 assistant").low < 50);
    assert_eq!((counted.exact_tokens, counted.encoding), (0, "o200k_base"));
    assert!(matches!(counted.label, Label::Prior { .. }));
}

/// One short message is billed 7 tokens more than its text, most often.
#[test]
fn a_short_message_to_claude() {
    let body =
        json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "What is 2+2?"}]});
    let counted = count(Api::Anthropic, &body);
    assert!((14..=15).contains(&counted.tokens), "{}", counted.tokens);
    assert!(counted.low <= 14 && 14 <= counted.high);
}

#[test]
fn gemini_counts_texts_and_images() {
    let body = json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "hello world"}, {"inlineData": {"mimeType": "image/png", "data": "!"}}]}],
        "tools": [{"functionDeclarations": [{"name": "now"}]}, {"googleSearch": {}}],
    });
    let body = serde_json::to_vec(&body).unwrap();
    let counted = count_request(&TOKENIZER, Some(Api::Gemini), "gemini-3-pro", &body).unwrap();
    let names: Vec<&str> = counted.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(
        names,
        ["system", "now", "googleSearch", "0 user", "data", "request"]
    );
    assert_eq!((counted.parts[0].tokens, counted.parts[3].tokens), (3, 2));
    assert_eq!(counted.model, "gemini-3-pro");
}

#[test]
fn what_is_no_request_is_refused() {
    for body in ["", "[]", "1", "{", "nul", "{\"a\":"] {
        let refused = count_request(&TOKENIZER, Some(Api::Anthropic), "", body.as_bytes());
        assert!(matches!(refused, Err(BadRequest::NotJson(_))), "{body}");
    }
    let deep = "[".repeat(100_000);
    assert!(count_request(&TOKENIZER, Some(Api::OpenAiChat), "", deep.as_bytes()).is_err());
    let body = br#"{"messages": [{"role": "user", "content": "hello"}]}"#;
    let counted = count_request(&TOKENIZER, Some(Api::OpenAiChat), "no-such-model", body).unwrap();
    assert_ne!(counted.label, Label::Exact);
}

#[test]
fn what_the_provider_would_refuse_is_refused_by_name() {
    use Api::{Anthropic, Gemini, OpenAiChat, OpenAiResponses};
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    for (api, body, expected) in [
        (
            OpenAiChat,
            json!({}),
            "messages is missing or null; allowed: a list of messages",
        ),
        (OpenAiChat, json!({"messages": "hello"}), "messages is a text;"),
        (OpenAiChat, json!({"messages": []}), "messages is an empty list;"),
        (
            OpenAiChat,
            json!({"messages": {"role": "user"}}),
            "messages is an object;",
        ),
        (
            OpenAiChat,
            json!({"messages": ["hello"]}),
            "messages[0] is a text;",
        ),
        (
            OpenAiChat,
            json!({"messages": [{"content": "x"}]}),
            "messages[0].role is missing",
        ),
        (
            OpenAiChat,
            user(json!(5)),
            "messages[0].content is a number; allowed: a text, a list",
        ),
        (
            Anthropic,
            user(json!({"type": "text"})),
            "messages[0].content is an object;",
        ),
        (Anthropic, user(json!(["x"])), "messages[0].content[0] is a text;"),
        (
            Anthropic,
            user(json!([{"text": "x"}])),
            "messages[0].content[0].type is missing",
        ),
        (
            Anthropic,
            user(json!([{"type": "text", "text": 5}])),
            "messages[0].content[0].text is a number;",
        ),
        (
            OpenAiChat,
            json!({"messages": [{"role": "user"}], "tools": "x"}),
            "tools is a text;",
        ),
        (
            OpenAiChat,
            json!({"messages": [{"role": "user"}], "tools": [1]}),
            "tools[0] is a number;",
        ),
        (
            OpenAiChat,
            json!({"model": 5, "messages": [{"role": "user"}]}),
            "model is a number;",
        ),
        (
            Anthropic,
            json!({"system": 5, "messages": [{"role": "user"}]}),
            "system is a number;",
        ),
        (OpenAiResponses, json!({"input": true}), "input is true or false;"),
        (OpenAiResponses, json!({"input": ["x"]}), "input[0] is a text;"),
        (Gemini, json!({"contents": "hello"}), "contents is a text;"),
        (Gemini, json!({"contents": [{}]}), "contents[0].parts is missing"),
        (
            Gemini,
            json!({"contents": [{"parts": [{"text": []}]}]}),
            "contents[0].parts[0].text is an empty list;",
        ),
    ] {
        let refused = count_request(&TOKENIZER, Some(api), "", body.to_string().as_bytes());
        let told = refused.expect_err("refused").to_string();
        assert!(told.starts_with(expected), "{told:?}, not {expected:?}");
    }
}

#[test]
fn a_part_of_an_unknown_kind_is_told_and_not_exact() {
    let part =
        json!([{"type": "text", "text": "hi"}, {"type": "hologram", "data": "x"}, {"type": "hologram"}]);
    for (api, model) in [(Api::OpenAiChat, "gpt-4o"), (Api::Anthropic, "claude-opus-5")] {
        let counted = count(
            api,
            &json!({"model": model, "messages": [{"role": "user", "content": part}]}),
        );
        assert_eq!(counted.hidden, ["a part of the kind \"hologram\""]);
        assert_ne!(counted.label, Label::Exact);
    }
}

/// Values in which the names that requests use turn up anywhere.
fn anything() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "messages",
        "input",
        "content",
        "type",
        "role",
        "tools",
        "function",
        "parameters",
        "properties",
        "text",
        "image_url",
        "url",
        "source",
        "data",
        "parts",
        "contents",
        "inlineData",
        "system",
        "name",
        "enum",
        "anyOf",
        "items",
        "thinking",
        "instructions",
        "input_schema",
        "tool_calls",
        "arguments",
        "description",
        "required",
        "functionDeclarations",
    ]);
    let word = prop::sample::select(vec![
        "user",
        "text",
        "image",
        "image_url",
        "input_image",
        "tool_use",
        "tool_result",
        "document",
        "function",
        "object",
        "array",
        "thinking",
        "reasoning",
        "function_call",
        "input_audio",
        "file",
        "data:image/png;base64,iVBORw0KGgo=",
        "é",
    ]);
    let leaf = prop_oneof![
        3 => word.prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn bodies_of_any_shape_are_counted_or_refused(
        fields in prop::collection::vec(anything(), 5),
        model in prop::sample::select(vec!["gpt-5", "gpt-4", "claude-opus-5", "gemini-3-pro", "gpt-oss-20b", "x"]),
    ) {
        // As they are, and with parts of a message that have at least a kind and a text.
        let mut parts = fields.clone();
        for part in &mut parts {
            if !part.is_object() {
                *part = json!({"content": part, "type": "tool_result"});
            }
            for key in ["type", "text"] {
                if !part[key].is_string() {
                    part[key] = "image_url".into();
                }
            }
        }
        let messages = json!([{"role": "user", "content": parts}]);
        let contents = json!([{"parts": parts}]);
        let parted = json!({"model": model, "messages": messages, "input": messages, "contents": contents, "tools": parts});
        let mut body = json!({"model": model});
        for (name, value) in ["messages", "input", "contents", "tools", "system"].into_iter().zip(fields) {
            body[name] = value;
        }
        for api in Api::ALL {
            let counted = |body: &Value| count_request(&TOKENIZER, Some(api), "", body.to_string().as_bytes());
            // Counted or refused by name, and never anything else.
            if let Err(refused) = counted(&body) {
                prop_assert!(matches!(refused, BadRequest::Malformed { .. }), "{refused}");
            }
            count(api, &parted);
        }
    }
}

#[test]
fn what_only_one_provider_has_tells_whose_request_it_is() {
    let messages = json!([{"role": "user", "content": "hello"}]);
    let schema = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    for (body, wanted) in [
        (json!({"messages": messages, "model": "gpt-5"}), Api::OpenAiChat),
        (json!({"messages": messages}), Api::OpenAiChat),
        (
            json!({"messages": messages, "model": "claude-opus-4-6"}),
            Api::Anthropic,
        ),
        (
            json!({"messages": messages, "model": "bedrock/anthropic.claude-sonnet-4-5"}),
            Api::Anthropic,
        ),
        (
            json!({"messages": messages, "system": "Be brief."}),
            Api::Anthropic,
        ),
        (json!({"messages": messages, "tools": schema}), Api::Anthropic),
        (json!({"input": "hello", "model": "gpt-5"}), Api::OpenAiResponses),
        (json!({"contents": [{"parts": [{"text": "hello"}]}]}), Api::Gemini),
    ] {
        let counted = count_request(&TOKENIZER, None, "", body.to_string().as_bytes()).unwrap();
        assert_eq!(counted.api, wanted, "{body}");
        assert!(counted.tokens > 0);
    }
    let refused = count_request(&TOKENIZER, None, "", br#"{"prompt": "hello"}"#);
    assert_eq!(refused, Err(BadRequest::NoRequest));
}
