//! One test for each counting rule and trap of rollouts. Every line is made up.

mod forks;
mod place;

use proptest::prelude::*;
use tokmon_core::id::Key;
use tokmon_core::observation::{Confidence, Observation, Tier};

use super::open;
use crate::agents::{Found, Origin, Parser};

/// A version 7 id of a thread or turn that began so many seconds after 09:00.
fn v7(second: i64, tail: u8) -> String {
    let hex = format!("{:012x}", START_MS + second * 1_000);
    format!("{}-{}-7000-8000-0000000000{tail:02}", &hex[..8], &hex[8..])
}

const START_MS: i64 = 1_795_165_200_000;

/// A line that many milliseconds after 09:00.
fn at(ms: i64, kind: &str, payload: &str) -> String {
    let time = jiff::Timestamp::from_millisecond(START_MS + ms).unwrap();
    format!(r#"{{"timestamp":"{time:.3}","type":"{kind}","payload":{payload}}}"#) + "\n"
}

fn meta(ms: i64, id: &str, extra: &str) -> String {
    at(
        ms,
        "session_meta",
        &format!(r#"{{"id":"{id}","cwd":"/w/app","model_provider":"openai"{extra}}}"#),
    )
}

fn turn(ms: i64, extra: &str) -> String {
    at(
        ms,
        "turn_context",
        &format!(r#"{{"cwd":"/w/app","model":"gpt-5.4"{extra}}}"#),
    )
}

fn usage(input: u64, cached: u64, output: u64) -> String {
    format!(
        r#"{{"input_tokens":{input},"cached_input_tokens":{cached},"output_tokens":{output},"reasoning_output_tokens":{},"total_tokens":{}}}"#,
        output / 2,
        input + output
    )
}

type Figures = (u64, u64, u64);

fn count(ms: i64, total: Figures, last: Figures) -> String {
    let (total, last) = (usage(total.0, total.1, total.2), usage(last.0, last.1, last.2));
    let info =
        format!(r#"{{"total_token_usage":{total},"last_token_usage":{last},"model_context_window":1}}"#);
    at(
        ms,
        "event_msg",
        &format!(r#"{{"type":"token_count","info":{info},"rate_limits":{{}}}}"#),
    )
}

fn record(ms: i64, thread: &str, response: &str, figures: Figures) -> String {
    let usage = usage(figures.0, figures.1, figures.2);
    at(
        ms,
        "token_usage_record",
        &format!(r#"{{"thread_id":"{thread}","response_id":"{response}","usage":{usage}}}"#),
    )
}

fn origin(path: &str) -> Origin {
    Origin {
        path: path.into(),
        user: "ann".into(),
        mtime_ms: START_MS,
        ..Origin::default()
    }
}

fn read(text: &str) -> Vec<Observation> {
    let mut found = Found::default();
    let mut parser = Parser::resume(open, &[], origin("/c/rollout-x.jsonl"));
    parser.read(text.as_bytes(), 0, &mut found);
    parser.settle(&mut found);
    assert_eq!(found.failures, 0, "{:?}", found.shown);
    found.observations
}

/// Input without the cached part, cached, output of each call.
fn figures(seen: &[Observation]) -> Vec<Figures> {
    seen.iter()
        .map(|seen| (seen.tokens.input, seen.tokens.cache_read, seen.tokens.output))
        .collect()
}

#[test]
fn a_total_and_its_last_share() {
    let id = v7(0, 1);
    let call = r#"{"type":"function_call","name":"shell","arguments":"{\"cmd\":\"ls\"}"}"#;
    let text = meta(0, &id, "")
        + &turn(10, "")
        + &at(20, "response_item", call)
        + &count(5_000, (1_000, 200, 100), (1_000, 200, 100));
    let seen = read(&text);
    assert_eq!(figures(&seen), [(800, 200, 100)]);
    let seen = &seen[0];
    assert_eq!((seen.tokens.reasoning, seen.tokens.total()), (50, 1_100));
    let who = &seen.who;
    assert_eq!(
        (&*who.agent, &*who.session, &*who.project, &*who.tool),
        ("codex", &*id, "/w/app", "shell")
    );
    assert_eq!(
        (&*seen.provider, &*seen.model, seen.confidence),
        ("openai", "gpt-5.4", Confidence::Reported)
    );
    assert_eq!(
        (seen.key.day, seen.at_ms),
        (Key::day_of(START_MS), START_MS + 5_000)
    );
    assert!(seen.request_hash != 0 && !seen.sidechain);
}

#[test]
fn totals_are_counted_by_their_growth() {
    let head = meta(0, &v7(0, 1), "") + &turn(10, "");
    let one = count(1_000, (1_000, 0, 100), (1_000, 0, 100));
    let no_last = |ms, figures: Figures| {
        let usage = usage(figures.0, figures.1, figures.2);
        at(
            ms,
            "event_msg",
            &format!(
                r#"{{"type":"token_count","info":{{"total_token_usage":{usage},"last_token_usage":null}}}}"#
            ),
        )
    };
    for (name, lines, wanted) in [
        (
            "sent again",
            one.clone() + &count(2_000, (1_000, 0, 100), (1_000, 0, 100)),
            vec![(1_000, 0, 100)],
        ),
        (
            "sent again with another share",
            one.clone() + &count(2_000, (1_000, 0, 100), (7, 0, 7)),
            vec![(1_000, 0, 100)],
        ),
        (
            "grows",
            one.clone() + &count(2_000, (3_000, 500, 150), (2_000, 500, 50)),
            vec![(1_000, 0, 100), (1_500, 500, 50)],
        ),
        (
            "only rate limits",
            at(500, "event_msg", r#"{"type":"token_count","info":null}"#) + &one,
            vec![(1_000, 0, 100)],
        ),
        (
            "anew",
            one.clone() + &count(2_000, (300, 0, 30), (300, 0, 30)),
            vec![(1_000, 0, 100), (300, 0, 30)],
        ),
        (
            "anew to the very same total",
            one.clone()
                + &count(2_000, (2_000, 0, 200), (1_000, 0, 100))
                + &count(3_000, (1_000, 0, 100), (1_000, 0, 100)),
            vec![(1_000, 0, 100); 3],
        ),
        (
            "history before it",
            count(1_000, (9_000, 0, 900), (1_000, 0, 100)),
            vec![(1_000, 0, 100)],
        ),
        (
            "no last",
            no_last(1_000, (1_000, 0, 100)) + &no_last(2_000, (1_500, 100, 120)),
            vec![(1_000, 0, 100), (400, 100, 20)],
        ),
        (
            "no last, anew",
            no_last(1_000, (1_000, 0, 100)) + &no_last(2_000, (400, 0, 20)),
            vec![(1_000, 0, 100), (400, 0, 20)],
        ),
        (
            "cached above input",
            count(1_000, (10, 50, 5), (10, 50, 5)),
            vec![(0, 10, 5)],
        ),
        ("nothing", count(1_000, (0, 0, 0), (0, 0, 0)), vec![]),
    ] {
        let seen = read(&(head.clone() + &lines));
        assert_eq!(figures(&seen), wanted, "{name}");
        let mut keys: Vec<_> = seen.iter().map(|seen| seen.key).collect();
        keys.dedup();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), seen.len(), "{name}");
    }
}

#[test]
fn cache_writes_are_a_part_of_the_input() {
    let info = r#"{"type":"token_count","info":{"total_token_usage":{"input_tokens":"1000","cached_input_tokens":600.0,"cache_write_input_tokens":300,"output_tokens":77,"reasoning_output_tokens":99},"last_token_usage":null}}"#;
    let seen = read(&at(0, "event_msg", info));
    assert_eq!(
        seen[0].tokens.to_array(),
        [100, 77, 77, 600, 300, 0, 0, 0, 0, 0, 0]
    );
    // No model and no session in the file: both are stand-ins, and the model says so.
    assert_eq!(
        (&*seen[0].model, seen[0].confidence, &*seen[0].who.session),
        ("gpt-5", Confidence::Estimated, "rollout-x")
    );
}

#[test]
fn a_record_is_preferred_to_its_count() {
    let id = v7(0, 1);
    let head = meta(0, &id, "") + &turn(10, "");
    let (one, two) = ((1_000, 200, 100), (1_500, 300, 50));
    let both = (2_500, 500, 150);
    let paired = head.clone()
        + &record(900, &id, "r1", one)
        + &count(1_000, one, one)
        + &count(1_100, one, one)
        + &record(1_900, &id, "r2", two)
        + &count(2_000, both, two);
    let alone = head.clone() + &record(900, &id, "r1", one) + &record(1_900, &id, "r2", two);
    let wanted = [(800, 200, 100), (1_200, 300, 50)];
    let (paired, alone) = (read(&paired), read(&alone));
    assert_eq!(
        (figures(&paired).as_slice(), figures(&alone).as_slice()),
        (&wanted[..], &wanted[..])
    );
    assert_eq!(paired[0].key, alone[0].key);
    // Only some calls have a record; or the count comes first; or the record is sent again.
    let mixed =
        head.clone() + &record(900, &id, "r1", one) + &count(1_000, one, one) + &count(2_000, both, two);
    assert_eq!(figures(&read(&mixed)), wanted);
    let swapped = head.clone() + &count(900, one, one) + &record(1_000, &id, "r1", one);
    assert_eq!(figures(&read(&swapped)), wanted[..1]);
    let (r1, r2) = (record(1_900, &id, "r1", one), record(1_950, &id, "r2", two));
    let swapped = head.clone() + &count(900, one, one) + &count(1_800, both, two) + &r1 + &r2;
    assert_eq!(figures(&read(&swapped)), wanted);
    let again = read(&(head.clone() + &record(900, &id, "r1", one) + &record(950, &id, "r1", one)));
    assert_eq!(again[0].key, again[1].key);
    // A copy inside a compaction is not a record.
    let copy = format!(
        r#"{{"latest_token_usage_record":{{"response_id":"r1","usage":{}}}}}"#,
        usage(5, 0, 5)
    );
    assert_eq!(read(&(head + &at(1, "compacted", &copy))), []);
}

#[test]
fn tiers_and_turns() {
    let head = meta(0, &v7(0, 1), r#","service_tier":"flex""#);
    let one = count(2_000, (10, 0, 1), (10, 0, 1));
    for (lines, tier, model, project) in [
        (turn(1_000, ""), Tier::Flex, "gpt-5.4", "/w/app"),
        (
            turn(1_000, r#","service_tier":"fast""#),
            Tier::Priority,
            "gpt-5.4",
            "/w/app",
        ),
        (
            turn(1_000, "") + &turn(1_500, r#","model":"gpt-5.5-codex","cwd":"/other""#),
            Tier::Flex,
            "gpt-5.5-codex",
            "/other",
        ),
        (
            turn(1_000, r#","service_tier":null,"model":null"#),
            Tier::Flex,
            "gpt-5",
            "/w/app",
        ),
    ] {
        let seen = read(&(head.clone() + &lines + &one));
        assert_eq!(
            (seen[0].tier, &*seen[0].model, &*seen[0].who.project),
            (tier, model, project),
            "{lines}"
        );
    }
}

#[test]
fn unwrapped_lines_of_old_versions_are_understood() {
    let text = r#"{"id":"old","timestamp":"2025-06-01T00:00:00.000Z","instructions":null}
{"type":"message","role":"user","content":"\"token_count\""}
{"timestamp":"2025-06-01T00:00:09.000Z","type":"token_count","info":{"total_token_usage":{"input_tokens":9,"output_tokens":1},"last_token_usage":{"input_tokens":9,"output_tokens":1}}}
"#;
    let seen = read(text);
    assert_eq!(
        (figures(&seen), seen[0].at_ms),
        (vec![(9, 0, 1)], 1_748_736_009_000)
    );
}

#[test]
fn a_copy_under_another_name_has_the_same_keys() {
    let id = v7(0, 1);
    let text = turn(10, "") + &count(5_000, (1_000, 200, 100), (1_000, 200, 100));
    let keys = |path: &str, text: &str| {
        let mut found = Found::default();
        Parser::resume(open, &[], origin(path)).read(text.as_bytes(), 0, &mut found);
        found
            .observations
            .iter()
            .map(|seen| (seen.key, seen.who.session.to_string()))
            .collect::<Vec<_>>()
    };
    // The thread is known from the file's name when its first line is missing.
    let live = keys(
        &format!("/c/sessions/2026/11/20/rollout-2026-11-20T09-00-00-{id}.jsonl"),
        &text,
    );
    let archived = keys(
        &format!("/c/archived_sessions/rollout-2026-11-20T09-00-00-{id}.jsonl.zst"),
        &text,
    );
    assert_eq!(live, archived);
    assert_eq!(live, keys("/elsewhere/any.jsonl", &(meta(0, &id, "") + &text)));
}

#[test]
fn figures_that_cannot_be_are_failures() {
    for bad in ["-1", "\"x\"", "1e30", "true", "[]"] {
        let text = count(0, (1, 0, 1), (1, 0, 1)).replace(
            r#""cached_input_tokens":0"#,
            &format!(r#""cached_input_tokens":{bad}"#),
        );
        let mut found = Found::default();
        Parser::resume(open, &[], origin("x")).read(text.as_bytes(), 7, &mut found);
        assert_eq!(
            (found.failures, found.shown[0].0, found.observations.len()),
            (1, 7, 0),
            "{bad}"
        );
        assert!(found.shown[0].1.contains("cached_input_tokens"));
    }
    let mut found = Found::default();
    let huge = count(0, (5_000_000_000, 0, 1), (5_000_000_000, 0, 1));
    Parser::resume(open, &[], origin("x")).read(huge.as_bytes(), 0, &mut found);
    assert_eq!((found.failures, found.observations.len()), (1, 0));
}

fn any_line() -> impl Strategy<Value = String> {
    let time = 0..200_000i64;
    let small = 0..4u64;
    prop_oneof![
        (time.clone(), 0..3u8).prop_map(|(ms, who)| meta(ms, &v7(0, who), "")),
        (time.clone(), 0..3u8).prop_map(|(ms, who)| meta(
            ms,
            &v7(0, who),
            &format!(r#","forked_from_id":"{}""#, v7(0, 9))
        )),
        time.clone().prop_map(|ms| turn(ms, "")),
        (time.clone(), small.clone(), small.clone())
            .prop_map(|(ms, total, last)| { count(ms, (total * 10, total, total), (last * 10, last, last)) }),
        (time, small).prop_map(|(ms, n)| record(ms, &v7(0, 1), &format!("r{n}"), (n * 10, n, n))),
    ]
}

proptest! {
    #[test]
    fn however_a_file_grows_the_calls_are_the_same(
        lines in prop::collection::vec(any_line(), 1..14),
        cut in 0..14usize,
    ) {
        let cut = cut % (lines.len() + 1);
        let (first, second) = (lines[..cut].concat(), lines[cut..].concat());
        let mut found = Found::default();
        let mut parser = Parser::resume(open, &[], origin("/c/rollout-x.jsonl"));
        parser.read(first.as_bytes(), 0, &mut found);
        let mut parser = Parser::resume(open, &parser.state(i64::MAX), origin("/c/rollout-x.jsonl"));
        parser.read(second.as_bytes(), first.len() as u64, &mut found);
        prop_assert_eq!(found.observations, read(&lines.concat()));
    }

    #[test]
    fn arbitrary_lines_never_panic(
        lines in prop::collection::vec(any_line(), 1..5),
        at in 0..2_000usize,
        byte: u8,
        state in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut text = lines.concat().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let mut found = Found::default();
        Parser::resume(open, &state, origin("é")).read(&text, 0, &mut found);
    }
}

#[test]
fn limits_are_read_beside_the_figures_and_alone() {
    let told = |at: u32, limits: &str| {
        let payload = format!(r#"{{"type":"token_count","info":null,"rate_limits":{limits}}}"#);
        format!(
            "{{\"timestamp\":\"2026-11-20T09:00:{at:02}.000Z\",\"type\":\"event_msg\",\"payload\":{payload}}}\n"
        )
    };
    let lines = told(
        10,
        r#"{"limit_id":"codex","primary":{"used_percent":12.5,"window_minutes":300,"resets_at":1795170000},
            "secondary":{"used_percent":40,"window_minutes":10080,"resets_in_seconds":60},"plan_type":"plus"}"#
            .replace('\n', " ")
            .as_str(),
    ) + &told(11, r#"{"primary":{"used_percent":13.0,"window_minutes":300,"resets_at":1795170000}}"#)
        + &told(12, r#"{"primary":{"used_percent":1795170000,"window_minutes":300},"secondary":"x"}"#)
        + &told(13, r#"{"limit_id":"other","primary":{"used_percent":"7","window_minutes":1}}"#)
        + &told(14, "null");
    let mut found = Found::default();
    Parser::resume(open, &[], origin("/s/rollout-x.jsonl")).read(lines.as_bytes(), 0, &mut found);
    assert_eq!(
        (found.observations.len(), found.failures),
        (0, 0),
        "{:?}",
        found.shown
    );
    let got: Vec<_> = found
        .quotas
        .iter()
        .map(|r| (&*r.limit, r.used, r.resets_at_ms, &*r.plan))
        .collect();
    let ten = "2026-11-20T09:00:10Z"
        .parse::<jiff::Timestamp>()
        .unwrap()
        .as_millisecond();
    assert_eq!(
        got,
        [
            ("five_hour", 1_300, 1_795_170_000_000, ""),
            ("seven_day", 4_000, ten + 60_000, "plus"),
            ("other.primary", 700, 0, ""),
        ]
    );
}
