//! Every rule at its threshold, what is remembered, and that no token is blamed twice.

use proptest::prelude::*;

use super::*;
use crate::testing::observation;

const SECOND: i64 = 1_000;

fn call(key: &str, at_s: i64, tool: &str) -> Observation {
    let mut seen = observation(key, 1_795_132_800_000 + at_s * SECOND);
    seen.who.tool = tool.into();
    seen
}

fn sized(input: u64, output: u64, tool: &str) -> Observation {
    let mut seen = call("sized", 0, tool);
    seen.tokens = Tokens {
        input,
        output,
        ..Tokens::default()
    };
    seen
}

fn found(rules: &WasteRules, seen: &Observation) -> Vec<Rule> {
    let findings = rules.check(&mut Recent::default(), seen, None);
    findings.iter().map(|finding| finding.rule).collect()
}

#[test]
fn thresholds_are_passed_not_reached() {
    let rules = WasteRules::default();
    for (input, output, tool, expected) in [
        (40_000, 10_000, "", vec![]),
        (40_001, 10_000, "", vec![Rule::LargeRequest]),
        (0, 10_001, "", vec![Rule::LargeOutput]),
        (50_000, 10_001, "", vec![Rule::LargeRequest, Rule::LargeOutput]),
        (0, 5_000, "Grep", vec![]),
        (0, 5_001, "Grep", vec![Rule::UnboundedSearch]),
        (0, 5_001, "semantic_search", vec![Rule::UnboundedSearch]),
        (0, 5_001, "Read", vec![]),
        (0, 10_001, "Grep", vec![Rule::LargeOutput, Rule::UnboundedSearch]),
    ] {
        assert_eq!(
            found(&rules, &sized(input, output, tool)),
            expected,
            "{input} {output} {tool}"
        );
    }
}

#[test]
fn cached_reads_make_no_large_request_but_writes_do() {
    let rules = WasteRules::default();
    let mut seen = sized(10_000, 1_000, "");
    seen.tokens.cache_read = 900_000;
    assert_eq!(found(&rules, &seen), []);
    seen.tokens.cache_write_1h = 39_001;
    assert_eq!(found(&rules, &seen), [Rule::LargeRequest]);
}

#[test]
fn the_sixth_read_within_a_minute_is_a_loop() {
    let rules = WasteRules::default();
    for tool in ["read_file", "Read", "mcp__files__read_file"] {
        let mut recent = Recent::default();
        for at in 0..5 {
            assert_eq!(
                rules.check(&mut recent, &call(&format!("k{at}"), at * 10, tool), None),
                []
            );
        }
        let findings = rules.check(&mut recent, &call("k5", 50, tool), Some(Pico(2_300)));
        let expected = Finding {
            rule: Rule::ReadLoop,
            figure: 6,
            wasted_tokens: 2_300,
            wasted_cost: Pico(2_300),
        };
        assert_eq!(findings, [expected]);
        assert_eq!(
            rules.message(&findings[0], tool),
            format!("{tool} called 6 times in 1 minute")
        );
        assert_eq!(findings[0].rule.severity(), "warning");
        // A minute later only the calls of that minute count.
        assert_eq!(rules.check(&mut recent, &call("k6", 100, tool), None), []);
    }
}

#[test]
fn loops_are_counted_by_tool_and_session() {
    let rules = WasteRules::default();
    let mut recent = Recent::default();
    for at in 0..5 {
        rules.check(&mut recent, &call(&format!("k{at}"), at, "Read"), None);
    }
    let mut other_session = call("a", 6, "Read");
    other_session.who.session = "other".into();
    let mut other_agent = call("b", 6, "Read");
    other_agent.who.agent = "codex".into();
    for seen in [
        other_session,
        other_agent,
        call("c", 6, "view"),
        call("d", 6, "Write"),
        call("e", 6, ""),
    ] {
        assert_eq!(rules.check(&mut recent, &seen, None), [], "{:?}", seen.who);
    }
    assert_eq!(rules.check(&mut recent, &call("f", 6, "Read"), None).len(), 1);
}

#[test]
fn the_order_of_arrival_does_not_matter_to_what_came_before() {
    let rules = WasteRules::default();
    let mut recent = Recent::default();
    // The latest call arrives first and so finds nothing before it.
    for at in [50, 40, 10, 30, 0, 20] {
        assert_eq!(
            rules.check(&mut recent, &call(&format!("k{at}"), at, "Read"), None),
            []
        );
    }
    // A better record of the latest call finds the five others, and not itself.
    let again = rules.check(&mut recent, &call("k50", 50, "Read"), None);
    assert_eq!(
        again.iter().map(|f| (f.rule, f.figure)).collect::<Vec<_>>(),
        [(Rule::ReadLoop, 6)]
    );
}

#[test]
fn the_same_request_within_five_minutes_is_a_duplicate() {
    let rules = WasteRules::default();
    let with_context = |key: &str, at: i64, tool: &str, context: &str| {
        let mut seen = call(key, at, tool);
        seen.who.context = Some(context.into());
        seen
    };
    let with_hash = |key: &str, at: i64, tool: &str, hash: u64| {
        let mut seen = call(key, at, tool);
        seen.request_hash = hash;
        seen
    };
    for (first, second, figure) in [
        (
            with_context("a", 0, "Bash", "ls"),
            with_context("b", 300, "Bash", "ls"),
            Some(2),
        ),
        (
            with_context("a", 0, "Bash", "ls"),
            with_context("b", 301, "Bash", "ls"),
            None,
        ),
        (
            with_context("a", 0, "Bash", "ls"),
            with_context("b", 1, "Bash", "ls -l"),
            None,
        ),
        (
            with_context("a", 0, "Bash", "ls"),
            with_context("b", 1, "Shell", "ls"),
            None,
        ),
        (
            with_context("a", 0, "", "ls"),
            with_context("b", 1, "", "ls"),
            None,
        ),
        (
            with_context("a", 0, "Bash", ""),
            with_context("b", 1, "Bash", ""),
            None,
        ),
        (
            with_hash("a", 0, "Bash", 7),
            with_hash("b", 1, "Bash", 7),
            Some(2),
        ),
        (with_hash("a", 0, "Bash", 7), with_hash("b", 1, "Bash", 8), None),
        // The same call told twice is one call.
        (with_hash("a", 0, "Bash", 7), with_hash("a", 0, "Bash", 7), None),
    ] {
        let mut recent = Recent::default();
        assert_eq!(rules.check(&mut recent, &first, None), []);
        let findings = rules.check(&mut recent, &second, None);
        assert_eq!(
            findings.first().map(|f| f.figure),
            figure,
            "{:?} {:?}",
            first.who,
            second.who
        );
        if let Some(finding) = findings.first() {
            assert_eq!(finding.rule, Rule::DuplicateRequest);
            assert_eq!(
                rules.message(finding, "Bash"),
                "Bash called with the same request 2 times within 5 minutes"
            );
        }
    }
}

#[test]
fn messages_name_the_figures() {
    let rules = WasteRules::default();
    for (rule, text) in [
        (
            Rule::LargeRequest,
            "60,000 tokens in one request (cached reads not counted), over the limit of 50,000",
        ),
        (
            Rule::LargeOutput,
            "Answer of 60,000 tokens, over the limit of 10,000; it was likely truncated",
        ),
        (
            Rule::UnboundedSearch,
            "Grep returned 60,000 tokens, over the limit of 5,000; the search has no bounds",
        ),
    ] {
        let finding = Finding {
            rule,
            figure: 60_000,
            wasted_tokens: 0,
            wasted_cost: Pico::ZERO,
        };
        assert_eq!(rules.message(&finding, "Grep"), text);
    }
}

#[test]
fn every_rule_is_configurable_and_can_be_switched_off() {
    let text = r#"{"large_request": {"enabled": false}, "large_output": {"enabled": false},
        "read_loop": {"calls": 1, "window_seconds": 10, "tools": ["look"]},
        "unbounded_search": {"tokens": 10, "tools": ["seek"]}, "duplicate_request": {"window_seconds": 2}}"#;
    let rules: WasteRules = serde_json::from_str(text).unwrap();
    assert_eq!(rules.validate(), Ok(()));
    assert_eq!(found(&rules, &sized(100_000, 100_000, "Grep")), []);
    assert_eq!(found(&rules, &sized(1, 11, "seek")), [Rule::UnboundedSearch]);
    let mut recent = Recent::default();
    rules.check(&mut recent, &call("a", 0, "look"), None);
    let findings = rules.check(&mut recent, &call("b", 9, "look"), None);
    assert_eq!(
        rules.message(&findings[0], "look"),
        "look called 2 times in 10 seconds"
    );
    assert_eq!(rules.check(&mut recent, &call("c", 20, "look"), None), []);

    let off = r#"{"read_loop": {"enabled": false}, "unbounded_search": {"enabled": false},
        "duplicate_request": {"enabled": false}}"#;
    let off: WasteRules = serde_json::from_str(off).unwrap();
    let mut recent = Recent::default();
    for at in 0..9 {
        let mut seen = call(&format!("k{at}"), at, "Read");
        seen.request_hash = 1;
        assert_eq!(off.check(&mut recent, &seen, None), []);
    }
    assert!(recent.is_empty());
    assert_eq!(found(&off, &sized(0, 9_000, "Grep")), []);
    assert!(serde_json::from_str::<WasteRules>(r#"{"large_requests": {}}"#).is_err());
    let written = serde_json::to_string(&WasteRules::default()).unwrap();
    assert_eq!(
        serde_json::from_str::<WasteRules>(&written).unwrap(),
        WasteRules::default()
    );
}

#[test]
fn wrong_configuration_is_refused() {
    let default = WasteRules::default;
    let mut cases = Vec::new();
    for (field, change) in [
        (
            "large_request.tokens",
            (|r| r.large_request.tokens = 0) as fn(&mut WasteRules),
        ),
        ("large_output.tokens", |r| r.large_output.tokens = 0),
        ("unbounded_search.tokens", |r| r.unbounded_search.tokens = 0),
        ("read_loop.calls", |r| r.read_loop.calls = 0),
        ("read_loop.window_seconds", |r| r.read_loop.window_seconds = 3_601),
        ("duplicate_request.window_seconds", |r| {
            r.duplicate_request.window_seconds = 0
        }),
        ("read_loop.tools", |r| {
            r.read_loop.tools = vec![String::new(); 257]
        }),
    ] {
        let mut rules = default();
        change(&mut rules);
        cases.push((field, rules));
    }
    for (field, rules) in cases {
        let refusal = rules.validate().unwrap_err().to_string();
        assert!(refusal.starts_with(&format!("waste.{field}: ")), "{refusal}");
    }
}

#[test]
fn embeddings_cache_hits_and_sums_are_no_waste() {
    for kind in [CallKind::Embedding, CallKind::CacheHit, CallKind::Several] {
        let mut seen = sized(900_000, 0, "Grep");
        seen.kind = kind;
        assert_eq!(found(&WasteRules::default(), &seen), []);
    }
}

#[test]
fn the_memory_is_bounded_pruned_and_survives_a_checkpoint() {
    let rules = WasteRules::default();
    let mut recent = Recent::default();
    for at in 0..2_000 {
        let mut seen = call(&format!("k{at}"), 0, "Read");
        seen.who.session = format!("s{}", at % 500).into();
        rules.check(&mut recent, &seen, None);
    }
    for at in 0..2_000 {
        rules.check(&mut recent, &call(&format!("m{at}"), at / 100, "Read"), None);
    }
    let written = serde_json::to_string(&recent).unwrap();
    assert!(written.len() < 300_000, "{} bytes", written.len());
    let mut restored: Recent = serde_json::from_str(&written).unwrap();
    assert_eq!(restored, recent);
    let last = call("last", 20, "Read");
    assert_eq!(
        rules.check(&mut restored, &last, None),
        rules.check(&mut recent, &last, None)
    );
    recent.prune(last.at_ms);
    assert!(!recent.is_empty());
    recent.prune(last.at_ms + 1);
    assert!(recent.is_empty());
}

proptest! {
    #[test]
    fn no_token_is_blamed_twice(
        input in 0..200_000_u64,
        output in 0..60_000_u64,
        cached in 0..500_000_u64,
        cost in prop_oneof![Just(None), (0..10_000_000_000_000_i128).prop_map(Some)],
        repeats in 0..8,
    ) {
        let rules = WasteRules::default();
        let mut recent = Recent::default();
        for at in 0..=repeats {
            let mut seen = sized(input, output, "Grep");
            seen.key = crate::id::Key::new(0, &[&at.to_string()]);
            seen.tokens.cache_read = cached;
            seen.request_hash = 5;
            let findings = rules.check(&mut recent, &seen, cost.map(Pico));
            let wasted: u64 = findings.iter().map(|f| f.wasted_tokens).sum();
            let wasted_cost: i128 = findings.iter().map(|f| f.wasted_cost.0).sum();
            prop_assert!(wasted <= input + output);
            prop_assert!(wasted_cost <= cost.unwrap_or(0));
            prop_assert!(findings.is_sorted_by_key(|f| f.rule));
            // A repeated request is needless as a whole, whatever else is wrong with it; its cached reads are not.
            if at > 0 {
                prop_assert_eq!(wasted, input + output);
                let whole = share(Pico(cost.unwrap_or(0)), wasted, seen.tokens.total());
                prop_assert_eq!(Pico(wasted_cost), whole);
            }
        }
    }
}
