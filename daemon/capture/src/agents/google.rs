//! Token figures as Gemini's interface gives them, which agents of its family write down: the prompt includes what was
//! read from the cache, thoughts come beside the answer, and the results of tools beside the prompt.

use tokmon_core::tokens::Tokens;

/// The figures of one answer.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) cached: u64,
    pub(crate) candidates: u64,
    pub(crate) thoughts: u64,
    pub(crate) tool: u64,
    pub(crate) total: Option<u64>,
}

impl Usage {
    /// The same as disjoint buckets. Behind other vendors' interfaces the candidates include the thoughts; the total
    /// tells.
    pub(crate) fn tokens(self) -> Tokens {
        let cached = self.cached.min(self.prompt);
        let inclusive = self.thoughts <= self.candidates
            && self.total
                == Some(
                    self.prompt
                        .saturating_add(self.candidates)
                        .saturating_add(self.tool),
                )
            && self.thoughts > 0;
        let output = match inclusive {
            true => self.candidates,
            false => self.candidates.saturating_add(self.thoughts),
        };
        Tokens {
            input: (self.prompt - cached).saturating_add(self.tool),
            cache_read: cached,
            output,
            reasoning: self.thoughts.min(output),
            ..Tokens::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_disjoint() {
        for (figures, total, wanted) in [
            ([900, 300, 120, 60, 0], Some(1_080), [600, 300, 180, 60]),
            ([900, 300, 120, 60, 0], None, [600, 300, 180, 60]),
            // The answer includes the thoughts.
            ([900, 300, 120, 60, 0], Some(1_020), [600, 300, 120, 60]),
            ([900, 300, 120, 0, 40], Some(1_060), [640, 300, 120, 0]),
            // More cached than there was.
            ([10, 300, 1, 0, 0], Some(11), [0, 10, 1, 0]),
        ] {
            let [prompt, cached, candidates, thoughts, tool] = figures;
            let usage = Usage {
                prompt,
                cached,
                candidates,
                thoughts,
                tool,
                total,
            };
            let tokens = usage.tokens();
            let got = [tokens.input, tokens.cache_read, tokens.output, tokens.reasoning];
            assert_eq!(got, wanted, "{figures:?} {total:?}");
        }
    }
}
