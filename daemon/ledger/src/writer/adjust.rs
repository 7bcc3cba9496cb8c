//! Limits that follow what is used: decided by the writer at the turn of their window, before anything else is decided in
//! it. The entry says for which window, so it happens once, whoever comes first and whatever happens in between.

use std::sync::Arc;

use tokmon_core::actor::Actor;
use tokmon_core::budget::ADJUST_WINDOWS;

use super::batch::Turn;
use crate::suggest::past_windows;

impl Turn<'_> {
    /// Decides the limits that are due. Costs one comparison when none is.
    pub(super) fn adjust(&mut self) {
        for account in self.draft.due_adjustments(self.now_ms) {
            let now_ms = self.now_ms;
            let read =
                |store: &dyn crate::store::Store| past_windows(store, &account, ADJUST_WINDOWS, now_ms);
            let totals = self.shared.slot.read(read);
            // Whoever waits is told that the store fails, and the next turn decides.
            let Ok(totals) = self.tell(totals) else {
                return;
            };
            if let Some(adjusted) = account.adjusted(&totals, now_ms) {
                self.by = Some(Arc::new(Actor::new("tokmond", "", 0)));
                let body = self.draft.set_budget_body(&adjusted);
                self.push(body, None);
            }
        }
        self.by = None;
    }
}
