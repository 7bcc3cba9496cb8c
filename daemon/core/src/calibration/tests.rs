//! What is learned, how well it covers, and that it stays the same when it is saved.

use super::*;
use crate::limits::MAX_CALIBRATIONS;

const CLAUDE: Prior = Prior {
    slope: 1150,
    per_block: 30,
    below: 150,
    above: 150,
};

fn claude() -> Calibration {
    Calibration::new(CLAUDE)
}

/// Bills by a known line with ten in a hundred of noise, and one in fifty far off; the measures and bills.
fn bills(count: u64) -> Vec<(Measure, u64)> {
    let mut state = 9_u64;
    let mut unit = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    (0..count)
        .map(|_| {
            let measure = Measure {
                counted: 50 + (unit() * 4_000.0) as u64,
                blocks: 1 + (unit() * 6.0) as u64,
            };
            let right = 1.3 * measure.counted as f64 + 34.0 * measure.blocks as f64;
            let noise = 1.0 + 0.1 * (unit() + unit() + unit() + unit() - 2.0);
            let far = if unit() < 0.02 { 20_000.0 } else { 0.0 };
            (measure, (right * noise + far) as u64)
        })
        .collect()
}

fn bill(agent: &str, model: &str, at_ms: i64, (measure, billed): (Measure, u64)) -> Bill {
    Bill {
        agent: agent.into(),
        model: model.into(),
        at_ms,
        measure,
        bytes: measure.counted * 3,
        billed,
        prior: CLAUDE,
    }
}

#[test]
fn before_bills_it_is_a_prior() {
    let estimate = claude().estimate(Measure {
        counted: 1_000,
        blocks: 2,
    });
    assert_eq!(
        (estimate.tokens, estimate.low, estimate.high),
        (1_210, 992, 1_561)
    );
    assert_eq!(
        estimate.basis,
        Basis::Prior {
            below: 181,
            above: 291
        }
    );
}

#[test]
fn it_learns_the_line_despite_outliers_and_its_bands_cover_every_size() {
    let mut calibration = claude();
    let mut covered = [(0_u32, 0_u32); 4];
    for (measure, billed) in bills(6_000) {
        if calibration.observations() >= 400 {
            let estimate = calibration.estimate(measure);
            assert!(matches!(estimate.basis, Basis::Calibrated { .. }));
            let of = &mut covered[size(estimate.tokens as f64)];
            of.1 += 1;
            of.0 += u32::from((estimate.low..=estimate.high).contains(&billed));
        }
        calibration.learn(measure, measure.counted * 4, billed);
    }
    let [slope, _] = calibration.line();
    assert!((1.2..1.45).contains(&slope), "{slope}");
    for (inside, of) in covered.into_iter().skip(1) {
        let coverage = f64::from(inside) / f64::from(of);
        assert!((0.84..0.97).contains(&coverage), "{coverage} of {of}");
    }
    let bytes = calibration.estimate_bytes(4_000, 0, 1);
    let counted = calibration.estimate(Measure {
        counted: 1_000,
        blocks: 1,
    });
    assert_eq!(bytes.tokens, counted.tokens);
    assert!(bytes.low < counted.low && bytes.high > counted.high);
}

#[test]
fn a_text_alone_is_estimated_by_the_slope_and_what_large_bills_stayed_within() {
    let mut calibration = claude();
    assert_eq!(calibration.estimate_text(1_000), None);
    let mut inside = (0, 0);
    for (measure, billed) in bills(2_000) {
        // What a reminder adds makes the band of small bills wide, and not that of a text.
        let reminder = if measure.counted < 90 { 300 } else { 0 };
        calibration.learn(measure, 0, billed + reminder);
        if let Some(text) = calibration.estimate_text(measure.counted) {
            assert!(text.low <= text.tokens && text.tokens <= text.high);
            let alone = billed.saturating_sub(34 * measure.blocks);
            inside = (
                inside.0 + u32::from((text.low..=text.high).contains(&alone)),
                inside.1 + 1,
            );
        }
    }
    assert!(inside.1 > 1_900 && inside.0 * 100 > inside.1 * 85, "{inside:?}");
    let text = calibration.estimate_text(20).unwrap();
    assert!(text.high < 40, "{text:?}");
    assert_eq!(calibration.estimate_text(0).map(|text| text.high), Some(0));
    // Bills that are all over the place say less than what was believed.
    let mut wild = claude();
    for (at, (measure, billed)) in (0..).zip(bills(400)) {
        wild.learn(measure, 0, if at % 2 == 0 { billed * 3 } else { billed });
    }
    assert_eq!(wild.estimate_text(1_000), None);
}

#[test]
fn an_anchor_carries_the_sum() {
    let grown = claude().estimate(Measure {
        counted: 500,
        blocks: 1,
    });
    let estimate = grown.after(100_000);
    assert_eq!(estimate.tokens, 100_605);
    assert!(estimate.low > 100_450 && estimate.high < 100_900);
    let Basis::Prior { above, .. } = estimate.basis else {
        panic!("{estimate:?}");
    };
    assert!(above <= 3, "{above}");
    let nothing = Estimate {
        tokens: 0,
        low: 0,
        high: 0,
        basis: Basis::Billed,
    };
    assert_eq!(nothing.after(7).basis, Basis::Billed);
}

#[test]
fn nothing_breaks_it() {
    let mut calibration = claude();
    for counted in [0, 1, u64::MAX, 7, 0, u64::MAX] {
        for billed in [0, 1, u64::MAX] {
            let measure = Measure {
                counted,
                blocks: counted,
            };
            calibration.learn(measure, counted, billed);
            for estimate in [
                calibration.estimate(measure),
                calibration.estimate_bytes(counted, counted, counted),
            ] {
                assert!(estimate.low <= estimate.tokens && estimate.tokens <= estimate.high);
                let after = estimate.after(u64::MAX);
                assert!(after.low <= after.tokens && after.tokens <= after.high);
            }
            assert!(calibration.line().iter().all(|part| part.is_finite()));
        }
    }
}

#[test]
fn saved_and_read_back_it_is_the_same_and_learns_the_same() {
    let mut known = Calibrations::default();
    for (at, seen) in (1..).zip(bills(300)) {
        known.learn(&bill("claude-code", "claude-opus-4-6", at, seen));
    }
    let text = serde_json::to_string(&known).unwrap();
    let mut back: Calibrations = serde_json::from_str(&text).unwrap();
    assert_eq!(back, known);
    for (at, seen) in (400..).zip(bills(50)) {
        known.learn(&bill("claude-code", "claude-opus-4-6", at, seen));
        back.learn(&bill("claude-code", "claude-opus-4-6", at, seen));
    }
    assert_eq!(back, known);
}

#[test]
fn a_new_model_begins_where_its_relative_is_and_nothing_is_learned_twice() {
    let mut known = Calibrations::default();
    for (at, seen) in (1..).zip(bills(300)) {
        known.learn(&bill("claude-code", "a", at, seen));
    }
    assert!(!known.is_new("claude-code", "a", 300) && known.is_new("claude-code", "a", 301));
    assert!(known.is_new("claude-code", "b", 1));
    let begun = known.relative(CLAUDE);
    assert_eq!(begun.line(), known.get("", "a").unwrap().line());
    assert!(!begun.is_known());
    let other = Prior {
        slope: 1_400,
        ..CLAUDE
    };
    assert_eq!(known.relative(other), Calibration::new(other));
    assert!(known.get("claude-code", "b").is_none());
}

#[test]
fn what_is_known_is_bounded() {
    let mut known = Calibrations::default();
    for at in 0..200 {
        known.learn(&bill("x", &format!("m{at}"), at, bills(1)[0]));
    }
    assert_eq!(known.iter().count(), MAX_CALIBRATIONS);
    assert!(known.get("x", "m199").is_some() && known.get("x", "m0").is_none());
}
