//! Examples of steps and of lines that are none.

use super::*;

const CLAUDE: &str = "claude-code-transcript";
const CODEX: &str = "codex-rollout";

fn read(kind: &str, lines: &[&str]) -> Vec<Growth> {
    let mut reader = Reader::new(kind).unwrap();
    let mut found = Vec::new();
    for line in lines {
        reader.line(line.as_bytes(), &mut found);
    }
    found
}

fn answer(id: &str, model: &str, prompt: u64, output: u64, block: &str) -> String {
    format!(
        r#"{{"type":"assistant","sessionId":"s","timestamp":"2026-03-01T10:00:00.000Z","message":{{"id":"{id}","model":"{model}","usage":{{"input_tokens":3,"cache_read_input_tokens":{},"output_tokens":{output}}},"content":[{block}]}}}}"#,
        prompt - 3
    )
}

const OPUS: &str = "claude-opus-4-6";
const CALL: &str = r#"{"type":"tool_use","name":"Read","input":{"file_path":"/a\nb","limit":7}}"#;
const RESULT: &str = r#"{"type":"user","sessionId":"s","message":{"content":[{"type":"tool_result","content":"   12→one\n    x\n 3→"}]}}"#;

#[test]
fn a_call_of_many_lines_is_one_step_and_texts_are_as_the_model_sees_them() {
    let text = r#"{"type":"text","text":"I look."}"#;
    let found = read(
        CLAUDE,
        &[
            &answer("a", OPUS, 20_000, 1, text),
            &answer("a", OPUS, 20_000, 61, CALL),
            RESULT,
            r#"{"type":"attachment","sessionId":"s","attachment":{"type":"nested_memory","content":{"content":"Rules"}}}"#,
            r#"{"type":"attachment","sessionId":"s","attachment":{"type":"command_permissions","content":"not sent"}}"#,
            &answer("b", OPUS, 20_300, 9, text),
        ],
    );
    let [step] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!((step.before, step.billed, step.answer), (20_000, 20_300, 61));
    assert_eq!(step.said, ["I look.", "Read\nfile_path\n/a\nb\nlimit\n7"]);
    assert_eq!(step.added, ["12→one\n    x\n3→", "content\nRules"]);
    assert!(!step.unusual && step.at_ms > 0);
    let measured = step.measure(1_150, |text| text.len() as u64 / 3);
    assert_eq!((measured.known, measured.blocks), (20_061, 2));
    assert_eq!(
        measured.bytes,
        step.added.iter().map(|text| text.len() as u64).sum::<u64>()
    );
}

#[test]
fn an_answer_of_which_only_the_beginning_was_billed_is_counted_instead() {
    let long = format!(r#"{{"type":"text","text":"{}"}}"#, "word ".repeat(400));
    let found = read(
        CLAUDE,
        &[
            &answer("a", OPUS, 20_000, 2, &long),
            &answer("b", OPUS, 20_500, 9, CALL),
        ],
    );
    let measured = found[0].measure(1_150, |text| text.len() as u64 / 5);
    assert_eq!((measured.known, measured.counted), (20_000, 400));
}

#[test]
fn what_the_texts_do_not_tell_is_unusual() {
    let text = r#"{"type":"text","text":"Yes."}"#;
    let first = answer("a", OPUS, 20_000, 30, text);
    let second = answer("b", OPUS, 20_100, 30, text);
    let other_model = answer("b", "claude-haiku-4-5", 20_100, 30, text);
    for (between, then) in [
        (
            r#"{"type":"system","sessionId":"s","subtype":"compact_boundary"}"#,
            &second,
        ),
        (
            r#"{"type":"user","sessionId":"s","message":{"content":[{"type":"image"}]}}"#,
            &second,
        ),
        (
            r#"{"type":"user","sessionId":"s","message":{"content":[{"type":"text","text":"[Request interrupted by user]"}]}}"#,
            &second,
        ),
        (
            r#"{"type":"assistant","sessionId":"s","message":{"model":"<synthetic>","usage":{}}}"#,
            &second,
        ),
        ("{}", &other_model),
        ("no JSON", &other_model),
    ] {
        let found = read(CLAUDE, &[&first, between, then]);
        assert!(found.len() == 1 && found[0].unusual, "{between}: {found:?}");
    }
    assert!(!read(CLAUDE, &[&first, "[1]", &second])[0].unusual);
}

#[test]
fn what_the_agent_tells_the_model_unasked_is_counted() {
    let text = r#"{"type":"text","text":"Yes."}"#;
    let attached =
        |what: &str| format!(r#"{{"type":"attachment","sessionId":"s","attachment":{{"type":{what}}}}}"#);
    let found = read(
        CLAUDE,
        &[
            &answer("a", OPUS, 20_000, 30, text),
            &attached(r#""hook_additional_context","content":["Be brief.","Be kind."]"#),
            &attached(r#""deferred_tools_delta","addedNames":["Cron"],"addedLines":["Cron","Lsp"]"#),
            &attached(r#""mcp_instructions_delta","addedBlocks":["Ask me."]"#),
            &attached(r#""deferred_tools_delta","addedLines":[]"#),
            &attached(r#""task_reminder","content":[]"#),
            &answer("b", OPUS, 20_300, 9, text),
        ],
    );
    assert_eq!(
        found[0].added,
        ["Be brief.\nBe kind.", "Cron\nLsp", "Ask me.", ""]
    );
    let measured = found[0].measure(1_150, |text| text.len() as u64);
    assert_eq!((measured.counted, measured.blocks), (18 + 8 + 7 + REMINDER, 4));
}

#[test]
fn a_file_that_a_prompt_names_is_unusual_unless_it_is_there() {
    let text = r#"{"type":"text","text":"Yes."}"#;
    let [first, second] = [("a", 20_000), ("b", 21_000)].map(|(id, at)| answer(id, OPUS, at, 30, text));
    let file = r#"{"type":"attachment","sessionId":"s","attachment":{"type":"file","content":"Plan"}}"#;
    for (prompt, unusual) in [
        ("Follow @docs/PLAN.md, please", true),
        ("Follow @./a.md", true),
        ("Write to ann@example.org", false),
        ("Put @Component() there", false),
        ("@ @.. @/", false),
    ] {
        let prompt = format!(r#"{{"type":"user","sessionId":"s","message":{{"content":"{prompt}"}}}}"#);
        let alone = read(CLAUDE, &[&first, &prompt, &second]);
        assert_eq!(alone[0].unusual, unusual, "{prompt}");
        assert!(!read(CLAUDE, &[&first, &prompt, file, &second])[0].unusual);
    }
}

#[test]
fn old_models_forget_what_they_thought_when_the_user_speaks() {
    let thought = r#"{"type":"thinking","thinking":"Hm."}"#;
    let prompt = r#"{"type":"user","sessionId":"s","message":{"content":"Go on"}}"#;
    for (model, dropped) in [("claude-sonnet-4-5-20250929", 1), (OPUS, 0)] {
        let first = answer("a", model, 20_000, 30, thought);
        let second = answer("b", model, 20_030, 30, thought);
        let third = answer("c", model, 20_020, 30, thought);
        let found = read(CLAUDE, &[&first, RESULT, &second, prompt, &third]);
        assert_eq!(found[0].dropped.len(), 0);
        // What was thought in both answers before the prompt.
        assert_eq!(found[1].dropped.len(), 2 * dropped, "{model}");
    }
}

#[test]
fn after_a_long_rest_thinking_is_forgotten_by_every_model() {
    let thought = r#"{"type":"thinking","thinking":"Hm."}"#;
    let prompt = r#"{"type":"user","sessionId":"s","message":{"content":"Go on"}}"#;
    let at = |time: &str, id: &str| {
        answer(id, OPUS, 20_000, 30, thought).replace("2026-03-01T10:00", &format!("2026-03-01T{time}"))
    };
    let lines = [
        at("10:00", "a"),
        at("10:30", "b"),
        at("12:00", "c"),
        at("12:10", "d"),
    ];
    let found = read(
        CLAUDE,
        &[&lines[0], prompt, &lines[1], prompt, &lines[2], prompt, &lines[3]],
    );
    let dropped: Vec<usize> = found.iter().map(|step| step.dropped.len()).collect();
    assert_eq!(dropped, [0, 2, 0]);
}

#[test]
fn subagents_have_conversations_of_their_own() {
    let text = r#"{"type":"text","text":"Yes."}"#;
    let line = |uuid: &str, parent: &str, id: &str, prompt: u64| {
        let own = format!(r#"{{"uuid":"{uuid}","parentUuid":"{parent}","isSidechain":true,"#);
        answer(id, OPUS, prompt, 30, text).replacen('{', &own, 1)
    };
    let found = read(
        CLAUDE,
        &[
            &line("1", "", "a", 10_000),
            &line("2", "", "b", 50_000),
            &line("3", "1", "c", 10_100),
            &line("4", "2", "d", 50_100),
        ],
    );
    let steps: Vec<(u64, u64)> = found.iter().map(|step| (step.before, step.billed)).collect();
    assert_eq!(steps, [(10_000, 10_100), (50_000, 50_100)]);
}

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
    assert!(!found[0].unusual && found[1].unusual);
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
    let unusual: Vec<bool> = found.iter().map(|step| step.unusual).collect();
    assert_eq!(unusual, [false, true, true, false]);
    let forgotten: Vec<u64> = found.iter().map(|step| step.forgotten).collect();
    assert_eq!(forgotten, [0, 2 * (20 + 2), 20 + 2, 20]);
}
