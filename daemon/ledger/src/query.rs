//! Reads. Each sees one consistent snapshot per call to the store and may block: call them where waiting is allowed.

use tokmon_core::Name;
use tokmon_core::entry::{Body, Entry, Record};
use tokmon_core::limits::MAX_PAGE;
use tokmon_core::report::{Filter, Fold, IdFilter, Query, Report};
use tokmon_core::rollup::{Agg, Dimension, Dims};

use crate::answer::Page;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::page;
use crate::store::{Position, SessionRow, Stats, Store, StoreError};

/// Which records are asked for.
#[derive(Debug, Clone, Default)]
pub struct RecordsQuery {
    /// First instant, milliseconds; `None`: from the beginning.
    pub from_ms: Option<i64>,
    /// End, milliseconds, not included; `None`: everything after.
    pub to_ms: Option<i64>,
    /// Which calls count.
    pub filter: Filter,
    /// At most so many; 0: 100; never more than [`MAX_PAGE`].
    pub page_size: usize,
    /// The token of the page before; empty: the first page.
    pub page_token: String,
}

/// Which sessions are asked for.
#[derive(Debug, Clone, Default)]
pub struct SessionsQuery {
    /// Only sessions with a last call at or after this instant.
    pub from_ms: Option<i64>,
    /// Only sessions with a first call before this instant.
    pub to_ms: Option<i64>,
    /// Agents, sessions, projects and users that count; the other lists are not looked at.
    pub filter: Filter,
    /// At most so many; 0: 50; never more than [`MAX_PAGE`].
    pub page_size: usize,
    /// The token of the page before; empty: the first page.
    pub page_token: String,
}

impl Ledger {
    /// Totals by any grouping over any window, and the "provider/model" of calls without a known price.
    ///
    /// # Errors
    /// `Refused` when the query is wrong, or the store's error.
    pub fn report(&self, query: &Query) -> Result<(Report, Vec<String>), LedgerError> {
        query.validate()?;
        self.shared().slot.read(|store| {
            let ids = resolve(store, &query.filter)?;
            let mut fold = Fold::new(query, ids);
            let mut visit = |bucket: u32, dims: &Dims, agg: &Agg| fold.add(bucket, dims, agg);
            if query.needs_full() {
                store.rollup_full(query.buckets(), &mut visit)?;
            } else {
                store.rollup_coarse(query.buckets(), &mut visit)?;
            }
            let report = fold.finish(&names(store));
            let unpriced = report.unpriced.clone();
            Ok((report, unpriced))
        })
    }

    /// The present records of calls, newest first. Each entry is a `Usage` or an `Amend`.
    ///
    /// # Errors
    /// `Refused` when the filter or the page token is wrong, or the store's error.
    pub fn records(&self, query: &RecordsQuery) -> Result<Page<Entry>, LedgerError> {
        query.filter.validate()?;
        let wanted = page::size(query.page_size, 100);
        let mut before = page::parse(&query.page_token)?;
        let range = query.from_ms.unwrap_or(i64::MIN)..query.to_ms.unwrap_or(i64::MAX);
        let mut items = Vec::with_capacity(wanted);
        // A rare name is found by walking over the others; each step is a snapshot of its own, so that none lives long.
        loop {
            let step = self
                .shared()
                .slot
                .read(|store| Ok(store.records(range.clone(), before, MAX_PAGE)?))?;
            let more = step.len() == MAX_PAGE;
            for entry in step {
                let Some(record) = record(&entry) else {
                    continue;
                };
                let place = (record.seen.at_ms, entry.seq);
                if query.filter.is_empty() || query.filter.covers(record) {
                    if items.len() == wanted {
                        let next = before.map(|(at_ms, seq)| page::token(at_ms, seq));
                        return Ok(Page { items, next });
                    }
                    items.push(entry);
                }
                before = Some(place);
            }
            if !more {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// A session's totals. With an empty id the current session of the agent; with an empty agent, any agent's.
    ///
    /// # Errors
    /// The store's error.
    pub fn session(&self, agent: &str, id: &str) -> Result<Option<SessionRow>, LedgerError> {
        if id.is_empty() {
            let state = self.state();
            let Some((agent, id)) = state.sessions.current(agent) else {
                return Ok(None);
            };
            let row = self.shared().slot.read(|store| Ok(store.session(agent, id)?))?;
            // A session that was opened by a reset has no call yet.
            return Ok(Some(row.unwrap_or_else(|| SessionRow {
                session: id.clone(),
                agent: agent.clone(),
                project: "".into(),
                user: "".into(),
                agg: Agg::empty(),
            })));
        }
        self.shared().slot.read(|store| Ok(store.session(agent, id)?))
    }

    /// Sessions, the one used last first.
    ///
    /// # Errors
    /// As [`Ledger::records`].
    pub fn sessions(&self, query: &SessionsQuery) -> Result<Page<SessionRow>, LedgerError> {
        query.filter.validate()?;
        let wanted = page::size(query.page_size, 50);
        let offset =
            page::parse(&query.page_token)?.map_or(0, |(_, n)| usize::try_from(n).unwrap_or(usize::MAX));
        let to_ms = query.to_ms.unwrap_or(i64::MAX);
        let keep = offset.saturating_add(wanted).saturating_add(1);
        let mut rows: Vec<SessionRow> = Vec::new();
        self.shared().slot.read(|store| {
            let mut visit = |row: SessionRow| {
                if row.agg.first_ms < to_ms && !row.agg.is_empty() && covers_session(&query.filter, &row) {
                    rows.push(row);
                    // Only what comes before the page's end is held, however many sessions there are.
                    if rows.len() > keep.saturating_mul(2).max(MAX_PAGE) {
                        latest_first(&mut rows);
                        rows.truncate(keep);
                    }
                }
            };
            Ok(store.sessions(query.from_ms.unwrap_or(i64::MIN), &mut visit)?)
        })?;
        latest_first(&mut rows);
        let more = rows.len() > offset.saturating_add(wanted);
        let items: Vec<SessionRow> = rows.into_iter().skip(offset).take(wanted).collect();
        let next = more.then(|| page::token(0, (offset + wanted) as u64));
        Ok(Page { items, next })
    }

    /// The current session of an agent; with an empty agent, the session that was used last by anybody.
    pub fn current_session(&self, agent: &str) -> Option<Name> {
        self.state()
            .sessions
            .current(agent)
            .map(|(_, session)| session.clone())
    }

    /// How far every source was read.
    ///
    /// # Errors
    /// The store's error.
    pub fn positions(&self) -> Result<Vec<Position>, LedgerError> {
        self.shared().slot.read(|store| Ok(store.positions()?))
    }

    /// Figures for status.
    ///
    /// # Errors
    /// The store's error.
    pub fn stats(&self) -> Result<Stats, LedgerError> {
        self.shared().slot.read(|store| Ok(store.stats()?))
    }

    /// One entry, if it is kept.
    ///
    /// # Errors
    /// The store's error.
    pub fn entry(&self, seq: u64) -> Result<Option<Entry>, LedgerError> {
        self.shared().slot.read(|store| Ok(store.entry(seq)?))
    }
}

/// The names behind dictionary ids. One that cannot be read shows as a question mark: a report with a name missing
/// is worth more than none.
pub(crate) fn names(store: &dyn Store) -> impl Fn(Dimension, u32) -> Name {
    |dimension, id| {
        store
            .name(dimension, id)
            .ok()
            .flatten()
            .unwrap_or_else(|| "?".into())
    }
}

/// The record of an entry that holds one.
pub(crate) fn record(entry: &Entry) -> Option<&Record> {
    match &entry.body {
        Body::Usage(record) | Body::Amend { record, .. } => Some(record),
        _ => None,
    }
}

/// A filter whose names are the store's ids.
pub(crate) fn resolve(store: &dyn Store, filter: &Filter) -> Result<IdFilter, StoreError> {
    filter.resolve(|dimension, name| store.id(dimension, name), || store.places())
}

fn latest_first(rows: &mut [SessionRow]) {
    rows.sort_unstable_by(|a, b| {
        let latest = b.agg.last_ms.cmp(&a.agg.last_ms);
        latest.then_with(|| (&a.agent, &a.session).cmp(&(&b.agent, &b.session)))
    });
}

fn covers_session(filter: &Filter, row: &SessionRow) -> bool {
    let within = |list: &[String], value: &str| list.is_empty() || list.iter().any(|v| v == value);
    within(&filter.agents, &row.agent)
        && within(&filter.sessions, &row.session)
        && within(&filter.projects, &row.project)
        && within(&filter.users, &row.user)
}
