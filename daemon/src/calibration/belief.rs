//! What is believed of a model before any bill, and how a step of a conversation is counted for it.

use tokmon_capture::growth::Growth;
use tokmon_core::Name;
use tokmon_core::calibration::{Bill, Measure, Prior};
use tokmon_core::model::normalize;
use tokmon_tokenizer::{Basis, Encoding, Tokenizer, profile};

/// Tokens around a block of a conversation with Claude, and with the others.
const CLAUDE_BLOCK: u32 = 30;
const BLOCK: u32 = 6;
/// Band of a model whose encoding is public: what is around a text is not.
const PUBLIC: (u32, u32) = (50, 100);
/// Band of a model that nothing is known of.
const UNKNOWN: (u32, u32) = (200, 600);

/// The encoding to count with, and the prior.
pub(crate) fn of(model: &str) -> (Encoding, Prior) {
    let profile = profile(model);
    let (slope, per_block, (below, above)) = match profile.basis {
        Basis::Exact => (1000, BLOCK, PUBLIC),
        Basis::Estimate { ratio, low, high, .. } => {
            let share = |part: u32| part * 1000 / ratio.max(1);
            (
                ratio,
                CLAUDE_BLOCK,
                (
                    share(ratio.saturating_sub(low)),
                    share(high.saturating_sub(ratio)),
                ),
            )
        }
        Basis::Unknown => (1000, BLOCK, UNKNOWN),
    };
    let prior = Prior {
        slope,
        per_block,
        below,
        above,
    };
    (profile.encoding, prior)
}

/// Counts a step: what of the next prompt is known, and what the rest was billed as.
pub(crate) fn bill(tokenizer: &Tokenizer, agent: &Name, step: &Growth) -> (u64, Bill) {
    let (encoding, prior) = of(&step.model);
    let counter = tokenizer.counter(encoding);
    let measured = step.measure(prior.slope, |text| counter.count(text));
    let bill = Bill {
        agent: agent.clone(),
        model: normalize(&step.model).into(),
        at_ms: step.at_ms,
        measure: Measure {
            counted: measured.counted,
            blocks: measured.blocks,
        },
        bytes: measured.bytes,
        billed: step.billed.saturating_sub(measured.known),
        prior,
    };
    (measured.known, bill)
}
