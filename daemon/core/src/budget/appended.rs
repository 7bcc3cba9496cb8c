//! A prompt that goes on from the last one of its session: what that one was billed as, and an estimate of what was
//! appended.

use super::{Caller, Habits};
use crate::calibration::{Basis, Calibration, Calibrations, Estimate, Measure, Prior};
use crate::limits::MAX_TOKENS_PER_CALL;
use crate::model::normalize;
use crate::refusal::Refusal;

/// What was appended since the last call of the session; nothing at all is a question for the same prompt again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Tokens of texts that the asker counted in the model's public encoding.
    pub counted: u64,
    /// Bytes of texts that nobody counted.
    pub bytes: u64,
    /// Blocks that they are in: messages, calls, results.
    pub blocks: u64,
    /// What is believed of the model before any bill.
    pub prior: Prior,
}

impl Appended {
    /// # Errors
    /// More than a call can have.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        for value in [self.counted, self.bytes, self.blocks] {
            if value > MAX_TOKENS_PER_CALL {
                let allowed = format!("up to {MAX_TOKENS_PER_CALL}");
                return Err(Refusal::invalid("appended", value.to_string(), allowed));
            }
        }
        Ok(())
    }

    /// The whole prompt: anchored when the session is known, the appended texts alone when it is not.
    pub fn prompt(&self, caller: &Caller, habits: &Habits, learned: &Calibrations) -> Estimate {
        let begun;
        let calibration: &Calibration = match learned.get(&caller.agent, &normalize(&caller.model)) {
            Some(calibration) => calibration,
            None => {
                begun = learned.relative(self.prior);
                &begun
            }
        };
        let grown = match (self.counted + self.blocks, self.bytes) {
            (0, 0) => Estimate {
                tokens: 0,
                low: 0,
                high: 0,
                basis: Basis::Billed,
            },
            (_, 0) => calibration.estimate(Measure {
                counted: self.counted,
                blocks: self.blocks,
            }),
            (_, bytes) => calibration.estimate_bytes(bytes, self.counted, self.blocks),
        };
        match habits.anchor(caller) {
            Some((billed, true)) => grown.after(billed),
            Some((billed, false)) => grown.after_another(billed),
            None => grown.after(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::observation;

    #[test]
    fn a_known_session_is_the_anchor() {
        let mut habits = Habits::default();
        let mut seen = observation("k", 1_000);
        (seen.tokens.cache_read, seen.tokens.output) = (90_000, 400);
        habits.saw(&seen, None);
        let mut caller = Caller {
            agent: seen.who.agent.clone(),
            session: seen.who.session.clone(),
            model: seen.model.clone(),
            ..super::super::ask::tests::ask().caller
        };
        let anchor = seen.tokens.prompt() + 400;
        let mut appended = Appended {
            counted: 0,
            bytes: 0,
            blocks: 0,
            prior: Prior {
                slope: 1_150,
                per_block: 30,
                below: 150,
                above: 150,
            },
        };
        let learned = Calibrations::default();
        let same = appended.prompt(&caller, &habits, &learned);
        assert_eq!((same.tokens, same.basis), (anchor, Basis::Billed));
        (appended.counted, appended.blocks) = (1_000, 1);
        let grown = appended.prompt(&caller, &habits, &learned);
        assert_eq!(grown.tokens, anchor + 1_180);
        let Basis::Prior { below, above } = grown.basis else {
            panic!("{grown:?}");
        };
        assert_eq!((below, above), (3, 4), "{grown:?}");
        appended.bytes = 3_200;
        assert_eq!(appended.prompt(&caller, &habits, &learned).tokens, anchor + 2_330);
        // Another model bills the same texts differently.
        caller.model = "another".into();
        let switched = appended.prompt(&caller, &habits, &learned);
        assert_eq!(switched.tokens, anchor + 2_330);
        assert!(
            switched.low < anchor && switched.high > anchor + anchor / 2,
            "{switched:?}"
        );
        assert!(matches!(switched.basis, Basis::Prior { .. }));
        caller.model = seen.model.clone();
        caller.session = "another".into();
        let alone = appended.prompt(&caller, &habits, &learned);
        assert_eq!(alone.tokens, 2_330);
        assert!(appended.check().is_ok());
        appended.blocks = u64::MAX;
        assert!(appended.check().is_err());
    }
}
