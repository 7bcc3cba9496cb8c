//! What a batch changes in the rollups and the sessions: summed up in memory first, then each row is read,
//! changed and written once, in the order of the keys.

use redb::{ReadableTable, Table, WriteTransaction};
use tokmon_core::entry::Record;
use tokmon_core::rollup::{Agg, Dimension, Dims, bucket_of, bucket_start_ms};

use super::super::Result;
use super::codec::{SessionRowBytes, seal, seal_message, unseal, unseal_message};
use super::entry::Ids;
use super::{sum, tables};
use crate::quick::QuickMap;

/// What comes to a row and what leaves it.
pub(super) struct Delta {
    plus: Agg,
    minus: Option<Box<Agg>>,
}

impl Default for Delta {
    fn default() -> Delta {
        Delta {
            plus: Agg::empty(),
            minus: None,
        }
    }
}

impl Delta {
    fn subtract(&mut self, agg: &Agg) {
        self.minus.get_or_insert_with(|| Box::new(Agg::empty())).add(agg);
    }

    fn merge(&mut self, other: &Delta) {
        self.plus.add(&other.plus);
        if let Some(minus) = &other.minus {
            self.subtract(minus);
        }
    }

    /// Changes a row.
    pub(super) fn apply(&self, agg: &mut Agg) {
        agg.add(&self.plus);
        if let Some(minus) = &self.minus {
            agg.sub(minus);
        }
    }
}

/// The latest call of a session in this batch.
#[derive(Clone, Copy)]
struct Latest {
    at_ms: i64,
    project: u32,
    user: u32,
}

#[derive(Default)]
struct SessionDelta {
    delta: Delta,
    latest: Option<Latest>,
}

/// The changes of one batch.
#[derive(Default)]
pub(super) struct Sums {
    full: QuickMap<(u32, Dims), Delta>,
    sessions: QuickMap<u64, SessionDelta>,
}

/// The dimensions among a record's ids.
pub(super) fn dims_of(ids: &Ids) -> Dims {
    Dimension::ALL.map(|dimension| ids[tables::kind_of(dimension) as usize])
}

/// Only what the coarse rollup is split by.
pub(super) fn coarse_of(dims: &Dims) -> Dims {
    let mut few = Dims::default();
    for dimension in [Dimension::Agent, Dimension::Provider, Dimension::Model] {
        few[dimension as usize] = dims[dimension as usize];
    }
    few
}

/// The key of a session's row.
pub(super) fn session_key(dims: &Dims) -> u64 {
    tables::pair(dims[Dimension::Session as usize], dims[Dimension::Agent as usize])
}

impl Sums {
    /// A record comes in.
    pub(super) fn add(&mut self, record: &Record, ids: &Ids) {
        let agg = self.add_to_session(record, ids);
        self.add_row(bucket_of(record.seen.at_ms), &dims_of(ids), &agg);
    }

    /// A record comes in whose share in the rollups is there already; yields that share.
    pub(super) fn add_to_session(&mut self, record: &Record, ids: &Ids) -> Agg {
        let (agg, dims) = (Agg::of(record), dims_of(ids));
        let at_ms = record.seen.at_ms;
        let session = self.sessions.entry(session_key(&dims)).or_default();
        if session.latest.is_none_or(|latest| at_ms >= latest.at_ms) {
            session.latest = Some(Latest {
                at_ms,
                project: dims[Dimension::Project as usize],
                user: dims[Dimension::User as usize],
            });
        }
        session.delta.plus.add(&agg);
        agg
    }

    /// A sum comes to a row of the rollups.
    pub(super) fn add_row(&mut self, bucket: u32, dims: &Dims, agg: &Agg) {
        self.full.entry((bucket, *dims)).or_default().plus.add(agg);
    }

    /// A record leaves because another one takes its place.
    pub(super) fn subtract(&mut self, record: &Record, ids: &Ids) {
        let (agg, dims) = (Agg::of(record), dims_of(ids));
        self.sessions
            .entry(session_key(&dims))
            .or_default()
            .delta
            .subtract(&agg);
        let row = (bucket_of(record.seen.at_ms), dims);
        self.full.entry(row).or_default().subtract(&agg);
    }

    /// Writes every changed row.
    pub(super) fn write(self, txn: &WriteTransaction) -> Result<()> {
        let mut coarse: QuickMap<(u32, Dims), Delta> = QuickMap::default();
        for ((bucket, dims), delta) in &self.full {
            coarse.entry((*bucket, coarse_of(dims))).or_default().merge(delta);
        }
        super::coarse::write(txn.open_table(tables::ROLL_COARSE)?, coarse)?;
        write_rows(txn.open_table(tables::ROLL_FULL)?, self.full)?;
        write_sessions(txn.open_table(tables::SESSION)?, self.sessions)
    }
}

fn write_rows(
    mut table: Table<'_, &'static [u8], &'static [u8]>,
    rows: QuickMap<(u32, Dims), Delta>,
) -> Result<()> {
    let mut rows: Vec<(Vec<u8>, u32, Delta)> = rows
        .into_iter()
        .map(|((bucket, dims), delta)| {
            let mut key = Vec::with_capacity(16);
            tables::roll_bytes(bucket, &dims, &mut key);
            (key, bucket, delta)
        })
        .collect();
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut value = Vec::new();
    for (key, bucket, delta) in &rows {
        let base_ms = bucket_start_ms(*bucket);
        let mut agg = match table.get(key.as_slice())? {
            Some(row) => sum::decode(unseal(key, row.value(), "a rollup row")?, base_ms)?,
            None => Agg::empty(),
        };
        delta.apply(&mut agg);
        if agg.is_empty() {
            table.remove(key.as_slice())?;
        } else {
            seal(key, &mut value, |out| sum::encode(&agg, base_ms, out));
            table.insert(key.as_slice(), value.as_slice())?;
        }
    }
    Ok(())
}

fn write_sessions(mut table: Table<'_, u64, &'static [u8]>, rows: QuickMap<u64, SessionDelta>) -> Result<()> {
    let mut rows: Vec<(u64, SessionDelta)> = rows.into_iter().collect();
    rows.sort_unstable_by_key(|row| row.0);
    let mut value = Vec::new();
    for (key, change) in &rows {
        let mut row = match table.get(key)? {
            Some(row) => unseal_message(&key.to_le_bytes(), row.value(), "a session")?,
            None => SessionRowBytes::default(),
        };
        let mut agg = match row.sum.is_empty() {
            true => Agg::empty(),
            false => sum::decode(&row.sum, 0)?,
        };
        if let Some(latest) = change.latest.filter(|latest| latest.at_ms >= agg.last_ms) {
            row.project = latest.project;
            row.user = latest.user;
        }
        change.delta.apply(&mut agg);
        if agg.is_empty() {
            table.remove(key)?;
        } else {
            row.sum.clear();
            sum::encode(&agg, 0, &mut row.sum);
            seal_message(&key.to_le_bytes(), &row, &mut value);
            table.insert(key, value.as_slice())?;
        }
    }
    Ok(())
}
