//! What past windows of a budget used, from the rollups.

use std::sync::Arc;

use tokmon_core::budget::{Account, Budget, Span, Used, Windows};
use tokmon_core::limits::MAX_SUGGEST_WINDOWS;
use tokmon_core::refusal::Refusal;
use tokmon_core::rollup::{Agg, Dimension, Dims, bucket_of, bucket_start_ms};
use tokmon_core::state::Draft;

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::seed::filter_of;
use crate::store::Store;

impl Ledger {
    /// What a budget like this one would have counted in its last windows in which something was used, at most `most`
    /// of them. Blocks.
    ///
    /// # Errors
    /// `Refused` when the budget's window, zone or scope has no such past, or the store's error.
    pub fn past_windows(&self, budget: Budget, most: usize) -> Result<Vec<Used>, LedgerError> {
        if !(1..=MAX_SUGGEST_WINDOWS).contains(&most) {
            let allowed = format!("1 to {MAX_SUGGEST_WINDOWS}");
            return Err(Refusal::invalid("windows", most.to_string(), allowed).into());
        }
        if !budget.scope.tasks.is_empty() {
            let problem = "totals of the past do not tell tasks apart";
            return Err(Refusal::invalid("scope.tasks", problem, "a scope without tasks").into());
        }
        let shared = self.shared();
        let now_ms = shared.clock.now_ms().max(self.state().last_recorded_ms);
        let account = Draft::new(Arc::clone(&shared.rules)).open_account(budget)?;
        shared
            .slot
            .read(|store| past_windows(store, &account, most, now_ms))
    }
}

/// What an account would have counted in its last windows that are over and in which something was used.
pub(crate) fn past_windows(
    store: &dyn Store,
    account: &Account,
    most: usize,
    now_ms: i64,
) -> Result<Vec<Used>, LedgerError> {
    let budget = account.budget();
    let mut windows = Windows::new(budget.window, account.zone().clone(), now_ms)?;
    let filter = filter_of(&budget.scope);
    let per_session = budget.window == Span::Session;
    let mut sums: Vec<(i64, u64, Used)> = Vec::new();
    let ids = crate::query::resolve(store, &filter)?;
    let mut visit = |bucket: u32, dims: &Dims, agg: &Agg| {
        if !ids.matches(dims) || agg.is_empty() {
            return;
        }
        let (agent, session) = (dims[Dimension::Agent as usize], dims[Dimension::Session as usize]);
        let whose = if per_session {
            u64::from(agent) << 32 | u64::from(session)
        } else {
            0
        };
        let at_ms = agg.first_ms.max(bucket_start_ms(bucket));
        sums.push((at_ms, whose, Used::of(agg, &budget.weights)));
    };
    let buckets = bucket_of(0)..u32::MAX;
    if per_session || filter.needs_full() {
        store.rollup_full(buckets, &mut visit)?;
    } else {
        store.rollup_coarse(buckets, &mut visit)?;
    }
    sums.sort_by_key(|&(at_ms, whose, _)| (at_ms, whose));
    for (at_ms, whose, used) in &sums {
        windows.add(*at_ms, *whose, used);
    }
    Ok(windows.last(most))
}
