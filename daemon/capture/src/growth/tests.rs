//! Examples of steps and of lines that are none.

mod codex;
mod hidden;

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
    assert!(step.teaches() && step.at_ms > 0);
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
    // Of what waits to be sent, the time at which it was said counts, not that at which somebody asks.
    let said = r#"{"type":"user","sessionId":"s","timestamp":"2026-03-01T10:31:00.000Z","message":{"content":"Go on"}}"#;
    let mut reader = Reader::new(CLAUDE).unwrap();
    for line in [&lines[0], prompt, &lines[1], said] {
        reader.line(line.as_bytes(), &mut Vec::new());
    }
    assert_eq!(reader.next(None, i64::MAX).unwrap().dropped.len(), 0);
    let mut reader = Reader::new(CLAUDE).unwrap();
    for line in [&lines[0], prompt, &lines[1], prompt] {
        reader.line(line.as_bytes(), &mut Vec::new());
    }
    assert_eq!(reader.next(None, i64::MAX).unwrap().dropped.len(), 2);
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
fn the_first_versions_repeat_the_tasks_whenever_they_change() {
    let write =
        r#"{"type":"tool_use","name":"TodoWrite","input":{"todos":[{"content":"Look","status":"pending"}]}}"#;
    let changed = |version: &str| {
        format!(
            r#"{{"type":"user","sessionId":"s","version":"{version}","message":{{"content":[{{"type":"tool_result","content":"Todos have been modified successfully."}}]}}}}"#
        )
    };
    for (version, texts) in [("1.0.17", 2), ("1.0.98", 1), ("", 1)] {
        let found = read(
            CLAUDE,
            &[
                &answer("a", OPUS, 20_000, 30, write),
                &changed(version),
                &answer("b", OPUS, 20_400, 30, CALL),
            ],
        );
        assert_eq!(found[0].added.len(), texts, "{version}");
    }
}
