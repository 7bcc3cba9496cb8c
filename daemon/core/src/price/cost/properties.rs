//! What holds for the cost of any call at any price.

use proptest::prelude::*;

use super::tests::{NOON, call, cost, tiered};
use super::*;
use crate::price::TierRates;

fn any_rate() -> impl Strategy<Value = Option<Rate>> {
    (0_i64..=1_000_000_000_000).prop_map(|pico| Some(Rate(pico)))
}

prop_compose! {
    fn any_row()(
        input in any_rate(), output in any_rate(), cache_read in any_rate(), write in proptest::option::of(0_i64..1_000_000_000_000),
        above in proptest::option::of(1_u64..u64::MAX), high in any_rate(),
        num in 1_u32..2_000, den in 1_u32..1_000, undiscounted: bool, anthropic: bool,
    ) -> PriceRow {
        let some = Factor::ratio(i128::from(num), i128::from(den).max(i128::from(num) / 900));
        PriceRow {
            provider: if anthropic { "anthropic" } else { "openai" }.into(),
            model: "m".into(),
            rates: Rates { input, output, cache_read, cache_write_5m: write.map(Rate), ..Rates::default() },
            tier: above.map(|above| TierRates { above, rates: Rates { input: high, ..Rates::default() } }),
            batch: some,
            fast: some,
            us_region: some,
            cache_read_undiscounted: undiscounted,
            web_search: Some(Pico(10_000_000_000)),
            ..PriceRow::default()
        }
    }
}

prop_compose! {
    fn any_call()(buckets: [u64; 11], fast: bool, us_region: bool, tier in 0..4) -> Call {
        let tier = [Tier::Standard, Tier::Priority, Tier::Flex, Tier::Batch][usize::try_from(tier).unwrap_or(0)];
        Call { at_ms: NOON, tokens: Tokens::from_array(buckets), tier, fast, us_region, several: false }
    }
}

proptest! {
    #[test]
    fn any_call_has_a_cost_that_is_the_sum_of_its_parts(row in any_row(), call in any_call()) {
        let costing = cost(row, call).unwrap();
        let parts = costing.parts;
        prop_assert_eq!(costing.total, parts.input + parts.output + parts.cache_read + parts.cache_write + parts.other);
        for part in [parts.input, parts.output, parts.cache_read, parts.cache_write, parts.other] {
            prop_assert!(part >= Pico::ZERO);
        }
        prop_assert!(!costing.detail().contains('\n'));
    }

    #[test]
    fn cost_is_additive_below_the_tier(
        a in proptest::array::uniform11(0_u64..1_000_000_000),
        b in proptest::array::uniform11(0_u64..1_000_000_000),
    ) {
        let mut row = tiered();
        row.tier = None;
        let (a, b) = (Tokens::from_array(a), Tokens::from_array(b));
        let mut both = a;
        both.add(&b);
        let cost = |tokens| cost(row.clone(), call(tokens)).unwrap().total;
        prop_assert_eq!(cost(both), cost(a) + cost(b));
    }

    #[test]
    fn more_tokens_never_cost_less(row in any_row(), tokens in proptest::array::uniform11(0_u64..1 << 40), more in 0_u64..1 << 40) {
        let mut row = row;
        row.tier = None;
        let few = Tokens::from_array(tokens);
        let many = Tokens { input: few.input + more, ..few };
        prop_assert!(cost(row.clone(), call(few)).unwrap().total <= cost(row, call(many)).unwrap().total);
    }
}
