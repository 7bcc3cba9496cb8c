//! Codex's conversations.

use super::*;

#[test]
fn codex_tells_the_figures_after_the_answer() {
    let item = |payload: &str| format!(r#"{{"type":"response_item","payload":{payload}}}"#);
    let figures = |total: u64, prompt: u64| {
        format!(
            r#"{{"type":"event_msg","timestamp":"2026-06-18T05:00:00.000Z","payload":{{"type":"token_count","info":{{"total_token_usage":{{"total_tokens":{total}}},"last_token_usage":{{"input_tokens":{prompt},"output_tokens":50}}}}}}}}"#
        )
    };
    let call = item(r#"{"type":"function_call","arguments":"{}"}"#);
    let output = item(r#"{"type":"function_call_output","output":"done"}"#);
    let lines = [
        r#"{"type":"turn_context","payload":{"model":"gpt-5.2-codex"}}"#.to_owned(),
        item(r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"Do it"}]}"#),
        call.clone(),
        output.clone(),
        figures(1, 10_000),
        figures(1, 10_000),
        item(r#"{"type":"message","role":"assistant","content":[]}"#),
        figures(2, 10_060),
        item(r#"{"type":"message","role":"user","content":[{"type":"input_image"}]}"#),
        call,
        figures(3, 11_000),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let found = read(CODEX, &lines);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].before, found[0].billed, found[0].answer),
        (10_000, 10_060, 50)
    );
    assert_eq!(
        (&*found[0].model, found[0].added.as_slice()),
        ("gpt-5.2-codex", &["done".to_owned()][..])
    );
    assert!(found[0].teaches());
    assert_eq!(found[1].hidden, Some(Hidden::Attached));
}

#[test]
fn codex_forgets_reasoning_finds_tools_and_searches_the_web() {
    let item = |payload: &str| format!(r#"{{"type":"response_item","payload":{payload}}}"#);
    let figures = |total: u64, prompt: u64| {
        format!(
            r#"{{"type":"event_msg","timestamp":"2026-06-18T05:00:00.000Z","payload":{{"type":"token_count","info":{{"total_token_usage":{{"total_tokens":{total}}},"last_token_usage":{{"input_tokens":{prompt},"output_tokens":50,"reasoning_output_tokens":20}}}}}}}}"#
        )
    };
    let user = item(r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"Go on"}]}"#);
    let reasoning = item(r#"{"type":"reasoning","summary":[]}"#);
    let lines = [
        reasoning.clone(),
        item(r#"{"type":"tool_search_call","arguments":{}}"#),
        item(r#"{"type":"tool_search_output","tools":[{"name":"fetch"}]}"#),
        figures(1, 10_000),
        reasoning.clone(),
        figures(2, 10_060),
        user.clone(),
        reasoning,
        item(r#"{"type":"web_search_call"}"#),
        figures(3, 15_000),
        user.clone(),
        figures(4, 10_100),
        user,
        figures(5, 10_150),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let found = read(CODEX, &lines);
    assert_eq!(found[0].added, [r#"[{"name":"fetch"}]"#]);
    // What a search finds is billed with the call that searches: nobody knows before, but everybody after.
    let seen: Vec<(Option<Hidden>, bool)> = found.iter().map(|step| (step.hidden, step.inflated)).collect();
    let searched = (Some(Hidden::Searched), false);
    assert_eq!(seen, [(None, false), (None, true), searched, (None, false)]);
    let forgotten: Vec<u64> = found.iter().map(|step| step.forgotten).collect();
    assert_eq!(forgotten, [0, 2 * (20 + 2), 20 + 2, 20]);
}

#[test]
fn codex_tells_the_next_call_too() {
    let item = |payload: &str| format!(r#"{{"type":"response_item","payload":{payload}}}"#);
    let figures = |total: u64| {
        format!(
            r#"{{"type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{{"total_tokens":{total}}},"last_token_usage":{{"input_tokens":10000,"output_tokens":50}}}}}}}}"#
        )
    };
    let mut reader = Reader::new(CODEX).unwrap();
    let mut found = Vec::new();
    let lines = [
        r#"{"type":"turn_context","payload":{"model":"gpt-5.5"}}"#.to_owned(),
        item(r#"{"type":"function_call","arguments":"{}"}"#),
        item(r#"{"type":"function_call_output","output":"done"}"#),
        figures(1),
        item(
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"Look"},{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}"#,
        ),
    ];
    for line in &lines {
        assert_eq!(reader.next(None, 7), None, "{line}");
        reader.line(line.as_bytes(), &mut found);
        if line.contains("token_count") {
            break;
        }
    }
    reader.line(lines[4].as_bytes(), &mut found);
    let next = reader.next(None, 7).expect("a call was read");
    assert_eq!(
        (next.before, next.answer, next.at_ms, next.hidden),
        (10_000, 50, 7, None)
    );
    assert_eq!(
        (next.added, next.images),
        (
            vec!["done".to_owned(), "Look".to_owned()],
            vec!["AAAA".to_owned()]
        )
    );
    assert_eq!(
        reader.next(Some("gpt-5.4"), 7).unwrap().hidden,
        Some(Hidden::Model)
    );
    reader.line(lines[1].as_bytes(), &mut found);
    assert_eq!(reader.next(None, 7).unwrap().hidden, Some(Hidden::Unbilled));
    reader.line(figures(2).as_bytes(), &mut found);
    assert_eq!(reader.next(None, 7).unwrap().hidden, None);
    let broken_off = item(
        r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"<turn_aborted>\nWhy"}]}"#,
    );
    reader.line(broken_off.as_bytes(), &mut found);
    assert_eq!(reader.next(None, 7).unwrap().hidden, Some(Hidden::Interrupted));
}
