//! Alarms about sessions that run away: what follows from an entry and becomes an entry after it.

use super::Draft;
use crate::budget::Scope;
use crate::entry::{Body, Record};
use crate::runaway::{Episode, LIVE_MS, OnRunaway};

impl Draft {
    /// What follows from the last entry that was applied: entries to write after it.
    pub fn follows(&mut self) -> Vec<Body> {
        std::mem::take(&mut self.follows)
    }

    /// Looks whether a session runs away with a call that ended just now.
    pub(super) fn look(&mut self, record: &Record, previous: Option<&Record>, now_ms: i64) {
        let seen = &record.seen;
        // What is booked in one piece is no sign of haste.
        if seen.at_ms < now_ms.saturating_sub(LIVE_MS) || seen.is_booking() {
            return;
        }
        let cost = |record: &Record| record.cost.unwrap_or_default();
        let more = cost(record) - previous.map(cost).unwrap_or_default();
        let rules = &self.rules.runaway;
        for episode in self.watch.called(seen, more, previous.is_some(), rules) {
            self.alarm(episode, |scope| scope.covers_record(record));
        }
    }

    /// Raises an alarm, unless all budgets that cover the session only observe; those that say so stop it.
    pub(super) fn alarm(&mut self, mut episode: Episode, covers: impl Fn(&Scope) -> bool) {
        let mut told = true;
        for (at, account) in self
            .state
            .budgets
            .values()
            .filter(|a| covers(&a.budget().scope))
            .enumerate()
        {
            let budget = account.budget();
            told = (told && at > 0) || budget.on_runaway != OnRunaway::Observe;
            if budget.on_runaway == OnRunaway::Deny && !budget.shadow {
                episode.stops.push(budget.name.clone());
            }
        }
        if told {
            self.follows.push(Body::Runaway(Box::new(episode)));
        }
    }
}
