//! What a new budget has used already: past calls from the rollups.

use std::collections::HashMap;

use tokmon_core::Name;
use tokmon_core::budget::{Account, Place, Scope, Span, Used};
use tokmon_core::report::Filter;
use tokmon_core::rollup::{Agg, Dimension, Dims, bucket_of, bucket_start_ms};

use crate::error::LedgerError;
use crate::store::Store;

/// Counts past calls into a new account. The windows of calendars begin and end with rollup buckets, so this is exact
/// for them; windows that begin with a call are told by the bucket's first call.
pub(crate) fn seed(store: &dyn Store, account: &mut Account, now_ms: i64) -> Result<(), LedgerError> {
    let budget = account.budget().clone();
    // Totals do not tell tasks apart.
    if !budget.scope.tasks.is_empty() {
        return Ok(());
    }
    let filter = filter_of(&budget.scope);
    let ids = crate::query::resolve(store, &filter)?;
    let buckets = bucket_of(account.counts_from(now_ms))..u32::MAX;
    let per_session = budget.window == Span::Session;
    let mut sums: Vec<(u32, u32, i64, Used)> = Vec::new();
    let mut names: HashMap<(Dimension, u32), Name> = HashMap::new();
    let mut visit = |bucket: u32, dims: &Dims, agg: &Agg| {
        if !ids.matches(dims) || agg.is_empty() {
            return;
        }
        let whose = if per_session {
            (dims[Dimension::Agent as usize], dims[Dimension::Session as usize])
        } else {
            (0, 0)
        };
        let at_ms = agg.first_ms.max(bucket_start_ms(bucket));
        sums.push((whose.0, whose.1, at_ms, Used::of(agg, &budget.weights)));
    };
    if per_session || filter.needs_full() {
        store.rollup_full(buckets, &mut visit)?;
    } else {
        store.rollup_coarse(buckets, &mut visit)?;
    }
    sums.sort_by_key(|&(_, _, at_ms, _)| at_ms);
    for (agent, session, at_ms, used) in sums {
        let mut name = |dimension, id| -> Result<Name, LedgerError> {
            if id == 0 {
                return Ok("".into());
            }
            if let Some(name) = names.get(&(dimension, id)) {
                return Ok(name.clone());
            }
            let name: Name = store.name(dimension, id)?.unwrap_or_else(|| "".into());
            names.insert((dimension, id), name.clone());
            Ok(name)
        };
        let (agent, session) = (name(Dimension::Agent, agent)?, name(Dimension::Session, session)?);
        account.seed(
            &Place {
                at_ms,
                agent: &agent,
                session: &session,
            },
            &used,
            now_ms,
        );
    }
    Ok(())
}

pub(crate) fn filter_of(scope: &Scope) -> Filter {
    Filter {
        agents: scope.agents.clone(),
        models: scope.models.clone(),
        projects: scope.projects.clone(),
        sessions: scope.sessions.clone(),
        tools: scope.tools.clone(),
        users: scope.users.clone(),
        providers: scope.providers.clone(),
        ..Filter::default()
    }
}
