//! What transcripts do not tell, and how it is seen before the next prompt is sent.

use proptest::prelude::*;

use super::*;

#[test]
fn what_the_texts_do_not_tell_has_a_name() {
    let text = r#"{"type":"text","text":"Yes."}"#;
    let first = answer("a", OPUS, 20_000, 30, text);
    let second = answer("b", OPUS, 20_100, 30, text);
    let other_model = answer("b", "claude-haiku-4-5", 20_100, 30, text);
    let user =
        |block: &str| format!(r#"{{"type":"user","sessionId":"s","message":{{"content":[{block}]}}}}"#);
    let of = |rest: &str| format!(r#"{{"sessionId":"s",{rest}}}"#);
    for (between, then, why) in [
        (
            of(r#""type":"system","subtype":"compact_boundary""#),
            &second,
            Hidden::Compacted,
        ),
        (
            of(r#""type":"system","subtype":"microcompact_boundary""#),
            &second,
            Hidden::Compacted,
        ),
        (
            of(r#""type":"user","isCompactSummary":true"#),
            &second,
            Hidden::Compacted,
        ),
        (user(r#"{"type":"image"}"#), &second, Hidden::Attached),
        (
            user(r#"{"type":"document","source":{"data":"JVBERi0="}}"#),
            &second,
            Hidden::Attached,
        ),
        (
            user(r#"{"type":"tool_result","content":[{"type":"tool_reference","tool_name":"Cron"}]}"#),
            &second,
            Hidden::Tools,
        ),
        (
            user(r#"{"type":"text","text":"[Request interrupted by user]"}"#),
            &second,
            Hidden::Interrupted,
        ),
        (
            of(r#""type":"assistant","message":{"model":"<synthetic>","usage":{}}"#),
            &second,
            Hidden::Resumed,
        ),
        (
            of(r#""type":"assistant","isApiErrorMessage":true,"message":{"model":"<synthetic>","usage":{}}"#),
            &second,
            Hidden::Interrupted,
        ),
        (
            of(r#""type":"attachment","attachment":{"type":"plan_mode"}"#),
            &second,
            Hidden::Attached,
        ),
        (
            of(r#""type":"attachment","attachment":{"type":"never_seen"}"#),
            &second,
            Hidden::Attached,
        ),
        ("{}".to_owned(), &other_model, Hidden::Model),
        ("no JSON".to_owned(), &other_model, Hidden::Model),
    ] {
        let between = between.as_str();
        let found = read(CLAUDE, &[&first, between, then]);
        assert_eq!(
            (found.len(), found[0].hidden),
            (1, Some(why)),
            "{between}: {found:?}"
        );
    }
    assert!(read(CLAUDE, &[&first, "[1]", &second])[0].teaches());
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
        assert_eq!(alone[0].hidden, unusual.then_some(Hidden::File), "{prompt}");
        assert!(read(CLAUDE, &[&first, &prompt, file, &second])[0].teaches());
    }
}

#[test]
fn what_is_known_before_a_call_is_what_is_told_of_it_after() {
    let text = r#"{"type":"text","text":"Yes."}"#;
    let [first, second] = [("a", 20_000), ("b", 21_000)].map(|(id, at)| answer(id, OPUS, at, 30, text));
    let at_ms = read(CLAUDE, &[&first, &second])[0].at_ms;
    let broken_off = r#"{"type":"user","sessionId":"s","message":{"content":[{"type":"text","text":"[Request interrupted by user]"}]}}"#;
    for between in [RESULT, broken_off, "{}"] {
        let mut reader = Reader::new(CLAUDE).unwrap();
        let mut found = Vec::new();
        assert_eq!(reader.next(None, at_ms), None);
        for line in [&first, between] {
            reader.line(line.as_bytes(), &mut found);
        }
        let before = reader.next(None, at_ms).expect("a call was read");
        assert_eq!(reader.next(Some(OPUS), at_ms).as_ref(), Some(&before));
        assert_eq!(
            reader
                .next(Some("claude-haiku-4-5"), at_ms)
                .map(|next| next.hidden.is_some()),
            Some(true)
        );
        reader.line(second.as_bytes(), &mut found);
        assert_eq!((before.billed, found[0].billed), (0, 21_000));
        found[0].billed = 0;
        assert_eq!(found[0], before, "{between}");
    }
}

/// A line of a tree: a call of its own message with a result, side by side with others.
fn in_tree(version: &str, uuid: &str, parent: &str, rest: &str) -> String {
    format!(r#"{{"sessionId":"s","version":"{version}","uuid":"{uuid}","parentUuid":"{parent}",{rest}}}"#)
}

#[test]
fn old_versions_lose_results_beside_the_way_when_they_are_taken_up_again() {
    let usage = |prompt: u64| format!(r#""usage":{{"input_tokens":{prompt},"output_tokens":40}}"#);
    let call = |id: &str, prompt: u64, block: &str| {
        let usage = usage(prompt);
        format!(
            r#""type":"assistant","message":{{"id":"{id}","model":"{OPUS}",{usage},"content":[{block}]}}"#
        )
    };
    let result = |text: &str| {
        format!(r#""type":"user","message":{{"content":[{{"type":"tool_result","content":"{text}"}}]}}"#)
    };
    let synthetic = r#""type":"assistant","message":{"model":"<synthetic>","usage":{},"content":[{"type":"text","text":"No response requested."}]}"#;
    for (version, later, lost) in [
        ("2.1.22", "2.1.22", 1),
        ("2.1.80", "2.1.80", 0),
        ("2.1.22", "2.2.0", 0),
    ] {
        let lines = [
            in_tree(version, "1", "", &call("a", 20_000, CALL)),
            in_tree(version, "2", "1", &call("a", 20_000, CALL)),
            in_tree(version, "3", "1", &result("first")),
            in_tree(version, "4", "2", &result("second")),
            in_tree(
                version,
                "5",
                "4",
                &call("b", 20_200, r#"{"type":"text","text":"Both."}"#),
            ),
            in_tree(later, "6", "5", synthetic),
            in_tree(later, "7", "6", r#""type":"user","message":{"content":"Go on"}"#),
            in_tree(
                later,
                "8",
                "7",
                &call("c", 20_100, r#"{"type":"text","text":"Well."}"#),
            ),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = read(CLAUDE, &lines);
        assert_eq!(
            (found.len(), found[1].hidden),
            (2, Some(Hidden::Resumed)),
            "{version}"
        );
        assert_eq!(found[1].lost.len(), lost, "{version}");
        assert!(lost == 0 || found[1].lost == ["first"]);
    }
    let hook = r#"{"type":"progress","sessionId":"s","data":{"hookEvent":"SessionStart","hookName":"SessionStart:resume"}}"#;
    let go_on = r#"{"type":"user","sessionId":"s","parentUuid":"x","message":{"content":"Go on"}}"#;
    let found = read(
        CLAUDE,
        &[
            &answer("a", OPUS, 20_000, 30, CALL),
            hook,
            go_on,
            &answer("b", OPUS, 20_100, 30, CALL),
        ],
    );
    assert_eq!(found[0].hidden, Some(Hidden::Resumed));
}

#[test]
fn whoever_goes_back_goes_on_from_the_call_that_was_there() {
    let call = |id: &str, prompt: u64, output: u64| {
        format!(
            r#""type":"assistant","message":{{"id":"{id}","model":"{OPUS}","usage":{{"input_tokens":{prompt},"output_tokens":{output}}},"content":[{{"type":"text","text":"Well, well."}}]}}"#
        )
    };
    let said = |text: &str| format!(r#""type":"user","message":{{"content":"{text}"}}"#);
    let note = r#""type":"progress""#;
    for (parent, before, hidden) in [
        ("1", (20_000, 40), Some(Hidden::Rewound)),
        ("3", (20_500, 50), None),
        ("4", (20_500, 50), None),
        ("cut off", (20_500, 50), None),
    ] {
        let lines = [
            in_tree("2.1.90", "1", "", &call("a", 20_000, 40)),
            in_tree("2.1.90", "2", "1", &said("Do this")),
            in_tree("2.1.90", "3", "2", &call("b", 20_500, 50)),
            in_tree("2.1.90", "4", "3", note),
            in_tree("2.1.90", "5", parent, &said("Do that")),
            in_tree("2.1.90", "6", "5", &call("c", 20_100, 9)),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = read(CLAUDE, &lines);
        let step = &found[1];
        assert_eq!(
            ((step.before, step.answer), step.hidden),
            (before, hidden),
            "{parent}"
        );
        assert_eq!(step.added, ["Do that"]);
        assert_eq!(step.said.is_empty(), hidden.is_some());
    }
}

#[test]
fn after_a_summary_the_beginning_is_the_anchor() {
    let text = r#"{"type":"text","text":"Yes."}"#;
    let boundary = r#"{"type":"system","sessionId":"s","subtype":"compact_boundary"}"#;
    let summary =
        r#"{"type":"user","sessionId":"s","isCompactSummary":true,"message":{"content":"So far: much."}}"#;
    let found = read(
        CLAUDE,
        &[
            &answer("a", OPUS, 20_000, 30, text),
            &answer("b", OPUS, 150_000, 30, text),
            RESULT,
            boundary,
            summary,
            &answer("c", OPUS, 24_000, 30, text),
            &answer("d", OPUS, 24_100, 30, text),
        ],
    );
    assert_eq!(
        (found[1].before, found[1].answer, found[1].added.len()),
        (20_000, 0, 1)
    );
    assert_eq!((found[2].before, found[2].hidden), (24_000, None));
}

#[test]
fn images_are_kept_apart_from_texts() {
    let data = r#""source":{"type":"base64","media_type":"image/png","data":"AAAA"}"#;
    let user = format!(
        r#"{{"type":"user","sessionId":"s","message":{{"content":[{{"type":"image",{data}}},{{"type":"tool_result","content":[{{"type":"image",{data}}}]}}]}}}}"#
    );
    let queued = format!(
        r#"{{"type":"attachment","sessionId":"s","attachment":{{"type":"queued_command","prompt":[{{"type":"image",{data}}},{{"type":"text","text":"Look"}}]}}}}"#
    );
    let file = r#"{"type":"attachment","sessionId":"s","attachment":{"type":"file","content":{"type":"image","file":{"base64":"AAAA","type":"image/png"}}}}"#;
    let found = read(
        CLAUDE,
        &[
            &answer("a", OPUS, 20_000, 30, CALL),
            &user,
            &queued,
            file,
            &answer("b", OPUS, 20_400, 30, CALL),
        ],
    );
    assert_eq!((found[0].images.len(), found[0].hidden), (4, None));
    assert!(
        !found[0].teaches() && found[0].added.iter().all(|text| !text.contains("AAAA")),
        "{found:?}"
    );
}

#[test]
fn a_file_that_wants_to_keep_the_reader_busy_does_not() {
    let began = std::time::Instant::now();
    let mut reader = Reader::new(CLAUDE).unwrap();
    let mut found = Vec::new();
    let call = format!(
        r#""type":"assistant","message":{{"id":"a","model":"{OPUS}","usage":{{"input_tokens":20000}},"content":[]}}"#
    );
    for at in 0..20_000_u32 {
        let (uuid, parent, version) = (at.to_string(), at.saturating_sub(1).to_string(), at % 2);
        reader.line(
            in_tree(&format!("2.1.{version}"), &uuid, &parent, &call).as_bytes(),
            &mut found,
        );
        let session = format!(r#"{{"type":"user","sessionId":"s{at}","message":{{"content":"Hello"}}}}"#);
        reader.line(session.as_bytes(), &mut found);
    }
    assert!(reader.next(None, 0).is_some());
    assert!(
        began.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

/// A line of any kind that a conversation can have, in a tree or beside it.
fn any_line() -> impl Strategy<Value = String> {
    let rest = prop_oneof![
        3 => (0_u64..3, 2_000_u64..30_000).prop_map(|(id, prompt)| {
            format!(
                r#""type":"assistant","message":{{"id":"{id}","model":"{OPUS}","usage":{{"input_tokens":{prompt},"output_tokens":{id}}},"content":[{CALL},{{"type":"thinking","thinking":"Hm."}}]}}"#
            )
        }),
        2 => "[a-z @./]{0,20}".prop_map(|text| format!(r#""type":"user","message":{{"content":"{text}"}}"#)),
        2 => Just(r#""type":"user","message":{"content":[{"type":"tool_result","content":"x"}]}"#.to_owned()),
        1 => Just(r#""type":"system","subtype":"compact_boundary""#.to_owned()),
        1 => Just(r#""type":"assistant","message":{"model":"<synthetic>","usage":{}}"#.to_owned()),
        1 => Just(r#""type":"attachment","attachment":{"type":"task_reminder"}"#.to_owned()),
    ];
    let version = prop_oneof!["1\\.0\\.17", "2\\.1\\.7", "2\\.1\\.90", "[0-9.]{0,6}"];
    (rest, version, 0..30_u8, 0..30_u8).prop_map(|(rest, version, uuid, parent)| {
        format!(r#"{{"sessionId":"s","version":"{version}","uuid":"{uuid}","parentUuid":"{parent}",{rest}}}"#)
    })
}

proptest! {
    #[test]
    fn nothing_of_a_step_is_learned_from_its_own_bill(lines in prop::collection::vec(any_line(), 0..60)) {
        let mut reader = Reader::new(CLAUDE).unwrap();
        for line in &lines {
            let before = reader.next(Some(OPUS), 0);
            let mut found = Vec::new();
            reader.line(line.as_bytes(), &mut found);
            for mut after in found {
                after.billed = 0;
                prop_assert_eq!(Some(after), before.clone());
            }
        }
    }
}
