//! Costs by hand-made price rows, so that each rule stands alone, and properties that hold for any row.

use super::*;
use crate::price::{Peak, PriceBook, TierRates};
use crate::testing::observation;

pub(super) const NOON: i64 = 1_795_176_000_000; // 2026-11-20, a Friday

pub(super) fn rate(per_million: &str) -> Option<Rate> {
    Some(Rate::parse_per_million(per_million).unwrap())
}

pub(super) fn factor(text: &str) -> Option<Factor> {
    Some(Factor::parse(text).unwrap())
}

/// $1 in, $10 out, $0.1 read per million, doubled above 200,000.
pub(super) fn tiered() -> PriceRow {
    PriceRow {
        provider: "openai".into(),
        model: "m".into(),
        rates: Rates {
            input: rate("1"),
            output: rate("10"),
            cache_read: rate("0.1"),
            ..Rates::default()
        },
        tier: Some(TierRates {
            above: 200_000,
            rates: Rates {
                input: rate("2"),
                output: rate("20"),
                cache_read: rate("0.2"),
                ..Rates::default()
            },
        }),
        ..PriceRow::default()
    }
}

pub(super) fn call(tokens: Tokens) -> Call {
    Call {
        at_ms: NOON,
        tokens,
        tier: Tier::Standard,
        fast: false,
        us_region: false,
        several: false,
    }
}

pub(super) fn cost(row: PriceRow, call: Call) -> Option<Costing> {
    Priced::new(Arc::new(row)).cost(call)
}

fn total(row: PriceRow, call: Call) -> String {
    cost(row, call).unwrap().total.to_string()
}

fn bundled(provider: &str, model: &str, change: impl FnOnce(&mut Observation)) -> Costing {
    let mut seen = observation("k", NOON);
    seen.provider = provider.into();
    seen.model = model.into();
    change(&mut seen);
    PriceBook::bundled().cost(&seen).unwrap()
}

#[test]
fn the_required_example_holds_to_the_cent_fraction() {
    let costing = PriceBook::bundled().cost(&observation("k", NOON)).unwrap();
    assert_eq!(costing.total.to_string(), "0.0165");
    assert_eq!(costing.parts.input.to_string(), "0.0045");
    assert_eq!(costing.parts.output.to_string(), "0.012");
    assert_eq!(
        costing.detail(),
        "1500 input at $3/M + 800 output at $15/M; bundled price of anthropic/claude-sonnet-4-5 \
         (LiteLLM 1.109.1) = $0.0165"
    );
}

#[test]
fn several_calls_together_are_not_one_long_prompt() {
    let of = |kind| {
        bundled("openai", "gpt-5.4", |seen| {
            seen.kind = kind;
            seen.tokens = Tokens {
                input: 300_000,
                ..Tokens::default()
            };
        })
    };
    assert_eq!(of(CallKind::Completion).total.to_string(), "1.5");
    let several = of(CallKind::Several);
    assert_eq!(several.total.to_string(), "0.75");
    assert!(!several.detail().contains("long-context"), "{}", several.detail());
}

#[test]
fn embeddings_cost_their_prompt_and_a_cache_hit_costs_nothing() {
    let embed = |seen: &mut Observation| {
        seen.kind = CallKind::Embedding;
        seen.tokens = Tokens {
            input: 1_000_000,
            ..Tokens::default()
        };
    };
    assert_eq!(
        bundled("openai", "text-embedding-3-small", embed)
            .total
            .to_string(),
        "0.02"
    );
    let hit = bundled("openai", "text-embedding-3-small", |seen| {
        embed(seen);
        seen.kind = CallKind::CacheHit;
    });
    assert_eq!(hit.total, Pico::ZERO);
}

#[test]
fn a_long_prompt_gives_every_token_the_tiers_price() {
    for (input, cache_read, expected) in [
        (250_000, 0, "0.52"),
        (150_000, 100_000, "0.34"),
        (200_000, 0, "0.21"),
        (200_001, 0, "0.420002"),
        (0, 200_001, "0.0600002"),
    ] {
        let tokens = Tokens {
            input,
            cache_read,
            output: 1_000,
            ..Tokens::default()
        };
        assert_eq!(total(tiered(), call(tokens)), expected, "{input} + {cache_read}");
    }
    let long = bundled("openai", "gpt-5.4", |seen| {
        seen.tokens = Tokens {
            input: 300_000,
            output: 10_000,
            ..Tokens::default()
        };
    });
    assert_eq!(long.total.to_string(), "1.725");
    assert!(
        long.detail()
            .contains("above 272000: long-context prices for all of it"),
        "{}",
        long.detail()
    );
}

#[test]
fn the_highest_tier_that_is_passed_counts() {
    for (input, expected) in [
        (32_000, "0.032"),
        (32_001, "0.0576018"),
        (128_001, "0.384003"),
        (256_001, "1.536006"),
    ] {
        let costing = bundled("alibaba", "qwen3-coder-plus", |seen| {
            seen.tokens = Tokens {
                input,
                ..Tokens::default()
            };
        });
        assert_eq!(costing.total.to_string(), expected, "{input}");
    }
}

#[test]
fn a_tier_raises_what_it_does_not_name() {
    let mut row = tiered();
    row.rates.cache_write_5m = rate("1.3");
    if let Some(tier) = &mut row.tier {
        tier.rates.cache_read = None;
    }
    let tokens = Tokens {
        input: 0,
        cache_read: 100_000,
        cache_write_5m: 150_000,
        ..Tokens::default()
    };
    // 100,000 · 0.2 + 150,000 · 2.6 per million.
    assert_eq!(total(row, call(tokens)), "0.41");
}

#[test]
fn factors_of_real_price_lists() {
    let million = Tokens {
        input: 1_000_000,
        ..Tokens::default()
    };
    let thousand = Tokens {
        input: 1_000,
        output: 1_000,
        ..Tokens::default()
    };
    type Change = fn(&mut Observation);
    let cases: [(&str, &str, Tokens, Change, &str); 16] = [
        (
            "anthropic",
            "claude-opus-4-6",
            thousand,
            |s| s.fast = true,
            "0.18",
        ),
        (
            "anthropic",
            "claude-opus-4-7",
            thousand,
            |s| s.fast = true,
            "0.18",
        ),
        (
            "anthropic",
            "claude-opus-4-8",
            thousand,
            |s| s.fast = true,
            "0.06",
        ),
        (
            "anthropic",
            "claude-opus-4-8",
            thousand,
            |s| s.us_region = true,
            "0.033",
        ),
        (
            "anthropic",
            "claude-opus-4-8",
            thousand,
            |s| s.tier = Tier::Batch,
            "0.015",
        ),
        (
            "anthropic",
            "claude-opus-4-8",
            thousand,
            |s| (s.us_region, s.tier) = (true, Tier::Batch),
            "0.0165",
        ),
        (
            "anthropic",
            "claude-opus-4-8",
            thousand,
            |s| s.tokens.web_searches = 10,
            "0.13",
        ),
        // No multiplier touches a search.
        (
            "anthropic",
            "claude-opus-4-8",
            thousand,
            |s| (s.fast, s.tokens.web_searches) = (true, 10),
            "0.16",
        ),
        (
            "openai",
            "gpt-5.5",
            thousand,
            |s| s.tier = Tier::Priority,
            "0.0875",
        ),
        ("openai", "gpt-5.5", thousand, |s| s.fast = true, "0.0875"),
        (
            "openai",
            "gpt-5.5",
            thousand,
            |s| (s.fast, s.tier) = (true, Tier::Priority),
            "0.0875",
        ),
        (
            "openai",
            "gpt-5.4",
            thousand,
            |s| s.tier = Tier::Priority,
            "0.035",
        ),
        (
            "openai",
            "gpt-5.3-codex",
            thousand,
            |s| s.tier = Tier::Priority,
            "0.0315",
        ),
        ("openai", "gpt-5.5", thousand, |s| s.tier = Tier::Flex, "0.0175"),
        // A third that no decimal factor gives: 0.15 · 5/3 = 0.25.
        (
            "openai",
            "gpt-4o-mini",
            million,
            |s| s.tier = Tier::Priority,
            "0.25",
        ),
        (
            "google",
            "gemini-2.5-flash",
            million,
            |s| s.tier = Tier::Batch,
            "0.15",
        ),
    ];
    for (provider, model, tokens, change, expected) in cases {
        let costing = bundled(provider, model, |seen| {
            seen.tokens = tokens;
            change(seen);
        });
        assert_eq!(
            costing.total.to_string(),
            expected,
            "{model}: {}",
            costing.detail()
        );
    }
}

#[test]
fn what_the_price_list_does_not_offer_is_at_list_price_and_says_so() {
    let costing = bundled("anthropic", "claude-sonnet-4-5", |seen| seen.fast = true);
    assert_eq!(costing.total.to_string(), "0.0165");
    assert!(
        costing.detail().contains("fast: no such offer in the price list"),
        "{}",
        costing.detail()
    );
}

#[test]
fn some_offers_leave_cache_reads_alone() {
    let tokens = Tokens {
        input: 100_000,
        cache_read: 100_000,
        ..Tokens::default()
    };
    let costing = bundled("google", "gemini-2.5-pro", |seen| {
        (seen.tokens, seen.tier) = (tokens, Tier::Batch)
    });
    assert_eq!(costing.parts.input.to_string(), "0.0625");
    assert_eq!(costing.parts.cache_read.to_string(), "0.0125");
    let costing = bundled("google", "gemini-2.5-pro", |seen| {
        (seen.tokens, seen.tier) = (tokens, Tier::Priority)
    });
    assert_eq!(costing.parts.cache_read.to_string(), "0.0225");
}

#[test]
fn cache_writes_have_two_prices() {
    let tokens = Tokens {
        cache_write_5m: 1_000_000,
        cache_write_1h: 1_000_000,
        ..Tokens::default()
    };
    let costing = bundled("anthropic", "claude-opus-4-8", |seen| seen.tokens = tokens);
    assert_eq!(costing.parts.cache_write.to_string(), "16.25");
}

#[test]
fn gaps_are_filled_by_the_vendors_convention_or_the_input_price() {
    let plain = |provider: &str, model: &str| PriceRow {
        provider: provider.into(),
        model: model.into(),
        rates: Rates {
            input: rate("4"),
            output: rate("20"),
            ..Rates::default()
        },
        ..PriceRow::default()
    };
    let tokens = Tokens {
        cache_read: 1_000_000,
        cache_write_5m: 1_000_000,
        cache_write_1h: 1_000_000,
        ..Tokens::default()
    };
    for (provider, model, read, write) in [
        ("anthropic", "claude-next", "0.4", "13"),
        ("", "claude-next", "0.4", "13"),
        ("openai", "gpt-next", "4", "8"),
        ("", "somebody", "4", "8"),
    ] {
        let costing = cost(plain(provider, model), call(tokens)).unwrap();
        assert_eq!(costing.parts.cache_read.to_string(), read, "{provider}/{model}");
        assert_eq!(costing.parts.cache_write.to_string(), write, "{provider}/{model}");
        assert!(
            costing.detail().contains("(assumed: not in the price list)"),
            "{}",
            costing.detail()
        );
    }
    // A price for short writes stands for long ones where there is no convention.
    let mut row = plain("openai", "gpt-next");
    row.rates.cache_write_5m = rate("5");
    assert_eq!(
        cost(row, call(tokens)).unwrap().parts.cache_write.to_string(),
        "10"
    );
    // Anthropic's rules for the region and for searches hold for rows that do not name them, too.
    let us = Call {
        us_region: true,
        ..call(Tokens {
            input: 1_000_000,
            web_searches: 1,
            ..Tokens::default()
        })
    };
    assert_eq!(total(plain("anthropic", "claude-next"), us), "4.41");
    assert_eq!(total(plain("openai", "gpt-next"), us), "4");
}

#[test]
fn tokens_without_any_price_make_the_call_unpriced() {
    let mut row = tiered();
    row.rates.output = None;
    row.tier = None;
    let answered = Tokens {
        input: 5,
        output: 1,
        ..Tokens::default()
    };
    assert_eq!(cost(row.clone(), call(answered)), None);
    let silent = Tokens {
        input: 5,
        ..Tokens::default()
    };
    assert_eq!(total(row, call(silent)), "0.000005");
}

#[test]
fn reasoning_is_a_part_of_the_output() {
    let with = bundled("openai", "gpt-5.5", |seen| seen.tokens.reasoning = 700);
    let without = bundled("openai", "gpt-5.5", |_| {});
    assert_eq!(with.total, without.total);
}

#[test]
fn sound_has_its_own_price_or_that_of_text() {
    let sound = Tokens {
        input_audio: 1_000_000,
        ..Tokens::default()
    };
    assert_eq!(
        bundled("google", "gemini-2.5-flash", |s| s.tokens = sound)
            .total
            .to_string(),
        "1"
    );
    assert_eq!(
        bundled("google", "gemini-2.5-pro", |s| s.tokens = sound)
            .parts
            .input
            .to_string(),
        "2.5"
    );
}

#[test]
fn dear_hours_count_on_working_days() {
    let mut row = tiered();
    row.peak = Some(Peak {
        factor: factor("2").unwrap(),
        hours: vec![(1, 4)],
        weekdays: true,
    });
    let tokens = Tokens {
        input: 100_000,
        ..Tokens::default()
    };
    let at = |hours: i64| Call {
        at_ms: NOON + hours * 3_600_000,
        ..call(tokens)
    };
    assert_eq!(total(row.clone(), at(0)), "0.1");
    assert_eq!(total(row.clone(), at(-10)), "0.2"); // Friday 02:00
    assert_eq!(total(row, at(14)), "0.1"); // Saturday 02:00
}

#[test]
fn each_line_item_is_rounded_once() {
    let mut row = tiered();
    row.rates.input = Some(Rate(1));
    row.rates.output = Some(Rate(1));
    row.batch = factor("0.5");
    let batch = Call {
        tier: Tier::Batch,
        ..call(Tokens {
            input: 3,
            output: 5,
            ..Tokens::default()
        })
    };
    let costing = cost(row, batch).unwrap();
    // 1.5 → 2 and 2.5 → 2, not 8 · 0.5 = 4 by another way.
    assert_eq!((costing.parts.input, costing.parts.output), (Pico(2), Pico(2)));
}
