//! Budgets in the state: how one is saved and set, and when the limits that follow what is used are to be decided anew.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Draft;
use crate::budget::{Account, Budget, Counter, Lift};
use crate::runaway::Stop;

/// A budget with what its running windows had used, as an entry and as part of a checkpoint.
#[derive(Serialize, Deserialize)]
pub(crate) struct BudgetEntry {
    pub(crate) budget: Budget,
    pub(crate) counters: Vec<Counter>,
    /// The highest threshold that a rolling window alerted on.
    #[serde(default)]
    pub(crate) alerted: u32,
    #[serde(default)]
    pub(crate) lifts: Vec<Lift>,
    #[serde(default)]
    pub(crate) stops: Vec<Stop>,
}

impl BudgetEntry {
    pub(crate) fn of(account: &Account) -> BudgetEntry {
        let (alerted, lifts, stops) = account.beside();
        BudgetEntry {
            budget: (**account.budget()).clone(),
            counters: account.counters().cloned().collect(),
            alerted,
            lifts,
            stops,
        }
    }
}

impl Draft {
    /// The budgets whose window has turned since their limit was decided. None of them is looked at before one is due.
    pub fn due_adjustments(&self, now_ms: i64) -> Vec<Arc<Account>> {
        if self.next_adjust_ms.is_none_or(|next| next > now_ms) {
            return Vec::new();
        }
        let due = |account: &&Arc<Account>| account.adjust_due_ms().is_some_and(|due| due <= now_ms);
        self.state.budgets.values().filter(due).cloned().collect()
    }

    /// Looks again when the next is due, after a budget has changed.
    pub(super) fn plan_adjustments(&mut self) {
        let budgets = self.state.budgets.values();
        self.next_adjust_ms = budgets.filter_map(|account| account.adjust_due_ms()).min();
        self.count_reservations();
    }

    pub(crate) fn account(&self, budget: Budget, counters: Vec<Counter>) -> Account {
        let rules = &self.rules;
        let named = (!budget.timezone.is_empty())
            .then(|| (rules.zones)(&budget.timezone))
            .flatten();
        Account::new(
            Arc::new(budget),
            named.unwrap_or_else(|| rules.zone.clone()),
            counters,
        )
    }

    pub(super) fn set_budget(&mut self, entry: BudgetEntry) {
        let account =
            self.account(entry.budget, entry.counters)
                .with(entry.alerted, entry.lifts, entry.stops);
        self.state
            .budgets
            .insert(account.budget().name.clone(), Arc::new(account));
    }
}
