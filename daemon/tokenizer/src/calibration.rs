//! Learning from bills how many tokens a model makes of what `o200k_base` counts.
//!
//! A line through nothing, `tokens = slope · counted + per block · blocks`, fitted as bills come in: older ones are
//! forgotten slowly, and one that is far off (a hidden reminder, a compaction) moves it little. The band is what nine in
//! ten of the last bills stayed within.

use std::collections::VecDeque;

use crate::label::Label;

/// Weight of a bill after the next one.
const FORGET: f64 = 0.998;
/// Bills whose errors make the band.
const RECENT: usize = 256;
/// Before so many bills the band is the one from before.
const ENOUGH: u32 = 20;
/// A bill further off than so many standard deviations counts as if it were so far off.
const FAR: f64 = 3.0;
/// Least slope; more tokens than this come out of any text.
const LEAST_SLOPE: f64 = 0.5;
/// How unsure the prior is of the slope and of the tokens per block.
const UNSURE: [f64; 2] = [0.25, 20.0];

/// Tokens more or less than the prior's share that nobody sees: once, and for each block.
const HIDDEN: [f64; 2] = [12.0, 30.0];

/// What is to be estimated, or was billed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// Tokens of its texts in the encoding.
    pub counted: u64,
    /// Blocks that they are in: messages, calls, results.
    pub blocks: u64,
}

impl Measure {
    fn vector(self) -> [f64; 2] {
        [self.counted as f64, self.blocks as f64]
    }
}

/// What is known of one model with one client.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Slope, and tokens per block.
    line: [f64; 2],
    /// Covariance of the two: first, both, second.
    unsure: [f64; 3],
    /// Band before enough bills, in thousandths.
    prior: (u32, u32),
    observations: u32,
    /// Relative errors of the last estimates, in thousandths, oldest first.
    errors: VecDeque<u32>,
}

/// An estimate with its band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// The likely tokens.
    pub tokens: u64,
    /// Lower bound.
    pub low: u64,
    /// Upper bound.
    pub high: u64,
    /// What it rests on.
    pub label: Label,
}

impl Calibration {
    /// Before any bill. `slope` and the band, below and above, are in thousandths.
    pub fn new(slope: u32, per_block: u32, band: (u32, u32)) -> Calibration {
        Calibration {
            line: [f64::from(slope) / 1000.0, per_block.into()],
            unsure: [UNSURE[0] * UNSURE[0], 0.0, UNSURE[1] * UNSURE[1]],
            prior: band,
            observations: 0,
            errors: VecDeque::new(),
        }
    }

    /// Bills that it learned from.
    pub fn observations(&self) -> u32 {
        self.observations
    }

    /// Tokens for each one counted, and tokens for each block.
    pub fn line(&self) -> [f64; 2] {
        self.line
    }

    /// What this will be billed as.
    pub fn estimate(&self, measure: Measure) -> Estimate {
        let tokens = self.predict(measure);
        let known = self.observations >= ENOUGH;
        let within = self.band();
        let (below, above) = if known { (within, within) } else { self.prior };
        // A few words may come with a reminder that nobody sees, so a share of them alone says too little.
        let hidden = if known {
            0.0
        } else {
            HIDDEN[0] + HIDDEN[1] * measure.blocks as f64
        };
        let share = |thousandths: u32| tokens * f64::from(thousandths) / 1000.0 + hidden;
        let (low, high) = (whole(tokens - share(below)), whole(tokens + share(above)));
        let tokens = whole(tokens);
        Estimate {
            tokens,
            low,
            high,
            label: match known {
                true => Label::Calibrated {
                    within,
                    observations: self.observations,
                },
                false => Label::prior(tokens, low, high),
            },
        }
    }

    /// What the next request of a session will be billed as: what the last one was, and an estimate of what was added.
    pub fn anchored(&self, billed: u64, added: Measure) -> Estimate {
        let added = self.estimate(added);
        Estimate {
            tokens: billed.saturating_add(added.tokens),
            low: billed.saturating_add(added.low),
            high: billed.saturating_add(added.high),
            label: added.label,
        }
    }

    /// Learns what this was billed as. What has nothing counted, or nothing billed, teaches nothing.
    pub fn learn(&mut self, measure: Measure, billed: u64) {
        let x = measure.vector();
        if x[0] < 1.0 || billed == 0 {
            return;
        }
        let predicted = self.predict(measure);
        let error = billed as f64 - predicted;
        if self.errors.len() == RECENT {
            self.errors.pop_front();
        }
        let relative = error.abs() / predicted.max(1.0) * 1000.0;
        self.errors.push_back(relative.min(1e6) as u32);
        self.observations = self.observations.saturating_add(1);

        let [a, b, c] = self.unsure;
        let spread = [a * x[0] + b * x[1], b * x[0] + c * x[1]];
        let noise = 0.12 * predicted + 12.0;
        let variance = x[0] * spread[0] + x[1] * spread[1] + noise * noise;
        let gain = spread.map(|part| part / variance);
        let limit = FAR * variance.sqrt();
        let error = error.clamp(-limit, limit);
        self.line[0] = (self.line[0] + gain[0] * error).max(LEAST_SLOPE);
        self.line[1] = (self.line[1] + gain[1] * error).max(0.0);
        // Never less sure than before any bill: forgetting must not run away where nothing new is learned.
        self.unsure = [
            ((a - gain[0] * spread[0]) / FORGET).min(UNSURE[0] * UNSURE[0]),
            (b - gain[0] * spread[1]) / FORGET,
            ((c - gain[1] * spread[1]) / FORGET).min(UNSURE[1] * UNSURE[1]),
        ];
    }

    fn predict(&self, measure: Measure) -> f64 {
        let x = measure.vector();
        self.line[0] * x[0] + self.line[1] * x[1]
    }

    /// What nine in ten of the last errors stayed within.
    fn band(&self) -> u32 {
        let mut errors: Vec<u32> = self.errors.iter().copied().collect();
        errors.sort_unstable();
        let rank = (errors.len() + 1) * 9 / 10;
        errors
            .get(rank.min(errors.len().saturating_sub(1)))
            .copied()
            .unwrap_or(1000)
    }
}

fn whole(tokens: f64) -> u64 {
    tokens.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claude() -> Calibration {
        Calibration::new(1150, 30, (150, 150))
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

    #[test]
    fn before_bills_it_is_a_prior() {
        let estimate = claude().estimate(Measure {
            counted: 1_000,
            blocks: 2,
        });
        assert_eq!(
            (estimate.tokens, estimate.low, estimate.high),
            (1_210, 957, 1_464)
        );
        assert_eq!(
            estimate.label,
            Label::Prior {
                below: 209,
                above: 209
            }
        );
    }

    #[test]
    fn it_learns_the_line_despite_outliers_and_its_band_covers() {
        let mut calibration = claude();
        let (mut inside, mut of) = (0, 0);
        for (measure, billed) in bills(1_500) {
            if calibration.observations() >= 100 {
                let estimate = calibration.estimate(measure);
                assert!(matches!(estimate.label, Label::Calibrated { .. }));
                of += 1;
                inside += usize::from((estimate.low..=estimate.high).contains(&billed));
            }
            calibration.learn(measure, billed);
        }
        let [slope, _] = calibration.line();
        assert!((1.2..1.45).contains(&slope), "{slope}");
        let coverage = inside as f64 / f64::from(of);
        assert!((0.85..0.96).contains(&coverage), "{coverage}");
    }

    #[test]
    fn an_anchor_carries_the_sum() {
        let estimate = claude().anchored(
            100_000,
            Measure {
                counted: 500,
                blocks: 1,
            },
        );
        assert_eq!(estimate.tokens, 100_605);
        assert!(estimate.low > 100_450 && estimate.high < 100_750);
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
                calibration.learn(measure, billed);
                let estimate = calibration.estimate(measure);
                assert!(estimate.low <= estimate.tokens && estimate.tokens <= estimate.high);
                assert!(calibration.line().iter().all(|part| part.is_finite()));
            }
        }
    }
}
