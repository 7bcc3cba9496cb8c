//! What an act says to people, made of its figures alone: names stand beside it, so that they can be veiled.

use super::{Act, What};
use crate::budget::{Binding, Estimate, Unit};
use crate::money::{Pico, grouped};

impl Act {
    /// One short sentence without a name in it.
    pub fn text(&self) -> String {
        let granted = || match self.grounds.as_ref().and_then(|grounds| grounds.binding.as_ref()) {
            Some(binding) => format!("{}; {}", self.amount(), standing(binding)),
            None => self.amount(),
        };
        match self.what {
            What::Granted => granted(),
            What::Denied if self.times > 1 => {
                format!("{} times so far, {}", grouped(self.times.into()), granted())
            }
            What::Denied => granted(),
            What::Extended => format!("now {}", granted()),
            What::Settled => "settled with what was used".to_owned(),
            What::Released => "given back unused".to_owned(),
            What::Expired => "its time was over".to_owned(),
            What::BudgetSet => "set".to_owned(),
            What::BudgetAdjusted => "adjusted".to_owned(),
            What::BudgetRemoved => "removed".to_owned(),
            What::BudgetLifted if self.is_whole() => "by as much as it takes".to_owned(),
            What::BudgetLifted => format!("by {}", self.amount()),
            What::BudgetUnlifted => "taken back".to_owned(),
            What::Runaway => self.episode.as_ref().map_or_else(String::new, |episode| {
                let stopped = if episode.stops.is_empty() { "" } else { "; stopped" };
                format!("{}{stopped}", episode.text())
            }),
            What::Alert => format!("at {} %", self.figure),
            What::SessionReset => "a new session".to_owned(),
            What::PriceSet => plural(self.figure.into(), "price"),
            What::PriceRemoved => "own price removed".to_owned(),
            What::Repriced => format!("{} at another price", plural(self.figure.into(), "record")),
            What::Split => format!("a record taken apart into {}", plural(self.figure.into(), "call")),
            What::Purged => format!("{} removed", plural(self.figure.into(), "old record")),
            What::LedgerReplaced if self.subject.is_empty() => "begun empty".to_owned(),
            What::LedgerReplaced => "restored from a file".to_owned(),
            What::TaskAllocated => format!("{} kept, priority {}", self.amount(), self.figure),
            What::TaskCompleted => "complete".to_owned(),
            What::ApiSet if self.figure == 1 => "limits of an API removed".to_owned(),
            What::ApiSet => "limits of an API set".to_owned(),
        }
    }

    /// A lift without an amount.
    fn is_whole(&self) -> bool {
        let nothing = Estimate {
            cost: Some(Pico::ZERO),
            ..Estimate::default()
        };
        self.estimate.is_none_or(|estimate| estimate == nothing)
    }

    fn amount(&self) -> String {
        let Some(estimate) = &self.estimate else {
            return String::new();
        };
        let tokens = u128::from(estimate.usage.total()) + u128::from(estimate.tokens);
        let mut parts = Vec::new();
        if tokens > 0 {
            parts.push(plural(tokens, "token"));
        }
        if let Some(cost) = estimate.cost.filter(|&cost| cost != Pico::ZERO) {
            parts.push(format!("${cost}"));
        }
        if parts.is_empty() || estimate.requests > 1 {
            parts.push(plural(estimate.requests.into(), "call"));
        }
        parts.join(", ")
    }
}

/// How a budget stood.
fn standing(binding: &Binding) -> String {
    let amount = |amount: i128| match binding.unit {
        Unit::Usd => format!("${}", Pico(amount)),
        Unit::Tokens | Unit::Requests => grouped(amount),
    };
    let unit = match binding.unit {
        Unit::Usd => "",
        Unit::Tokens => " tokens",
        Unit::Requests => " calls",
    };
    let held = if binding.pending == 0 {
        String::new()
    } else {
        format!(" and {} held", amount(binding.pending))
    };
    format!(
        "{}{held} of {}{unit} used",
        amount(binding.posted),
        amount(binding.limit)
    )
}

fn plural(count: u128, noun: &str) -> String {
    let count = i128::try_from(count).unwrap_or(i128::MAX);
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}
