//! What is believed of a model before any bill, and how a step of a conversation is counted for it.

use tokmon_capture::growth::{Growth, Hidden};
use tokmon_core::Name;
use tokmon_core::calibration::{Bill, Calibration, Calibrations, Estimate, Measure, Prior};
use tokmon_core::model::normalize;
use tokmon_tokenizer::{Basis, Encoding, Tokenizer, image_tokens, profile};

/// What Claude makes of a thousand tokens of a conversation, and tokens around each of its blocks: more than of a plain
/// text, for the numbers of a file's lines are counted without the blanks before them, which the text of an answer has
/// not. By the ratio of the tokenizer's generation to a plain text.
const CLAUDE: [(u32, u32, u32); 2] = [(1150, 1220, 30), (1400, 1500, 15)];
/// Tokens around a block of a conversation with the others.
const BLOCK: u32 = 6;
/// Tokens around a block where no better is known.
const ESTIMATED_BLOCK: u32 = 30;
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
            let band = (
                share(ratio.saturating_sub(low)),
                share(high.saturating_sub(ratio)),
            );
            let claude = CLAUDE.iter().find(|(plain, ..)| *plain == ratio);
            let (slope, block) =
                claude.map_or((ratio, ESTIMATED_BLOCK), |(_, slope, block)| (*slope, *block));
            (slope, block, band)
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

/// Counts a step: what it appended, and what that was billed as.
pub(crate) fn bill(tokenizer: &Tokenizer, agent: &Name, step: &Growth) -> Bill {
    let (encoding, prior) = of(&step.model);
    let counter = tokenizer.counter(encoding);
    let measured = step.measure(prior.slope, |text| counter.count(text));
    Bill {
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
    }
}

/// How far off a prompt may be that is said to be anchored, in thousandths.
const ANCHORED: u64 = 20;

/// What the next prompt of a conversation is expected to be billed as.
pub(crate) struct Foretold {
    /// The whole prompt.
    pub estimate: Estimate,
    /// What was appended to what was billed before, alone.
    pub appended: Estimate,
    /// Why it is not anchored. `None`: it is.
    pub unsure: Option<Unsure>,
}

/// Why a prompt is not anchored. It is said before the prompt is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsure {
    /// The transcript does not tell all of it.
    Hidden(Hidden),
    /// So much was appended that the band is wider than [`ANCHORED`] allows.
    Much,
}

impl Unsure {
    /// For programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unsure::Hidden(why) => why.name(),
            Unsure::Much => "much",
        }
    }

    /// For people.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Unsure::Hidden(why) => why.reason(),
            Unsure::Much => "so much was appended that its estimate moves the whole by more than 2 %",
        }
    }
}

/// Foretells the prompt at the end of a step from what was known before it: the later bill is not looked at.
pub(crate) fn foretell(
    tokenizer: &Tokenizer,
    learned: &Calibrations,
    agent: &str,
    step: &Growth,
) -> Foretold {
    let (encoding, prior) = of(&step.model);
    let counter = tokenizer.counter(encoding);
    let measured = step.measure(prior.slope, |text| counter.count(text));
    let begun;
    let calibration: &Calibration = match learned.get(agent, &normalize(&step.model)) {
        Some(calibration) => calibration,
        None => {
            begun = learned.relative(prior);
            &begun
        }
    };
    let estimate = |(counted, blocks): (u64, u64)| calibration.estimate(Measure { counted, blocks });
    let appended = estimate((measured.counted, measured.blocks));
    let pictures = step.images.iter().map(|image| image_tokens(image, &step.model));
    let pictures: Option<u64> = pictures.sum();
    let anchor = measured.known.saturating_sub(estimate(measured.lost).tokens);
    let drawn = pictures.unwrap_or(0);
    let billed = anchor.saturating_add(drawn);
    let estimate = match step.hidden {
        Some(Hidden::Model) => appended.after_another(billed),
        Some(Hidden::Compacted) => appended.after_summary(billed),
        Some(_) => appended.after_change(billed),
        None if step.images.is_empty() => appended.after(billed),
        // The size of every image is known, and how the agent scales them is not.
        None if pictures.is_some() => appended.after(billed).widened(drawn, drawn),
        None => appended.after_change(billed),
    };
    let hidden = step
        .hidden
        .or((!step.images.is_empty()).then_some(Hidden::Attached));
    let much = estimate.high.saturating_sub(estimate.low).saturating_mul(1000)
        > estimate.tokens.saturating_mul(2 * ANCHORED);
    Foretold {
        estimate,
        appended,
        unsure: hidden.map(Unsure::Hidden).or(much.then_some(Unsure::Much)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(hidden: Option<Hidden>, added: &str, images: &[&str]) -> Growth {
        Growth {
            model: "claude-opus-4-6".into(),
            before: 100_000,
            answer: 400,
            added: vec![added.to_owned()],
            images: images.iter().map(ToString::to_string).collect(),
            hidden,
            ..Growth::default()
        }
    }

    fn said(step: &Growth) -> Foretold {
        foretell(&Tokenizer::new(), &Calibrations::default(), "claude-code", step)
    }

    #[test]
    fn only_what_hides_nothing_and_is_narrow_is_anchored() {
        let words = " apple".repeat(200);
        let plain = said(&step(None, &words, &[]));
        assert_eq!((plain.estimate.tokens, plain.unsure), (100_400 + 244 + 30, None));
        let width = |said: &Foretold| said.estimate.high - said.estimate.low;
        assert!(width(&plain) < 1_000, "{:?}", plain.estimate);
        for why in Hidden::ALL {
            let hidden = said(&step(Some(why), &words, &[]));
            assert_eq!(hidden.unsure, Some(Unsure::Hidden(why)));
            assert_eq!(hidden.estimate.tokens, plain.estimate.tokens);
            assert!(width(&hidden) > 60_000, "{why:?} {:?}", hidden.estimate);
            assert!(matches!(
                hidden.estimate.basis,
                tokmon_core::calibration::Basis::Prior { .. }
            ));
            assert!(!Unsure::Hidden(why).name().is_empty() && !why.reason().is_empty());
        }
        let much = said(&step(None, &" apple".repeat(20_000), &[]));
        assert_eq!(much.unsure, Some(Unsure::Much));
    }

    #[test]
    fn images_are_measured_and_never_said_to_be_certain() {
        // The head of a PNG of 1000 × 1000 pixels.
        let png = "iVBORw0KGgoAAAANSUhEUgAAA+gAAAPoCAYAAABNo9TkAAAAHElEQVQI12P4";
        let plain = said(&step(None, "Look", &[])).estimate.tokens;
        let with = said(&step(None, "Look", &[png, png]));
        assert_eq!(with.estimate.tokens - plain, 2 * (36 * 36 + 3));
        assert_eq!(with.unsure, Some(Unsure::Hidden(Hidden::Attached)));
        let strange = said(&step(None, "Look", &["AAAA"]));
        assert_eq!(strange.estimate.tokens, plain);
        assert!(strange.estimate.high > plain * 14 / 10);
    }

    #[test]
    fn what_is_lost_is_taken_off_as_it_was_put_on() {
        let lost = " apple".repeat(1_000);
        let whole = said(&step(Some(Hidden::Resumed), "Go on", &[])).estimate.tokens;
        let without = said(&Growth {
            lost: vec![lost],
            ..step(Some(Hidden::Resumed), "Go on", &[])
        });
        assert_eq!(whole - without.estimate.tokens, 1_220 + 30);
    }

    #[test]
    fn models_are_believed_by_their_tokenizer() {
        for (model, slope, per_block) in [
            ("claude-sonnet-4-5", 1_220, 30),
            ("claude-opus-5", 1_500, 15),
            ("gpt-5", 1_000, 6),
            ("gemini-2.5-pro", 1_000, 30),
            ("nobody-knows-9", 1_000, 6),
        ] {
            let prior = of(model).1;
            assert_eq!((prior.slope, prior.per_block), (slope, per_block), "{model}");
            assert!(prior.below > 0 && prior.above > 0);
        }
    }
}
