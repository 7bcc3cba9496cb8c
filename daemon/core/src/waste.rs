//! The waste rules: what one record, seen beside the calls shortly before it, shows to have been needless.
//!
//! Each rule has its threshold, its window and its tools in [`WasteRules`], and can be switched off. All matches are
//! kept, the most severe first. Wasted tokens are counted once: where two rules blame the same tokens, the later
//! finding only carries what the earlier ones have not, so the findings of a record never exceed its total.
//!
//! Cached reads are never blamed. An agent sends its whole context again with every call, at a tenth of the price:
//! with them every call of a long session would be a large request, and a repeated one would seem to waste the
//! whole conversation.

mod analysis;
mod recent;
mod rules;
mod tools;

pub use analysis::{ToolEfficiency, WasteAnalysis, WasteByRule, analyse};
pub use recent::Recent;
pub use rules::{DuplicateRequest, LargeOutput, LargeRequest, ReadLoop, UnboundedSearch, WasteRules};

use crate::entry::{Finding, Rule};
use crate::money::Pico;
use crate::observation::{CallKind, Observation};
use crate::report::figures::{count, share, span, thousands};
use crate::tokens::Tokens;

impl WasteRules {
    /// What the rules say about a call, given the calls before it; remembers the call for those that follow.
    ///
    /// "Before" goes by the calls' own times, whatever order they arrive in. A call that arrives again (a better
    /// record of it) takes its own place and is not its own repetition. Embeddings and cache hits are passed
    /// over: batches are large on purpose, and they have their own threshold.
    pub fn check(&self, recent: &mut Recent, seen: &Observation, cost: Option<Pico>) -> Vec<Finding> {
        if seen.kind != CallKind::Completion {
            return Vec::new();
        }
        let tool = &*seen.who.tool;
        let before = recent.note(seen, self);
        let (total, output) = (seen.tokens.total(), seen.tokens.answer());
        let fresh = fresh_tokens(&seen.tokens);
        // Rule, the figure its sentence names, and the tokens that would not have been needed.
        let mut matches: Vec<(Rule, u64, u64)> = Vec::new();
        if self.large_request.enabled && fresh > self.large_request.tokens {
            matches.push((Rule::LargeRequest, fresh, fresh - self.large_request.tokens));
        }
        if self.large_output.enabled && output > self.large_output.tokens {
            matches.push((Rule::LargeOutput, output, output - self.large_output.tokens));
        }
        if self.is_read(tool) && before.same_tool >= u64::from(self.read_loop.calls) {
            matches.push((Rule::ReadLoop, before.same_tool + 1, fresh));
        }
        if self.is_search(tool) && output > self.unbounded_search.tokens {
            matches.push((
                Rule::UnboundedSearch,
                output,
                output - self.unbounded_search.tokens,
            ));
        }
        if self.duplicate_request.enabled && before.same_request > 0 {
            matches.push((Rule::DuplicateRequest, before.same_request + 1, fresh));
        }
        findings(&matches, total, cost.unwrap_or_default())
    }

    /// One sentence about a finding. `tool` is the record's tool; it may be empty.
    pub fn message(&self, finding: &Finding, tool: &str) -> String {
        let figure = thousands(finding.figure);
        let tool = if tool.is_empty() { "The tool" } else { tool };
        match finding.rule {
            Rule::LargeRequest => format!(
                "{figure} tokens in one request (cached reads not counted), over the limit of {}",
                thousands(self.large_request.tokens)
            ),
            Rule::LargeOutput => format!(
                "Answer of {figure} tokens, over the limit of {}; it was likely truncated",
                thousands(self.large_output.tokens)
            ),
            Rule::ReadLoop => format!(
                "{tool} called {} in {}",
                count(finding.figure, "time"),
                span(u64::from(self.read_loop.window_seconds))
            ),
            Rule::UnboundedSearch => format!(
                "{tool} returned {figure} tokens, over the limit of {}; the search has no bounds",
                thousands(self.unbounded_search.tokens)
            ),
            Rule::DuplicateRequest => format!(
                "{tool} called with the same request {} within {}",
                count(finding.figure, "time"),
                span(u64::from(self.duplicate_request.window_seconds))
            ),
        }
    }
}

/// What the rule about large requests calls the total, and the most that a record can waste: uncached input, cache
/// writes and output. See the module's note for why cached reads are left out.
fn fresh_tokens(tokens: &Tokens) -> u64 {
    tokens.total().saturating_sub(tokens.cache_read)
}

/// Findings whose wasted tokens and costs add up to what the record wasted, each token once.
fn findings(matches: &[(Rule, u64, u64)], total: u64, cost: Pico) -> Vec<Finding> {
    let mut blamed = 0;
    (matches.iter())
        .map(|&(rule, figure, wasted)| {
            let reached = wasted.min(total).max(blamed);
            let finding = Finding {
                rule,
                figure,
                wasted_tokens: reached - blamed,
                wasted_cost: share(cost, reached, total) - share(cost, blamed, total),
            };
            blamed = reached;
            finding
        })
        .collect()
}

#[cfg(test)]
mod tests;
