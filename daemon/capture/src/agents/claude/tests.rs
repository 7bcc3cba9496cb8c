//! One table row for each rule and trap of the format. Every line is made up.

mod place;

use proptest::prelude::*;
use tokmon_core::merge::{Candidate, merge};
use tokmon_core::observation::{Confidence, Observation, Tier};

use super::open;
use crate::agents::{Found, Origin, Parser, testing};

fn origin() -> Origin {
    Origin {
        kind: "claude-code-transcript",
        mtime_ms: 1_795_000_000_000,
        ..testing::origin("/p/projects/-p/stem-1.jsonl")
    }
}

fn read(text: &str) -> Found {
    testing::lines(open, origin(), text)
}

/// An assistant line; `extra` goes into the line, `usage` into the usage.
fn line(id: &str, at: &str, output: &str, stop: &str, extra: &str, usage: &str) -> String {
    format!(
        r#"{{"type":"assistant","timestamp":"2026-11-20T09:15:{at}.000Z","sessionId":"s1","uuid":"u{at}","cwd":"/w/app","isSidechain":false{extra},"message":{{"id":"{id}","role":"assistant","model":"claude-opus-4-8","stop_reason":{stop},"content":[{{"type":"text","text":"abcdefgh"}}],"usage":{{"input_tokens":6,"output_tokens":{output},"cache_read_input_tokens":40{usage}}}}}}}"#
    ) + "\n"
}

fn only(text: &str) -> Observation {
    let found = read(text);
    assert_eq!(found.failures, 0, "{:?}", found.shown);
    assert_eq!(found.observations.len(), 1, "{text}");
    found.observations.into_iter().next().unwrap()
}

#[test]
fn a_line_is_a_call() {
    let seen = only(&line("m1", "02", "412", "\"end_turn\"", "", ""));
    assert_eq!(seen.tokens.to_array(), [6, 412, 0, 40, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(seen.at_ms, 1_795_166_102_000);
    let who = &seen.who;
    let got = (&*who.agent, &*who.session, &*who.project, &*who.user, &*who.tool);
    assert_eq!(got, ("claude-code", "s1", "/w/app", "ann", ""));
    assert_eq!((&*seen.provider, &*seen.model), ("anthropic", "claude-opus-4-8"));
    assert_eq!(
        (seen.confidence, seen.extra_output, seen.failed, seen.sidechain),
        (Confidence::Reported, 0, false, false)
    );
    assert_eq!(
        (&*seen.source.kind, seen.source.offset, seen.source.lines),
        ("claude-code-transcript", 0, 1)
    );
}

#[test]
fn without_a_split_what_was_written_to_the_cache_is_the_total() {
    let zeros = r#"{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}"#;
    for split in ["null", "{}", r#"{"ephemeral_5m_input_tokens":null}"#, zeros] {
        let usage = format!(r#","cache_creation_input_tokens":70,"cache_creation":{split}"#);
        let tokens = only(&line("m1", "02", "9", "null", "", &usage)).tokens;
        assert_eq!((tokens.cache_write_5m, tokens.cache_write_1h), (70, 0), "{split}");
    }
}

/// What one usage object means: input, output, read, 5m, 1h, searches.
#[test]
fn usage_as_it_comes() {
    for (usage, wanted) in [
        ("", [6, 9, 40, 0, 0, 0]),
        (r#","cache_creation_input_tokens":70"#, [6, 9, 40, 70, 0, 0]),
        (
            r#","cache_creation_input_tokens":70,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":50}"#,
            [6, 9, 40, 10, 50, 0],
        ),
        (
            r#","cache_creation":{"ephemeral_1h_input_tokens":50}"#,
            [6, 9, 40, 0, 50, 0],
        ),
        (
            r#","server_tool_use":{"web_search_requests":10,"web_fetch_requests":2}"#,
            [6, 9, 40, 0, 0, 10],
        ),
        (r#","server_tool_use":null"#, [6, 9, 40, 0, 0, 0]),
        (
            r#","input_tokens":null,"cache_read_input_tokens":null"#,
            [0, 9, 0, 0, 0, 0],
        ),
        (
            r#","input_tokens":"12","cache_read_input_tokens":3.0"#,
            [12, 9, 3, 0, 0, 0],
        ),
        (r#","input_tokens":8,"input_tokens":7"#, [7, 9, 40, 0, 0, 0]),
        (
            r#","new_field":{"deep":[1,{"usage":{"input_tokens":5}}]}"#,
            [6, 9, 40, 0, 0, 0],
        ),
    ] {
        let tokens = only(&line("m1", "02", "9", "\"end_turn\"", "", usage)).tokens;
        let got = [
            tokens.input,
            tokens.output,
            tokens.cache_read,
            tokens.cache_write_5m,
            tokens.cache_write_1h,
            tokens.web_searches,
        ];
        assert_eq!(got, wanted, "{usage}");
    }
}

#[test]
fn price_modifiers() {
    for (usage, tier, fast, us) in [
        (
            r#","speed":null,"service_tier":null,"inference_geo":null"#,
            Tier::Standard,
            false,
            false,
        ),
        (
            r#","speed":"fast","service_tier":"priority","inference_geo":"us""#,
            Tier::Priority,
            true,
            true,
        ),
        (
            r#","speed":"standard","service_tier":"batch","inference_geo":"US""#,
            Tier::Batch,
            false,
            true,
        ),
        (
            r#","service_tier":"flex","inference_geo":"not_available""#,
            Tier::Flex,
            false,
            false,
        ),
    ] {
        let seen = only(&line("m1", "02", "9", "\"end_turn\"", "", usage));
        assert_eq!(
            (seen.tier, seen.fast, seen.us_region),
            (tier, fast, us),
            "{usage}"
        );
    }
}

#[test]
fn layout_does_not_matter() {
    let compact = line("m1", "02", "9", "\"end_turn\"", "", "");
    let spaced = compact
        .replace("\":", "\" : ")
        .replace(",\"", " ,\t\"")
        .replace('\n', "  \r\n");
    let (a, b) = (only(&compact), only(&format!("\u{feff}\n   \n{spaced}")));
    assert_eq!(
        (a.key, a.tokens, a.at_ms, a.who),
        (b.key, b.tokens, b.at_ms, b.who)
    );
}

#[test]
fn missing_fields_have_stand_ins() {
    let seen = only(
        r#"{"type":"assistant","message":{"id":"m1","model":null,"usage":{"input_tokens":1}},"cwd":null,"sessionId":null,"requestId":null}"#,
    );
    assert_eq!(
        (&*seen.model, &*seen.who.session, &*seen.who.project),
        ("unknown", "stem-1", "")
    );
    assert_eq!((seen.at_ms, &*seen.provider), (1_795_000_000_000, ""));
    // A time that is known in the file is nearer than the file's own.
    let text = line("m0", "02", "9", "null", "", "")
        + r#"{"type":"assistant","timestamp":"[cut]","message":{"id":"m1","usage":{"input_tokens":1}}}"#;
    assert_eq!(read(&text).observations[1].at_ms, 1_795_166_102_000);
    // Neither type nor id: the role tells, and nothing is merged.
    let bare = r#"{"uuid":"u1","message":{"role":"assistant","usage":{"input_tokens":1}}}"#;
    let other = bare.replace("u1", "u2");
    let found = read(&format!("{bare}\n{other}\n{bare}\n"));
    let keys: Vec<_> = found.observations.iter().map(|seen| seen.key).collect();
    assert_eq!(keys.len(), 3);
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[0], keys[2]);
}

#[test]
fn what_is_no_call_is_not_counted() {
    for text in [
        r#"{"type":"user","message":{"role":"user","content":"{\"usage\":{\"input_tokens\":999}}"}}"#,
        r#"{"type":"user","message":{"role":"user","content":[]},"toolUseResult":{"usage":{"input_tokens":999}}}"#,
        r#"{"type":"summary","summary":"x","usage":{"input_tokens":999}}"#,
        r#"{"type":"assistant","message":{"id":"a","model":"<synthetic>","usage":{"input_tokens":0,"output_tokens":0}},"isApiErrorMessage":true}"#,
        r#"{"type":"assistant","message":{"id":"a","usage":null}}"#,
        r#"{"type":"assistant","message":"\"usage\"","usage":{"input_tokens":1}}"#,
        r#"{"type":"assistant","message":null,"usage":{"input_tokens":1}}"#,
        r#"{"type":"assistant","isApiErrorMessage":true,"message":{"id":"a","content":[{"type":"text","text":"x"}],"usage":{"input_tokens":0}}}"#,
        r#"{"type":"progress","data":{"message":{"type":"user","message":{"id":"a","usage":{"input_tokens":1}}}}}"#,
        r#"{"message":{"id":"a","role":"user","usage":{"input_tokens":1}}}"#,
        r#"{"type":"progress","data":{"type":"hook_progress","usage":{"input_tokens":1}}}"#,
        r#"{"type":"progress","data":"\"usage\"","x":{"usage":{}}}"#,
    ] {
        let found = read(text);
        assert!(
            found.observations.is_empty() && found.failures == 0,
            "{text}: {found:?}"
        );
    }
}

#[test]
fn what_cannot_be_used_is_a_failure_with_its_offset() {
    let good = line("m1", "02", "9", "\"end_turn\"", "", "");
    for (bad, reason) in [
        ("not json", "not a JSON object"),
        ("[1,2]", "not a JSON object"),
        (
            r#"{"type":"assistant","message":{"id":"m_cut","usage":{"input_tokens":12"#,
            "not a JSON object",
        ),
        (
            r#"{"a":{"usage":{"input_tokens":12{"type":"assistant"}"#,
            "malformed JSON",
        ),
        (
            &line("m2", "03", "-5", "null", "", ""),
            "output_tokens is not a whole number",
        ),
        (
            &line("m2", "03", "\"many\"", "null", "", ""),
            "output_tokens is not a whole number",
        ),
        (
            &line("m2", "03", "1e300", "null", "", ""),
            "output_tokens is not a whole number",
        ),
        (
            &line("m2", "03", "99999999999", "null", "", ""),
            "output_tokens is above",
        ),
        (
            &line(&"m".repeat(2_000), "03", "1", "null", "", ""),
            "message.id is longer",
        ),
    ] {
        let found = read(&format!("{good}{}\n{good}", bad.trim_end()));
        assert_eq!((found.observations.len(), found.failures), (1, 1), "{bad}");
        assert_eq!(found.shown[0].0, good.len() as u64);
        assert!(found.shown[0].1.contains(reason), "{:?}", found.shown);
    }
}

#[test]
fn a_cut_line_does_not_take_the_next_one_with_it() {
    let (one, two) = (
        line("m1", "02", "9", "null", "", ""),
        line("m2", "03", "8", "null", "", ""),
    );
    for (text, outputs) in [
        (format!("{}{two}", &one[..one.len() / 2]), vec![8]),
        (format!("{}{two}", &one[..one.len() - 3]), vec![8]),
        (format!("{}{two}", one.trim_end()), vec![9, 8]),
        (format!("{}{}", one.trim_end(), &two[..50]), vec![9]),
        (format!("{}{}", &one[..90], &two[..50]), vec![]),
    ] {
        let found = read(&text);
        let got: Vec<u64> = found.observations.iter().map(|seen| seen.tokens.output).collect();
        assert_eq!((got, found.failures), (outputs, 1), "{text}");
    }
}

#[test]
fn partial_lines_of_a_call_are_one_observation() {
    let tool = r#""content":[{"type":"tool_use","id":"t","name":"Read","input":{"file_path":"a.rs"}}]"#;
    let first = line("m1", "02", "3", "null", "", "");
    let second = line("m1", "03", "3", "null", "", "")
        .replace(r#""content":[{"type":"text","text":"abcdefgh"}]"#, tool);
    let last = line("m1", "04", "412", "\"tool_use\"", "", "");
    let between = r#"{"type":"user","message":{"content":"result"}}"#;
    let text = format!("{first}{between}\n{second}{last}");
    let seen = only(&text);
    assert_eq!(
        (seen.tokens.output, seen.source.lines, &*seen.who.tool),
        (412, 3, "Read")
    );
    assert_eq!((seen.confidence, seen.extra_output), (Confidence::Reported, 0));
    assert_eq!(
        seen.source.offset as usize,
        text.rfind("{\"type\":\"assistant\"").unwrap()
    );
    // The request is known by its arguments.
    let other = only(&second.replace("a.rs", "b.rs"));
    assert_eq!(seen.request_hash, only(&second).request_hash);
    assert!(seen.request_hash != other.request_hash && other.request_hash != 0);
}

#[test]
fn a_call_that_never_stopped_is_a_lower_bound() {
    let text = "x".repeat(4_000);
    let partial = line("m1", "02", "1", "null", "", "").replace("abcdefgh", &text);
    let seen = only(&format!("{partial}{}", partial.replace("u02", "u03")));
    // 8,000 bytes are to be seen: about 2,000 tokens, of which one was reported.
    assert_eq!(
        (seen.tokens.output, seen.extra_output, seen.confidence),
        (1, 1_999, Confidence::Estimated)
    );
    // Where the figure covers what is visible, there is nothing to add.
    let seen = only(&line("m1", "02", "50", "null", "", ""));
    assert_eq!((seen.extra_output, seen.confidence), (0, Confidence::Estimated));
}

#[test]
fn a_main_line_wins_over_a_replay_and_the_order_does_not_matter() {
    let main = line("m1", "02", "10", "\"end_turn\"", "", "");
    let replay = line("m1", "03", "99", "\"end_turn\"", r#","agentId":"a1""#, "")
        .replace(r#""isSidechain":false"#, r#""isSidechain":true,"requestId":"r2""#);
    for text in [format!("{main}{replay}"), format!("{replay}{main}")] {
        let seen = only(&text);
        assert_eq!(
            (seen.tokens.output, seen.sidechain, seen.source.lines),
            (10, false, 2)
        );
    }
    assert!(only(&replay).sidechain);
    assert_eq!(only(&replay).key, only(&main).key);
}

#[test]
fn a_subagent_in_a_progress_line_is_a_call_of_the_outer_session() {
    let text = r#"{"type":"progress","sessionId":"outer","cwd":"/outer","timestamp":"2026-11-20T09:15:09.000Z","data":{"type":"agent_progress","message":{"type":"assistant","timestamp":"2026-11-20T09:15:02.000Z","requestId":"r","message":{"id":"m1","model":"claude-haiku-4-5","stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":4}}}}}"#;
    let seen = only(text);
    assert_eq!((&*seen.who.session, &*seen.who.project), ("outer", "/outer"));
    assert_eq!(
        (seen.tokens.total(), seen.at_ms, seen.sidechain),
        (7, 1_795_166_102_000, true)
    );
}

#[test]
fn calls_inside_a_call_are_their_own() {
    let iterations = r#","iterations":[{"type":"message","input_tokens":6,"output_tokens":9},{"type":"advisor_message","model":"claude-haiku-4-5","input_tokens":100,"output_tokens":20,"cache_creation":{"ephemeral_1h_input_tokens":5}},{"type":"compaction","input_tokens":7,"output_tokens":1}]"#;
    let text = line("m1", "02", "9", "\"end_turn\"", "", iterations);
    // Told twice, as every line of a call repeats the usage.
    let twice = read(&format!("{text}{text}")).observations;
    let figures = |seen: &Observation| (seen.model.to_string(), seen.tokens.to_array());
    let mut got: Vec<_> = twice.iter().map(figures).collect();
    got.sort();
    assert_eq!(
        got,
        [
            ("claude-haiku-4-5".into(), [100, 20, 0, 0, 0, 5, 0, 0, 0, 0, 0]),
            ("claude-opus-4-8".into(), [6, 9, 0, 40, 0, 0, 0, 0, 0, 0, 0]),
            ("claude-opus-4-8".into(), [7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ]
    );
    for null in [r#","iterations":null"#, r#","iterations":[null,3,{"type":null}]"#] {
        only(&line("m1", "02", "9", "\"end_turn\"", "", null));
    }
    let fast = read(&text.replace(r#","iterations""#, r#","speed":"fast","iterations""#)).observations;
    assert!(
        fast.iter()
            .all(|seen| seen.fast == (&*seen.model == "claude-opus-4-8"))
    );
}

#[test]
fn costs_that_agents_claim() {
    for (cost, wanted) in [
        ("0.0165", Some("0.0165")),
        ("\"0.5\"", Some("0.5")),
        ("5.0000000000000004e-8", Some("0.00000005")),
        ("null", None),
        ("-1", None),
        ("1e30", None),
        ("NaN", None),
    ] {
        let seen = only(&line(
            "m1",
            "02",
            "9",
            "\"end_turn\"",
            &format!(r#","costUSD":{cost}"#),
            "",
        ));
        assert_eq!(
            seen.reported_cost.map(|cost| cost.to_string()).as_deref(),
            wanted,
            "{cost}"
        );
    }
}

#[test]
fn a_failed_call_with_usage_is_counted_and_marked() {
    let seen = only(&line("m1", "02", "9", "null", r#","isApiErrorMessage":true"#, ""));
    assert!(seen.failed);
}

/// Reads a text in pieces, resuming from the saved state each time; every piece is settled, as a scan does it.
fn read_in_pieces(text: &str, cuts: &[usize]) -> Vec<Observation> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (mut state, mut offset, mut all) = (Vec::new(), 0, Vec::new());
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (lines.len() + 1)).collect();
    cuts.extend([0, lines.len()]);
    cuts.sort_unstable();
    for pair in cuts.windows(2) {
        let piece = lines[pair[0]..pair[1]].concat();
        let mut found = Found::default();
        let mut parser = Parser::resume(open, &state, origin());
        parser.read(piece.as_bytes(), offset, &mut found);
        parser.settle(&mut found);
        state = parser.state(i64::MIN);
        offset += piece.len() as u64;
        all.extend(found.observations);
    }
    all
}

/// What the ledger makes of observations: one record for each call.
fn merged(observations: Vec<Observation>) -> Vec<Observation> {
    let mut calls: Vec<Candidate> = Vec::new();
    for seen in observations {
        match calls.iter_mut().find(|call| call.seen.key == seen.key) {
            Some(known) => {
                merge(known, Candidate::new(seen));
            }
            None => calls.push(Candidate::new(seen)),
        }
    }
    calls.sort_by_key(|call| call.seen.key);
    calls.into_iter().map(|call| call.seen).collect()
}

fn any_line() -> impl Strategy<Value = String> {
    let stop = prop_oneof![Just("null"), Just("\"end_turn\"")];
    let kind = prop_oneof![
        Just(r#"{"type":"text","text":"abcdefgh"}"#),
        Just(r#"{"type":"tool_use","name":"Read","input":{"a":1}}"#),
        Just(r#"{"type":"thinking","thinking":"a long, long thought about nothing much"}"#),
    ];
    (0..4u8, 10..40u8, 0..30u32, stop, kind, any::<bool>()).prop_map(|(id, at, output, stop, block, side)| {
        line(
            &format!("m{id}"),
            &at.to_string(),
            &output.to_string(),
            stop,
            "",
            "",
        )
        .replace(r#"{"type":"text","text":"abcdefgh"}"#, block)
        .replace(
            r#""isSidechain":false"#,
            if side {
                r#""isSidechain":true"#
            } else {
                r#""isSidechain":false"#
            },
        )
    })
}

proptest! {
    #[test]
    fn however_a_file_grows_the_calls_are_the_same(
        lines in prop::collection::vec(any_line(), 1..14),
        cuts in prop::collection::vec(0..14usize, 0..4),
    ) {
        let text = lines.concat();
        let whole = merged(read_in_pieces(&text, &[]));
        let pieces = merged(read_in_pieces(&text, &cuts));
        prop_assert_eq!(whole.len(), pieces.len());
        for (whole, mut piece) in whole.into_iter().zip(pieces) {
            // A line that tells nothing new is not booked, so it is not counted among the call's lines either.
            prop_assert!((1..=whole.source.lines).contains(&piece.source.lines));
            (piece.source.lines, piece.line_hash) = (whole.source.lines, whole.line_hash);
            prop_assert!([0, whole.request_hash].contains(&piece.request_hash));
            piece.request_hash = whole.request_hash;
            prop_assert_eq!(whole, piece);
        }
    }

    #[test]
    fn arbitrary_lines_never_panic(text in "[ -~\n]{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        read(&text);
        let mut found = Found::default();
        Parser::resume(open, &bytes, origin()).read(&bytes, 0, &mut found);
    }

    #[test]
    fn a_line_with_any_byte_changed_never_panics(at in 0..400usize, byte: u8) {
        let mut text = line("m1", "02", "9", "null", r#","costUSD":1"#, r#","iterations":[{"type":"advisor_message"}]"#).into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let mut found = Found::default();
        let mut parser = Parser::resume(open, &[], origin());
        parser.read(&text, 0, &mut found);
        parser.settle(&mut found);
    }
}
