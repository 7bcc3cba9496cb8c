//! Changes of what the ledger itself knows: sessions, budgets, prices, what is kept.

use tokmon_core::budget::Budget;
use tokmon_core::entry::Body;

use super::batch::Turn;
use crate::answer::Change;
use crate::error::LedgerError;
use crate::seed;
use crate::store::StoreError;

impl Turn<'_> {
    /// What a change means: the entries to write.
    pub(super) fn change(&mut self, change: Change) -> Result<Vec<Body>, LedgerError> {
        let (draft, now_ms) = (&*self.draft, self.now_ms);
        let body = match change {
            Change::ResetSession(agent) => draft.reset_session(&agent, now_ms)?,
            Change::RemoveBudget(name) => draft.remove_budget(&name)?,
            Change::LiftBudget(name, lift) => draft.lift_budget(&name, lift, now_ms)?,
            Change::Learn(bills) => return Ok(draft.learn(bills, now_ms)?.into_iter().collect()),
            Change::UnliftBudget(name, session) => draft.unlift_budget(&name, &session, now_ms)?,
            Change::SetPrices(rows) => draft.set_prices_body(&rows)?,
            Change::RemovePrice(provider, model) => draft.remove_price(&provider, &model)?,
            Change::SetApi(api) => draft.set_api(*api)?,
            Change::RemoveApi(name) => draft.remove_api(&name)?,
            Change::SetBudgets(budgets) => {
                return budgets
                    .into_iter()
                    .map(|budget| self.set_budget(budget))
                    .collect();
            }
            Change::Repriced(records) => Body::Repriced { records },
            Change::Split(_) | Change::Official(_) => return Ok(Vec::new()),
            Change::Quotas(readings) => return Ok(draft.quotas(readings)),
            Change::Purge(cut) => {
                let counted = self.shared.slot.read(|store| Ok(store.count_before(&cut)?));
                let records = self.tell(counted)?;
                match self.draft.purge(cut.horizon_ms, records, now_ms)? {
                    Some(body) => {
                        self.save_after = true;
                        body
                    }
                    None => return Ok(Vec::new()),
                }
            }
        };
        Ok(vec![body])
    }

    fn set_budget(&mut self, budget: Budget) -> Result<Body, LedgerError> {
        let now_ms = self.now_ms;
        let mut account = self.draft.open_account(budget)?;
        if let Some(successor) = self.draft.successor(&account) {
            account = successor;
        } else {
            let seeded = self
                .shared
                .slot
                .read(|store| seed::seed(store, &mut account, now_ms));
            self.tell(seeded)?;
            // Calls of this very batch are not in the store yet.
            for staged in &self.batch.entries {
                if let Body::Usage(record) | Body::Amend { record, .. } = &staged.entry.body {
                    drop(account.apply(record, staged.previous.as_deref(), now_ms));
                }
            }
        }
        self.draft.complete_account(&mut account, now_ms);
        Ok(self.draft.set_budget_body(&account))
    }

    /// Remembers that the store failed: what was decided on its word is void.
    pub(super) fn tell<T>(&mut self, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        result.map_err(|error| {
            let text = error.to_string();
            self.trouble = Some(match error {
                LedgerError::Store(error) => error,
                _ => StoreError::Io(text.clone()),
            });
            LedgerError::Unavailable(format!("{text}; nothing was written"))
        })
    }
}
