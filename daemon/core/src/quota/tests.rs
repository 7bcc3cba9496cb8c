//! Readings of limits: what is believed, what stands, and when a limit runs out.

use proptest::prelude::*;

use super::*;

const NOON: i64 = 1_795_176_000_000;
const HOUR: i64 = 3_600_000;

fn reading(limit: &str, used: u32, resets_at_ms: i64, at_ms: i64) -> Reading {
    Reading {
        agent: "claude-code".into(),
        account: "me".into(),
        limit: limit.into(),
        window_minutes: 300,
        used,
        resets_at_ms,
        at_ms,
        plan: "".into(),
        source: "statusline".into(),
    }
}

#[test]
fn a_percentage_is_a_share_or_nothing() {
    for (percent, wanted) in [
        (0.0, Some(0)),
        (12.5, Some(1_250)),
        (100.0, Some(10_000)),
        (99.999, Some(10_000)),
        (1_000.0, Some(100_000)),
        (1_795_170_000.0, None),
        (-1.0, None),
        (f64::NAN, None),
        (f64::INFINITY, None),
    ] {
        assert_eq!(share(percent), wanted, "{percent}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let good = reading("five_hour", 1_000, NOON + HOUR, NOON);
    good.check(NOON).unwrap();
    let long: Name = "x".repeat(2_000).into();
    for (bad, field) in [
        (
            Reading {
                limit: "".into(),
                ..good.clone()
            },
            "limit",
        ),
        (
            Reading {
                agent: long,
                ..good.clone()
            },
            "agent",
        ),
        (
            Reading {
                used: 100_001,
                ..good.clone()
            },
            "used_percent",
        ),
        (
            Reading {
                window_minutes: u32::MAX,
                ..good.clone()
            },
            "window_minutes",
        ),
        (
            Reading {
                resets_at_ms: i64::MAX,
                ..good.clone()
            },
            "resets_at_ms",
        ),
        (
            Reading {
                resets_at_ms: -1,
                ..good.clone()
            },
            "resets_at_ms",
        ),
        (
            Reading {
                at_ms: NOON + 50 * HOUR,
                ..good.clone()
            },
            "at_ms",
        ),
    ] {
        let refusal = bad.check(NOON).unwrap_err().to_string();
        assert!(refusal.contains(field), "{refusal}");
    }
}

#[test]
fn the_pace_tells_when_it_runs_out() {
    // Two of five hours are over.
    let resets = NOON + 3 * HOUR;
    let at = |used| standing(&reading("five_hour", used, resets, NOON), NOON);
    assert_eq!(at(2_000).passed, Some(4_000));
    assert_eq!(at(2_000).runs_out_at_ms, None, "half as fast as it may be");
    assert_eq!(at(4_000).runs_out_at_ms, None, "just as fast");
    assert_eq!(at(8_000).runs_out_at_ms, Some(NOON + HOUR / 2));
    assert_eq!(at(10_000).runs_out_at_ms, Some(NOON));
    assert_eq!(at(0).runs_out_at_ms, None);
    let over = standing(&reading("five_hour", 9_000, NOON - 1, NOON - HOUR), NOON);
    assert_eq!((over.used, over.is_over), (0, true));
    let unknown = standing(&reading("five_hour", 9_000, 0, NOON), NOON);
    assert_eq!(
        (unknown.used, unknown.passed, unknown.runs_out_at_ms),
        (9_000, None, None)
    );
}

#[test]
fn only_so_many_are_remembered() {
    let mut quotas = Quotas::default();
    for n in 0..=i64::try_from(MAX_QUOTAS).unwrap() {
        quotas.apply(&reading(&n.to_string(), 1, NOON + HOUR, NOON + n));
    }
    assert_eq!(quotas.readings().count(), MAX_QUOTAS);
    assert!(quotas.readings().all(|r| &*r.limit != "0"), "the silent one went");
}

proptest! {
    /// Sessions report in any order and more than once: the newest window's highest share stands.
    #[test]
    fn the_order_within_a_window_does_not_matter(
        told in prop::collection::vec((0..3_i64, 0..200_u32), 1..30),
    ) {
        let resets = |window: i64| NOON + window * 5 * HOUR;
        let mut quotas = Quotas::default();
        for (n, (window, used)) in told.iter().enumerate() {
            let at = NOON + i64::try_from(n).unwrap();
            quotas.apply(&reading("five_hour", *used, resets(*window), at));
        }
        let newest = told.iter().map(|t| t.0).max().unwrap();
        let highest = told.iter().filter(|t| t.0 == newest).map(|t| t.1).max().unwrap();
        let kept: Vec<&Reading> = quotas.readings().collect();
        prop_assert_eq!(kept.len(), 1);
        prop_assert_eq!((kept[0].resets_at_ms, kept[0].used), (resets(newest), highest));
    }
}
