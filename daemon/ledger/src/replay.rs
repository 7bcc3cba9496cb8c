//! Reading the state back: the checkpoint, then the entries after it.

use std::sync::Arc;

use tokmon_core::entry::{Body, Entry, Record};
use tokmon_core::limits::FOLLOW_PAGE;
use tokmon_core::state::{Draft, Rules};

use crate::store::{Result, Store};

/// The state after the store's last entry.
pub(crate) fn load(store: &dyn Store, rules: &Arc<Rules>) -> Result<Draft> {
    let saved = store.checkpoint()?;
    let mut draft = match saved.and_then(|(_, bytes)| Draft::load(rules.clone(), &bytes)) {
        Some(draft) => draft,
        None => Draft::new(rules.clone()),
    };
    let last = store.last_seq()?;
    let mut after = draft.state.last_seq;
    while after < last {
        let entries = store.entries_after(after, FOLLOW_PAGE)?;
        let Some(end) = entries.last().map(|entry| entry.seq) else {
            break;
        };
        for entry in &entries {
            draft.replay(entry, previous(store, entry)?.as_ref());
        }
        after = end;
    }
    // Purged entries leave holes, also at the end.
    draft.state.last_seq = last;
    draft.state.purge_horizon_ms = draft.state.purge_horizon_ms.max(store.stats()?.purge_horizon_ms);
    Ok(draft)
}

/// The record that an amendment replaced.
fn previous(store: &dyn Store, entry: &Entry) -> Result<Option<Record>> {
    let Body::Amend { replaces, .. } = &entry.body else {
        return Ok(None);
    };
    Ok(store.entry(*replaces)?.and_then(|entry| record_of(entry.body)))
}

/// The record of an entry, if it holds one.
pub(crate) fn record_of(body: Body) -> Option<Record> {
    match body {
        Body::Usage(record) | Body::Amend { record, .. } => Some(*record),
        _ => None,
    }
}
