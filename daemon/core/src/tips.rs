//! Advice drawn from the caller's own records: what to change, what shows it, and what it would save.
//!
//! Every tip names its evidence in figures. A saving is only stated where the records carry it: tokens that a
//! rule found wasted, or a price difference between two models that are both in use. Where only a direction is
//! known, the saving is 0 and the evidence speaks.

mod model;
mod tool;

use crate::money::Pico;
use crate::report::Report;
use crate::waste::WasteRules;

/// How pressing a tip is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Act on it now.
    Critical,
    /// Worth a change of habit.
    Warning,
    /// Worth a look.
    Suggestion,
}

impl Group {
    /// Every group, the most pressing first.
    pub const ALL: [Group; 3] = [Group::Critical, Group::Warning, Group::Suggestion];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Group::Critical => "critical",
            Group::Warning => "warning",
            Group::Suggestion => "suggestion",
        }
    }
}

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// How pressing.
    pub group: Group,
    /// What it is about, in a few words.
    pub title: String,
    /// What in the records shows it.
    pub evidence: String,
    /// What to do.
    pub advice: String,
    /// Tokens that it would have saved in the period; 0: not known.
    pub saved_tokens: u64,
    /// Money that it would have saved in the period; 0: not known.
    pub saved_cost: Pico,
}

/// List prices of one model, pico-dollars per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitPrices {
    /// Uncached input.
    pub input: Pico,
    /// Output.
    pub output: Pico,
    /// Input read from the cache.
    pub cache_read: Pico,
}

/// What tips are drawn from.
pub struct Evidence<'a> {
    /// The period's report by tool alone.
    pub by_tool: &'a Report,
    /// The period's report by provider, then model.
    pub by_model: &'a Report,
    /// The rules that found the waste.
    pub rules: &'a WasteRules,
    /// Today's list prices of (provider, model); `None` where they are not known.
    pub prices: &'a dyn Fn(&str, &str) -> Option<UnitPrices>,
}

/// The tips that the records support: the most pressing first, then by what they save.
pub fn tips(evidence: &Evidence<'_>) -> Vec<Tip> {
    let mut tips = tool::tips(evidence);
    tips.extend(model::tips(evidence));
    tips.sort_by(|a, b| {
        (a.group, b.saved_cost, b.saved_tokens, &a.title).cmp(&(
            b.group,
            a.saved_cost,
            a.saved_tokens,
            &b.title,
        ))
    });
    tips
}

#[cfg(test)]
mod tests;
