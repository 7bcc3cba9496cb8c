//! Alerts: one for each threshold of a budget and window.

use super::counters::At;
use super::standing::Unit;
use super::{Account, Action, Counter, Place, Span, Used};
use crate::Name;
use crate::money::{Pico, grouped};

/// A threshold was crossed for the first time in its window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// The budget.
    pub budget: Name,
    /// The threshold, percent.
    pub threshold: u32,
    /// The used share, percent, rounded down.
    pub percent: u32,
    /// The window's start; 0 when it has none.
    pub window_start_ms: i64,
    /// One sentence for people.
    pub message: String,
}

impl Account {
    /// Alerts on the highest threshold that was reached and not alerted on. Those below it are passed with it, so a
    /// single large call makes one alert. A rolling window never ends, so its thresholds are armed again when what is
    /// used falls below them.
    pub(super) fn crossing(&mut self, at: At, now_ms: i64) -> Option<Crossing> {
        let used = self.used_with(at, now_ms);
        let percent = self.percent(&used, now_ms);
        let reached = self
            .budget()
            .thresholds()
            .into_iter()
            .rev()
            .find(|&t| percent >= t);
        let rolling = matches!(self.budget().window, Span::Rolling(_));
        let alerted = if rolling {
            let rearmed = self.alerted.min(reached.unwrap_or(0));
            std::mem::replace(&mut self.alerted, rearmed)
        } else {
            self.counters.get(at).alerted
        };
        let reached = reached.filter(|&reached| reached > alerted)?;
        if rolling {
            self.alerted = reached;
        } else {
            self.counters.get_mut(at).alerted = reached;
        }
        if self.budget().action == Action::Observe {
            return None;
        }
        Some(Crossing {
            budget: self.budget().name.clone(),
            threshold: reached,
            percent,
            window_start_ms: self.counters.get(at).start_ms,
            message: self.sentence(self.counters.get(at), &used, percent, now_ms),
        })
    }

    /// Takes over what was alerted on by the account that this one replaces, as far as it still holds.
    pub fn inherit_alerts(&mut self, former: &Account, now_ms: i64) {
        let reached = |account: &Account, at: At| {
            let percent = account.percent(&account.used_with(at, now_ms), now_ms);
            let thresholds = account.budget().thresholds();
            thresholds.into_iter().rev().find(|&t| percent >= t).unwrap_or(0)
        };
        for at in self.counters.places() {
            let before = former.alerted_in(self.counters.get(at));
            let alerted = before.min(reached(self, at));
            self.counters.get_mut(at).alerted = alerted;
            if former.budget().window == self.budget().window {
                self.alerted = self.alerted.max(former.alerted.min(reached(self, at)));
            }
        }
    }

    /// What was alerted on in the same window.
    fn alerted_in(&self, other: &Counter) -> u32 {
        let nobody = Name::default();
        let (agent, session) = match &other.session {
            Some((agent, session)) => (agent, session),
            None => (&nobody, &nobody),
        };
        let place = Place {
            at_ms: other.start_ms,
            agent,
            session,
        };
        let same = self.find(&place).map(|at| self.counters.get(at));
        same.filter(|c| c.start_ms == other.start_ms)
            .map_or(0, |c| c.alerted)
    }

    fn sentence(&self, counter: &Counter, used: &Used, percent: u32, now_ms: i64) -> String {
        let (budget, limits) = (self.budget(), self.limits(now_ms));
        let shares = self.shares(used, now_ms);
        let limit = |unit: Unit| limits[unit as usize].unwrap_or_default();
        let figures = if shares[0] == Some(percent) {
            format!(
                "{} of {} tokens",
                grouped(used.tokens.into()),
                grouped(limit(Unit::Tokens))
            )
        } else if shares[1] == Some(percent) {
            format!("${} of ${}", used.cost, Pico(limit(Unit::Usd)))
        } else {
            format!(
                "{} of {} calls",
                grouped(used.requests.into()),
                grouped(limit(Unit::Requests))
            )
        };
        let scope = match (&counter.session, budget.window) {
            (Some((_, session)), _) => format!("in session {session}"),
            (None, Span::Lifetime) => "since it was set".to_owned(),
            (None, Span::Hours(hours)) => format!("in {hours} hours"),
            (None, window @ Span::Rolling(_)) => format!("in the last {}", window.length()),
            (None, Span::Day) => "today".to_owned(),
            (None, window) => format!("this {window}"),
        };
        format!("budget {} is at {percent} %: {figures} used {scope}", budget.name)
    }
}
