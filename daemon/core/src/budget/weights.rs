//! How much each class of tokens counts against a limit in tokens.
//!
//! Most raw tokens of an agent are cache reads, which cost a tenth: a limit in raw tokens says little. Weights are in
//! percent, so that the sums stay integers.

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::tokens::Tokens;

/// Percent by which each class counts; all 100: every token counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// Prompt tokens at the full price, sound and pictures included.
    pub input: u32,
    /// Answer tokens, sound and pictures included.
    pub output: u32,
    /// Prompt tokens read from a cache.
    pub cache_read: u32,
    /// Prompt tokens written to a cache.
    pub cache_write: u32,
}

/// Most percent: above what the dearest class costs against the cheapest.
const MAX_WEIGHT: u32 = 100_000;

impl Default for Weights {
    fn default() -> Weights {
        Weights {
            input: 100,
            output: 100,
            cache_read: 100,
            cache_write: 100,
        }
    }
}

impl Weights {
    /// Checks that something counts, and nothing absurdly much.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let all = [self.input, self.output, self.cache_read, self.cache_write];
        if all.iter().all(|&w| w == 0) || all.iter().any(|&w| w > MAX_WEIGHT) {
            let allowed = format!("0 to {MAX_WEIGHT} percent each, at least one above 0");
            return Err(Refusal::invalid("weights", format!("{all:?}"), allowed));
        }
        Ok(())
    }

    /// What tokens count, rounded up.
    pub fn count(&self, tokens: &Tokens) -> u64 {
        if *self == Weights::default() {
            return tokens.total();
        }
        let cached = tokens.cache_write_5m.saturating_add(tokens.cache_write_1h);
        let input = tokens
            .prompt()
            .saturating_sub(cached)
            .saturating_sub(tokens.cache_read);
        let sum: u128 = [
            (input, self.input),
            (tokens.answer(), self.output),
            (tokens.cache_read, self.cache_read),
            (cached, self.cache_write),
        ]
        .into_iter()
        .map(|(tokens, percent)| u128::from(tokens) * u128::from(percent))
        .sum();
        u64::try_from(sum.div_ceil(100)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_count_by_their_weight() {
        let tokens = Tokens {
            input: 10,
            output: 20,
            cache_read: 1_000,
            cache_write_5m: 30,
            cache_write_1h: 10,
            input_image: 5,
            ..Tokens::default()
        };
        assert_eq!(Weights::default().count(&tokens), 1_075);
        let priced = Weights {
            input: 100,
            output: 500,
            cache_read: 10,
            cache_write: 125,
        };
        assert_eq!(priced.count(&tokens), 15 + 100 + 100 + 50);
        let answers = Weights {
            input: 0,
            output: 1,
            cache_read: 0,
            cache_write: 0,
        };
        assert_eq!(answers.count(&tokens), 1, "rounded up");
        assert!(answers.check().is_ok());
        assert!(Weights { output: 0, ..answers }.check().is_err());
        let absurd = Weights {
            output: u32::MAX,
            ..answers
        };
        assert!(absurd.check().is_err());
        let most = Tokens::from_array([u64::MAX; 11]);
        assert_eq!(priced.count(&most), u64::MAX);
    }
}
