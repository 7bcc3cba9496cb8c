//! Learning from bills how many tokens a model makes of what a public encoding counts, and estimating by it.
//!
//! One line through nothing for each agent and model, `tokens = slope · counted + per block · blocks`, fitted as bills
//! come in: older ones are forgotten slowly, and one that is far off (a hidden reminder, a compaction) moves it little.
//! The band is what a little more than nine in ten of the last bills of a like size stayed within.

mod known;

pub use known::{Calibrations, Known};

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::Name;

/// Weight of a bill after the next one.
const FORGET: f64 = 0.998;
/// Bills of one size whose errors make the band.
const RECENT: usize = 128;
/// Before so many bills nothing is said to be calibrated.
const ENOUGH: u32 = 20;
/// A bill further off than so many standard deviations counts as if it were so far off.
const FAR: f64 = 3.0;
/// Least slope; more tokens than this come out of any text.
const LEAST_SLOPE: f64 = 0.5;
/// How unsure the prior is of the slope and of the tokens per block.
const UNSURE: [f64; 2] = [0.25, 20.0];
/// Tokens that there may be less than the prior says, beside its share: once, and for each block.
const LESS: [f64; 2] = [60.0, 30.0];
/// Tokens that there may be more: a reminder that nobody sees has a few hundred.
const MORE: [f64; 2] = [240.0, 30.0];
/// Added to what was predicted before an error is held against it: of ten tokens, one more is a tenth, and nothing.
const SLACK: f64 = 60.0;
/// Of a hundred of the last errors, how many the band holds. It is to hold ninety of those that come, and what comes is
/// not always like what was.
const HELD: usize = 93;
/// Where the sizes of bills part, in predicted tokens: a reminder of a hundred tokens is much of a short text and
/// nothing of a long one.
const SIZES: [f64; 3] = [120.0, 480.0, 1_920.0];
/// Narrowest band of a text alone, in thousandths: conversations are of code more than of prose.
const LEAST_TEXT_BAND: u32 = 120;
/// A learned band of a text alone may have at least this width, below and above together.
const TEXT_BAND: u32 = 500;
/// Bytes of a token before anything was counted, in thousandths: between prose and JSON.
const BYTES_PER_TOKEN: f64 = 3.2;
/// How much less and more another model may bill for the same texts, in thousandths: the tokenizers of today lie between
/// that of GPT-5 and 1.5 times it.
const ANOTHER: (u32, u32) = (350, 500);
/// How much less and more a prompt may have when its session was taken up again, an answer was broken off, or something
/// was attached that nobody sees, in thousandths of the last one. Of sixteen such steps the worst were 18 % and 38 % off.
const CHANGED: (u32, u32) = (250, 450);
/// The same when only a summary is left, of what the session began with.
const SUMMED_UP: (u32, u32) = (500, 1_000);
/// How far off a figure from bytes alone may be, besides: code and JSON against prose.
const BYTES_BAND: f64 = 0.35;

/// What is to be estimated, or was billed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Tokens of its texts in the public encoding.
    pub counted: u64,
    /// Blocks that they are in: messages, calls, results.
    pub blocks: u64,
}

impl Measure {
    fn vector(self) -> [f64; 2] {
        [self.counted as f64, self.blocks as f64]
    }
}

/// What is believed before any bill, from published measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prior {
    /// Tokens for a thousand counted ones.
    pub slope: u32,
    /// Tokens for each block.
    pub per_block: u32,
    /// How far below the figure the band begins, in thousandths.
    pub below: u32,
    /// How far above it the band ends.
    pub above: u32,
}

/// What a conversation was billed for having grown, beside the model's own answer, which was billed before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// Whose conversation.
    pub agent: Name,
    /// The model, in its one spelling ([`crate::model::normalize`]).
    pub model: Name,
    /// When it was billed, milliseconds since the epoch.
    pub at_ms: i64,
    /// What was appended.
    pub measure: Measure,
    /// Bytes of its texts.
    pub bytes: u64,
    /// What it was billed as, in tokens.
    pub billed: u64,
    /// What is believed of the model before any bill.
    pub prior: Prior,
}

/// What an estimate rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The provider's own figure, and nothing else.
    Billed,
    /// Bills of the same agent and model.
    Calibrated {
        /// Half the width of the band that holds nine in ten, in thousandths of the figure.
        within: u32,
        /// Bills that it learned from.
        observations: u32,
    },
    /// Published measurements alone. Thousandths of the figure.
    Prior {
        /// How far below the figure the band begins.
        below: u32,
        /// How far above it the band ends.
        above: u32,
    },
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
    pub basis: Basis,
}

/// What is known of one model with one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Slope, and tokens per block.
    #[serde(with = "exact")]
    line: [f64; 2],
    /// Covariance of the two: first, both, second.
    #[serde(with = "exact")]
    unsure: [f64; 3],
    prior: Prior,
    observations: u32,
    /// Errors of the last estimates of each size, in thousandths of the estimate and [`SLACK`], oldest first.
    errors: [VecDeque<u32>; SIZES.len() + 1],
    /// Tokens counted and bytes that they came from, older ones forgotten.
    #[serde(with = "exact")]
    density: [f64; 2],
}

impl Calibration {
    /// Before any bill.
    pub fn new(prior: Prior) -> Calibration {
        Calibration {
            line: [f64::from(prior.slope) / 1000.0, prior.per_block.into()],
            unsure: [UNSURE[0] * UNSURE[0], 0.0, UNSURE[1] * UNSURE[1]],
            prior,
            observations: 0,
            errors: Default::default(),
            density: [0.0; 2],
        }
    }

    /// Before any bill, when one of the same tokenizer is known: begins where that one is, less sure.
    fn like(other: &Calibration) -> Calibration {
        let [slope, both, block] = other.unsure.map(|part| part * 9.0);
        let most = UNSURE.map(|part| part * part);
        Calibration {
            line: other.line,
            unsure: match slope <= most[0] && block <= most[1] {
                true => [slope, both, block],
                false => [slope.min(most[0]), 0.0, block.min(most[1])],
            },
            density: other.density,
            ..Calibration::new(other.prior)
        }
    }

    /// Bills that it learned from.
    pub fn observations(&self) -> u32 {
        self.observations
    }

    /// Whether it learned enough to be called calibrated.
    pub fn is_known(&self) -> bool {
        self.observations >= ENOUGH
    }

    /// Tokens for each one counted, and tokens for each block.
    pub fn line(&self) -> [f64; 2] {
        self.line
    }

    /// What was believed before any bill.
    pub fn prior(&self) -> Prior {
        self.prior
    }

    /// For each size: from how many estimated tokens on, bills of that size lately, and the band, in thousandths of the
    /// estimate and sixty tokens.
    pub fn bands(&self) -> impl Iterator<Item = (u64, usize, u32)> {
        let from = std::iter::once(0).chain(SIZES.map(|size| size as u64));
        let of = |errors: &VecDeque<u32>| band(errors.iter().copied());
        from.zip(&self.errors)
            .map(move |(from, errors)| (from, errors.len(), of(errors)))
    }

    /// What this will be billed as.
    pub fn estimate(&self, measure: Measure) -> Estimate {
        self.within(measure, 0.0)
    }

    /// What a text alone will be billed as, without anything around it or beside it. `None`: what was learned says less
    /// of it than what was believed before.
    pub fn estimate_text(&self, counted: u64) -> Option<Estimate> {
        // Large bills are of texts nearly alone; of small ones half may be what is around them.
        let within = self.band(f64::INFINITY).max(LEAST_TEXT_BAND);
        if !self.is_known() || within * 2 > self.prior.below.saturating_add(self.prior.above).max(TEXT_BAND) {
            return None;
        }
        let tokens = self.line[0] * counted as f64;
        let share = tokens * f64::from(within) / 1000.0;
        Some(Estimate {
            tokens: whole(tokens),
            low: whole(tokens - share),
            high: whole((tokens + share).ceil()),
            basis: Basis::Calibrated {
                within,
                observations: self.observations,
            },
        })
    }

    /// What texts of which some have only so many bytes, and others were counted, will be billed as.
    pub fn estimate_bytes(&self, bytes: u64, counted: u64, blocks: u64) -> Estimate {
        let also = counted;
        let [counted, of] = self.density;
        let per_token = if counted > 0.0 {
            of / counted
        } else {
            BYTES_PER_TOKEN
        };
        let counted = whole(bytes as f64 / per_token).saturating_add(also);
        self.within(Measure { counted, blocks }, BYTES_BAND)
    }

    fn within(&self, measure: Measure, besides: f64) -> Estimate {
        let tokens = self.predict(measure);
        let known = self.is_known();
        let blocks = measure.blocks as f64;
        // Of two causes that know nothing of each other: the text is unlike others, and there is more than the text.
        let prior = |thousandths: u32, [once, each]: [f64; 2]| {
            (tokens * f64::from(thousandths) / 1000.0).hypot(once + each * blocks)
        };
        let (below, above) = if known {
            let ours = (tokens + SLACK) * f64::from(self.band(tokens)) / 1000.0;
            (ours, ours)
        } else {
            (prior(self.prior.below, LESS), prior(self.prior.above, MORE))
        };
        let besides = tokens * besides;
        let (low, high) = (whole(tokens - below - besides), whole(tokens + above + besides));
        let basis = |tokens: u64| match known {
            true => Basis::Calibrated {
                within: thousandths(high.saturating_sub(tokens), tokens),
                observations: self.observations,
            },
            false => Basis::prior(tokens, low, high),
        };
        let tokens = whole(tokens);
        Estimate {
            tokens,
            low,
            high,
            basis: basis(tokens),
        }
    }

    /// Learns what this was billed as. What has nothing counted, or nothing billed, teaches nothing.
    pub fn learn(&mut self, measure: Measure, bytes: u64, billed: u64) {
        let x = measure.vector();
        if x[0] < 1.0 || billed == 0 {
            return;
        }
        let predicted = self.predict(measure);
        let error = billed as f64 - predicted;
        let errors = &mut self.errors[size(predicted)];
        if errors.len() == RECENT {
            errors.pop_front();
        }
        errors.push_back((error.abs() / (predicted + SLACK) * 1000.0).ceil().min(1e6) as u32);
        self.observations = self.observations.saturating_add(1);
        if bytes > 0 {
            let [counted, of] = self.density.map(|part| part * FORGET);
            self.density = [counted + x[0], of + bytes as f64];
        }

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

    /// What most of the last errors of that size stayed within; where few are known, of the sizes around it.
    fn band(&self, predicted: f64) -> u32 {
        let own = size(predicted);
        for reach in 0..self.errors.len() {
            let near = self.errors.iter().enumerate();
            let near = near.filter(|(at, _)| at.abs_diff(own) <= reach);
            let errors: Vec<u32> = near.flat_map(|(_, errors)| errors.iter().copied()).collect();
            if errors.len() >= ENOUGH as usize {
                return band(errors.into_iter());
            }
        }
        1000
    }
}

impl Estimate {
    /// This, after so many tokens that were billed already: what the next request of a conversation will be.
    pub fn after(self, billed: u64) -> Estimate {
        let Estimate {
            tokens,
            low,
            high,
            basis,
        } = self;
        if tokens == 0 && high == 0 {
            return Estimate {
                tokens: billed,
                low: billed,
                high: billed,
                basis: Basis::Billed,
            };
        }
        let (tokens, low, high) = (
            billed.saturating_add(tokens),
            billed.saturating_add(low),
            billed.saturating_add(high),
        );
        Estimate {
            tokens,
            low,
            high,
            basis: match basis {
                Basis::Calibrated { observations, .. } => Basis::Calibrated {
                    within: thousandths((tokens - low).max(high - tokens), tokens),
                    observations,
                },
                _ => Basis::prior(tokens, low, high),
            },
        }
    }
}

impl Estimate {
    /// This, after so many tokens that another model billed: it makes more of the same texts, or fewer.
    pub fn after_another(self, billed: u64) -> Estimate {
        self.after_unsure(billed, ANOTHER)
    }

    /// This, after a prompt of which nobody knows how much of it is sent again, or what else is.
    pub fn after_change(self, billed: u64) -> Estimate {
        self.after_unsure(billed, CHANGED)
    }

    /// This, after what is left when a conversation was replaced by a summary.
    pub fn after_summary(self, billed: u64) -> Estimate {
        self.after_unsure(billed, SUMMED_UP)
    }

    /// This, after tokens of which there may be so many thousandths less and more.
    fn after_unsure(self, billed: u64, (below, above): (u32, u32)) -> Estimate {
        let share = |thousandths: u32| whole(billed as f64 * f64::from(thousandths) / 1000.0);
        self.after(billed).widened(share(below), share(above))
    }

    /// The same figure, of which there may be so many tokens less and more besides.
    pub fn widened(self, less: u64, more: u64) -> Estimate {
        let low = self.low.saturating_sub(less);
        let high = self.high.saturating_add(more);
        Estimate {
            low,
            high,
            basis: Basis::prior(self.tokens, low, high),
            ..self
        }
    }
}

impl Basis {
    fn prior(tokens: u64, low: u64, high: u64) -> Basis {
        Basis::Prior {
            below: thousandths(tokens.saturating_sub(low), tokens),
            above: thousandths(high.saturating_sub(tokens), tokens),
        }
    }
}

/// `part` of `whole`, in thousandths, rounded up: a band is never told as narrower than it is.
fn thousandths(part: u64, whole: u64) -> u32 {
    let share = (u128::from(part) * 1000).div_ceil(u128::from(whole.max(1)));
    u32::try_from(share).unwrap_or(u32::MAX)
}

/// Which of the sizes it is.
fn size(predicted: f64) -> usize {
    SIZES.iter().filter(|from| predicted >= **from).count()
}

/// What [`HELD`] in a hundred stayed within.
fn band(errors: impl Iterator<Item = u32>) -> u32 {
    let mut errors: Vec<u32> = errors.collect();
    errors.sort_unstable();
    let rank = (errors.len() + 1) * HELD / 100;
    let at = rank.min(errors.len().saturating_sub(1));
    errors.get(at).copied().unwrap_or(1000)
}

fn whole(tokens: f64) -> u64 {
    tokens.max(0.0).round() as u64
}

/// Numbers as their bits: read back they are the same, so that a replay and a checkpoint agree.
mod exact {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{Serialize, Serializer};

    pub(super) fn serialize<S: Serializer, const N: usize>(of: &[f64; N], to: S) -> Result<S::Ok, S::Error> {
        of.map(f64::to_bits).as_slice().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<[f64; N], D::Error> {
        let bits: Vec<u64> = Vec::deserialize(from)?;
        let numbers: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
        <[f64; N]>::try_from(numbers).map_err(|_| D::Error::custom("another number of numbers"))
    }
}

#[cfg(test)]
mod tests;
