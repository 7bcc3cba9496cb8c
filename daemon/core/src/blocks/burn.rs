//! How quickly a block is used up, and where it will end.

use crate::money::Pico;
use crate::rollup::Agg;

const MINUTE_MS: i64 = 60_000;

/// Rates between the first and the last call of a block, and what they lead to.
#[derive(Debug, Clone, PartialEq)]
pub struct Burn {
    /// All tokens per minute. For display: not money.
    pub tokens_per_minute: f64,
    /// Uncached input and output only.
    pub io_tokens_per_minute: f64,
    /// Cost per hour, rounded to the nearest pico-dollar.
    pub cost_per_hour: Pico,
    /// Tokens at the block's end at this rate.
    pub projected_tokens: u64,
    /// Cost at the block's end at this rate.
    pub projected_cost: Pico,
    /// Minutes that are left, rounded to the nearest.
    pub remaining_minutes: u32,
}

impl Burn {
    /// `None` when the calls are fewer than two or all at one instant: there is no rate.
    pub fn of(agg: &Agg, end_ms: i64, now_ms: i64) -> Option<Burn> {
        let span_ms = agg.last_ms.saturating_sub(agg.first_ms);
        if agg.requests < 2 || span_ms <= 0 {
            return None;
        }
        let tokens = agg.tokens.total();
        let io = agg.tokens.input.saturating_add(agg.tokens.output);
        let remaining = end_ms.saturating_sub(now_ms).max(0).saturating_add(MINUTE_MS / 2) / MINUTE_MS;
        let ahead_ms = i128::from(remaining) * i128::from(MINUTE_MS);
        let at_rate = |amount: i128, ms: i128| divide(amount.saturating_mul(ms), i128::from(span_ms));
        let more = at_rate(i128::from(tokens), ahead_ms);
        let minutes = span_ms as f64 / MINUTE_MS as f64;
        Some(Burn {
            tokens_per_minute: tokens as f64 / minutes,
            io_tokens_per_minute: io as f64 / minutes,
            cost_per_hour: Pico(at_rate(agg.cost.0, 3_600_000)),
            projected_tokens: tokens.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)),
            projected_cost: agg.cost + Pico(at_rate(agg.cost.0, ahead_ms)),
            remaining_minutes: u32::try_from(remaining).unwrap_or(u32::MAX),
        })
    }
}

/// Division rounded to the nearest, halves away from zero.
fn divide(amount: i128, by: i128) -> i128 {
    let half = if amount < 0 { -(by / 2) } else { by / 2 };
    amount.saturating_add(half) / by
}
