//! The rule by examples, and its bounds whatever the past was.

use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::super::tests::budget;
use super::*;

fn tokens(tokens: u64) -> Used {
    Used {
        tokens,
        ..Used::default()
    }
}

fn rule(min: i128, max: i128, step_percent: u32) -> Adjust {
    Adjust {
        min,
        max,
        step_percent,
        ..Adjust::default()
    }
}

fn adjusting(limit_tokens: u64, adjust: Adjust) -> Budget {
    Budget {
        limit_tokens,
        adjust: Some(Box::new(adjust)),
        ..budget()
    }
}

fn next(adjust: &Adjust, limit: i128, taken: i128, used: &[u64]) -> (i128, String) {
    let totals: Vec<Used> = used.iter().map(|&n| tokens(n)).collect();
    let next = adjust.next(Unit::Tokens, limit, taken, &totals);
    (next.limit, next.why)
}

#[test]
fn a_limit_follows_by_steps_and_says_why() {
    let adjust = rule(500, 1_300, 20);
    let (limit, why) = next(&adjust, 1_000, 0, &[900, 1_100, 5_000]);
    assert_eq!(limit, 1_200);
    assert_eq!(
        why,
        "1,000 tokens to 1,200 tokens: p95 of the last 3 windows is 5,000 tokens, by a step of at most 20 %"
    );
    assert_eq!(next(&adjust, 1_200, 0, &[5_000; 3]).0, 1_300, "the upper bound");
    assert_eq!(
        next(&adjust, 1_000, 0, &[1_050; 3]).0,
        1_050,
        "where it was going"
    );
    assert_eq!(next(&adjust, 550, 0, &[10; 3]).0, 500, "the lower bound");
    assert_eq!(next(&adjust, 1_000, 950, &[10; 3]).0, 950, "what is in use");
    assert_eq!(
        next(&adjust, 1_000, 2_000, &[10; 3]).0,
        1_000,
        "overdrawn, and not raised for it"
    );
    for (used, why) in [(&[7, 7][..], "2 past windows"), (&[0, 0, 0][..], "nothing")] {
        let (limit, said) = next(&adjust, 1_000, 0, used);
        assert!(limit == 1_000 && said.contains(why), "{said}");
    }
}

#[test]
fn it_is_refused_without_bounds_or_a_turn() {
    let checked = |budget: Budget| budget.checked();
    assert_eq!(
        checked(adjusting(10, rule(1, 20, 0)))
            .unwrap()
            .adjust
            .unwrap()
            .step_percent,
        20
    );
    let with = |change: &dyn Fn(&mut Budget)| {
        let mut budget = adjusting(10, rule(1, 20, 0));
        change(&mut budget);
        budget
    };
    for (budget, named) in [
        (adjusting(10, rule(0, 20, 0)), "adjust.min"),
        (adjusting(10, rule(1, 0, 0)), "adjust.max"),
        (adjusting(10, rule(11, 20, 0)), "adjust.min"),
        (adjusting(10, rule(1, 9, 0)), "adjust.min"),
        (adjusting(10, rule(1, 20, 101)), "adjust.step_percent"),
        (with(&|b| b.limit_requests = 5), "adjust"),
        (with(&|b| b.window = Span::Hours(5)), "adjust"),
        (with(&|b| b.window = Span::Session), "adjust"),
        (with(&|b| b.scope.tasks = vec!["t".into()]), "adjust"),
    ] {
        let Err(Refusal::Invalid { field, .. }) = checked(budget.clone()) else {
            panic!("{budget:?} was accepted");
        };
        assert_eq!(field, named);
    }
    for target in Target::ALL {
        assert_eq!(Target::parse(target.name()).unwrap(), target);
    }
    assert!(Target::parse("p50").is_err());
}

#[test]
fn it_is_due_once_per_window() {
    const DAY: i64 = 86_400_000;
    let budget = adjusting(1_000, rule(500, 2_000, 20)).checked().unwrap();
    let mut account = Account::new(Arc::new(budget), TimeZone::UTC, Vec::new());
    account.begin_adjusting(10 * DAY + 5);
    assert_eq!(account.adjust_due_ms(), Some(11 * DAY));
    // Nobody was there for two days: one step, not three.
    let later = account.adjusted(&[tokens(9_000); 4], 13 * DAY + 7).unwrap();
    assert_eq!(later.budget().limit_tokens, 1_200);
    assert_eq!(later.adjust_due_ms(), Some(14 * DAY));
    assert_eq!(later.budget().adjust.as_ref().unwrap().set, 1_000);
}

proptest! {
    #[test]
    fn bounds_always_hold(
        (min, limit, max) in (1i128..1_000, 0i128..1_000, 0i128..1_000).prop_map(|(a, b, c)| (a, a + b, a + b + c)),
        step in 1u32..=100,
        to in prop::sample::select(Target::ALL.to_vec()),
        windows in prop::collection::vec((prop::collection::vec(0u64..100_000, 0..40), 0i128..5_000), 1..20),
    ) {
        let adjust = Adjust { to, ..rule(min, max, step) };
        let mut limit = limit;
        for (used, taken) in windows {
            let (next, why) = next(&adjust, limit, taken, &used);
            prop_assert!((min..=max).contains(&next), "{}", why);
            let most = (limit * i128::from(step) / 100).max(1);
            prop_assert!((next - limit).abs() <= most, "{}", why);
            // It is not the adjustment that takes away what is in use.
            prop_assert!(next >= taken.min(limit), "{}", why);
            limit = next;
        }
    }
}
