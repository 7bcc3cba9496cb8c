//! Each tip with the records that call for it, and without.

use super::*;
use crate::entry::Rule;
use crate::report::sample::report;
use crate::rollup::{Agg, WasteAgg};
use crate::tokens::Tokens;

fn agg(requests: u64, input: u64, output: u64) -> Agg {
    let tokens = Tokens {
        input,
        output,
        ..Tokens::default()
    };
    Agg {
        requests,
        tokens,
        cost: Pico(i128::from(tokens.total()) * 1_000),
        ..Agg::empty()
    }
}

fn with_waste(rule: Rule, tokens: u64) -> Agg {
    let waste = vec![WasteAgg {
        rule,
        events: 3,
        tokens,
        cost: Pico(i128::from(tokens) * 1_000_000),
    }];
    Agg {
        waste,
        ..agg(10, 100_000, 1_000)
    }
}

/// Dollars per million tokens of input, output and cached input are pico-dollars per token times a million.
fn prices(_: &str, model: &str) -> Option<UnitPrices> {
    let (input, output, cache_read) = match model {
        "dear" => (15, 75, 2),
        "cheap" => (1, 5, 0),
        _ => return None,
    };
    let [input, output, cache_read] = [input, output, cache_read].map(|usd| Pico(usd * 1_000_000));
    Some(UnitPrices {
        input,
        output,
        cache_read,
    })
}

fn tips_of(by_tool: &[(&[&str], Agg)], by_model: &[(&[&str], Agg)]) -> Vec<Tip> {
    tips(&Evidence {
        by_tool: &report(by_tool),
        by_model: &report(by_model),
        rules: &WasteRules::default(),
        prices: &prices,
    })
}

#[test]
fn each_rule_has_its_tip() {
    for (rule, group, title, evidence, advice) in [
        (
            Rule::LargeRequest,
            Group::Critical,
            "Very large requests",
            "3 requests of more than 50,000",
            "compact",
        ),
        (
            Rule::LargeOutput,
            Group::Critical,
            "Very long answers",
            "3 answers of more than 10,000",
            "Split",
        ),
        (
            Rule::ReadLoop,
            Group::Warning,
            "Tool called in a loop",
            "3 calls after 5 others within 1 minute",
            "Search first",
        ),
        (
            Rule::UnboundedSearch,
            Group::Warning,
            "Tool without bounds",
            "3 results of more than 5,000",
            "constraints",
        ),
        (
            Rule::DuplicateRequest,
            Group::Warning,
            "The same request again",
            "repeated within 5 minutes",
            "Cache",
        ),
    ] {
        let tips = tips_of(&[(&["Tool"], with_waste(rule, 12_000))], &[]);
        assert_eq!(tips.len(), 1, "{tips:?}");
        let tip = &tips[0];
        assert_eq!((tip.group, tip.title.as_str()), (group, title));
        assert!(tip.evidence.contains(evidence), "{}", tip.evidence);
        assert!(
            tip.evidence.ends_with("12,000 needless tokens, $0.012"),
            "{}",
            tip.evidence
        );
        assert!(tip.advice.contains(advice), "{}", tip.advice);
        assert_eq!((tip.saved_tokens, tip.saved_cost), (12_000, Pico(12_000_000_000)));
    }
}

#[test]
fn long_answers_of_a_tool_call_for_limits() {
    let tips = tips_of(
        &[
            (&["Bash"], agg(10, 20_000, 80_010)),
            (&["view"], agg(10, 0, 80_000)),
        ],
        &[],
    );
    assert_eq!(tips.len(), 1);
    assert_eq!((tips[0].group, tips[0].saved_tokens), (Group::Warning, 10));
    assert_eq!(tips[0].saved_cost, Pico(10_000));
    assert!(
        tips[0]
            .evidence
            .contains("8,001 tokens of output per call on average over 10 calls")
    );
    assert!(tips_of(&[(&["Bash"], agg(2, 0, 90_000)), (&[""], agg(9, 0, 90_000))], &[]).is_empty());
}

#[test]
fn failures_call_for_a_look() {
    let failing = Agg {
        failed_requests: 3,
        ..agg(50, 1, 1)
    };
    assert!(
        tips_of(&[(&["Bash"], failing)], &[])[0]
            .evidence
            .contains("3 of 50 calls failed or were cut off (6.0 %)")
    );
    let few = Agg {
        failed_requests: 3,
        ..agg(60, 1, 1)
    };
    assert!(tips_of(&[(&["Bash"], few)], &[]).is_empty());
}

fn cached(input: u64, read: u64, write: u64) -> Agg {
    let mut agg = agg(50, input, 50_000);
    agg.tokens.cache_read = read;
    agg.tokens.cache_write_5m = write;
    agg
}

#[test]
fn a_cache_that_does_not_pay_is_told() {
    for (agg, title) in [
        (cached(1_000_000, 0, 0), Some("dear hardly uses its cache")),
        (cached(100_000, 300_000, 500_000), Some("dear loses its cache")),
        (cached(300_000, 600_000, 100_000), None),
        (cached(400_000, 0, 0), None),
    ] {
        let tips = tips_of(&[], &[(&["anthropic", "dear"], agg)]);
        assert_eq!(tips.first().map(|tip| tip.title.as_str()), title);
    }
    let tips = tips_of(&[], &[(&["anthropic", "dear"], cached(1_000_000, 0, 0))]);
    assert_eq!(tips[0].saved_cost, Pico(500_000 * 13_000_000));
    assert!(tips[0].evidence.contains("0 % of 1,000,000 prompt tokens"));
}

#[test]
fn a_dear_model_on_short_answers_is_told_when_a_cheaper_one_is_in_use() {
    let mut short = agg(100, 10_000, 5_000);
    short.cost = Pico(10_000 * 15_000_000 + 5_000 * 75_000_000);
    let dear: (&[&str], Agg) = (&["anthropic", "dear"], short);
    let cheap: (&[&str], Agg) = (&["anthropic", "cheap"], agg(5, 10_000, 9_000));
    let tips = tips_of(&[], &[dear.clone(), cheap.clone()]);
    assert_eq!(tips.len(), 1);
    assert_eq!(tips[0].title, "dear for short answers");
    assert_eq!(tips[0].saved_cost, Pico(10_000 * 14_000_000 + 5_000 * 70_000_000));
    assert!(
        tips[0]
            .evidence
            .contains("100 calls with 50 tokens of output on average, for $0.525; cheap is in use too")
    );

    let elsewhere: (&[&str], Agg) = (&["other", "cheap"], agg(5, 10_000, 9_000));
    assert!(tips_of(&[], &[dear.clone(), elsewhere]).is_empty());
    assert!(tips_of(&[], &[dear]).is_empty());
    assert!(tips_of(&[], &[(&["anthropic", "dear"], agg(100, 10_000, 50_000)), cheap]).is_empty());
}

#[test]
fn much_reasoning_is_told() {
    let mut thoughtful = agg(50, 1_000, 100_000);
    thoughtful.tokens.reasoning = 80_001;
    assert!(
        tips_of(&[], &[(&["", "x"], thoughtful.clone())])[0]
            .title
            .contains("reasons more")
    );
    thoughtful.tokens.reasoning = 80_000;
    assert!(tips_of(&[], &[(&["", "x"], thoughtful)]).is_empty());
}

#[test]
fn the_most_pressing_come_first_then_what_saves_most() {
    let tips = tips_of(
        &[
            (&["Read"], with_waste(Rule::ReadLoop, 10)),
            (&["Grep"], with_waste(Rule::UnboundedSearch, 20)),
            (&[""], with_waste(Rule::LargeOutput, 1)),
        ],
        &[(&["", "x"], cached(1_000_000, 0, 0))],
    );
    let titles: Vec<_> = tips.iter().map(|tip| tip.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Very long answers",
            "Grep without bounds",
            "Read called in a loop",
            "x hardly uses its cache"
        ]
    );
}

#[test]
fn without_records_there_is_no_advice() {
    assert!(tips_of(&[], &[]).is_empty());
    assert!(
        tips_of(
            &[(&["Read"], agg(100, 100_000, 1_000))],
            &[(&["a", "dear"], agg(1, 9_000_000, 1))]
        )
        .is_empty()
    );
}
