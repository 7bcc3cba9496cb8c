//! The store in a file, on redb.
//!
//! ```text
//! ledger.redb                                      one file, one transaction per batch, one fsync per transaction
//! ├── meta           "schema"                      → version of this layout
//! │                  "horizon"                     → calls before this instant were purged
//! ├── entry.v1       seq                           → entry; never changed, removed only by a purge
//! ├── entry_time.v1  at_ms · seq                   → ()     the present record of each call, by time
//! ├── dedup.v1       day · hash                    → seq    the present record of each call, by key
//! ├── purged.v1      day · hash                    → ()     calls whose record was purged: they count no more
//! ├── alias.v1       day · hash                    → day · hash of the call that another witness told of first
//! ├── dict.v1        kind · name                   → id     kinds: 7 dimensions, source kind, path, place; 0: ""
//! ├── dict_rev.v1    kind · id                     → name
//! ├── roll_m.v1      6 h · agent,provider,model    → the sums of up to 24 buckets: what most reports read
//! ├── roll_f.v1      bucket · every dimension      → sum    what the others read
//! ├── session.v1     session · agent               → project, user, sum
//! ├── position.v1    path                          → how far the file was read, and the parser's state
//! ├── dropped.v1     day · hash                    → count and at most 8 lines that were not counted
//! ├── chain.v1       last seq of a batch           → BLAKE3(hash before ‖ BLAKE3(its entries and their names))
//! └── state.v1       "state"                       → checkpoint of the rules and the seq up to which it holds
//! ```
//!
//! Every value that is more than a number is `[version][crc32c over key ‖ bytes][bytes]`: redb trusts its
//! pages when it reads them, this store does not. The numbers in `dedup.v1` are held against the entry that
//! they lead to. A batch is one durable transaction (one fsync, `Durability::Immediate`); the allocator's
//! state is written with it only above 2 GB, where rebuilding it after a crash would take longer than
//! writing it costs.
//!
//! After an I/O error redb refuses everything until it is opened anew; the store does that by itself at the
//! next call, for readers and the writer alike. Panics inside redb (it panics on pages of garbage) are caught
//! and come out as [`StoreError::Damaged`].

mod append;
mod backup;
mod calls;
mod chain;
mod coarse;
mod codec;
mod entry;
mod fault;
mod handle;
mod inspect;
mod lifecycle;
mod migrate;
mod names;
mod overlay;
mod purge;
mod quota;
mod read;
mod reservation;
mod runaway;
mod salvage;
mod sum;
mod sums;
mod tables;
mod task;
mod verify;
mod witness;

use std::ops::Range;
use std::path::Path;

use tokmon_core::Name;
use tokmon_core::entry::Entry;
use tokmon_core::id::Key;
use tokmon_core::rollup::{Agg, Dimension, Dims};

use super::{
    Batch, Cut, Dropped, Known, Position, Result, SessionRow, Stats, Store, StoreError, Verification,
};
use handle::Handle;
use names::Cache;
use read::Reader;

pub use lifecycle::QUICK_REPAIR_ABOVE;
pub use salvage::Salvaged;

/// See the module.
pub struct RedbStore {
    handle: Handle,
    names: Cache,
}

impl RedbStore {
    fn read<T>(&self, f: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        self.handle.run(|db| f(&Reader::begin(db, &self.names)?))
    }
}

impl Store for RedbStore {
    fn append(&self, batch: &Batch) -> Result<()> {
        let fresh = self.handle.run(|db| {
            let txn = self.handle.begin_write(db)?;
            let fresh = append::append(&txn, &self.names, batch)?;
            txn.commit()?;
            Ok(fresh)
        });
        match fresh {
            Ok(fresh) => {
                fresh.keep(&self.names);
                Ok(())
            }
            Err(StoreError::Full(why)) => Err(self.after_full(batch, why)),
            Err(e) => Err(e),
        }
    }

    fn last_seq(&self) -> Result<u64> {
        self.read(|r| r.last_seq())
    }

    fn known(&self, keys: &[Key]) -> Result<Vec<Option<Known>>> {
        self.read(|r| r.known(keys))
    }

    fn entries_after(&self, after: u64, max: usize) -> Result<Vec<Entry>> {
        self.read(|r| r.entries_after(after, max))
    }

    fn acts(&self, seqs: Range<u64>, visit: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        self.read(|r| r.acts(seqs.clone(), visit))
    }

    fn entry(&self, seq: u64) -> Result<Option<Entry>> {
        self.read(|r| r.entry(seq))
    }

    fn records(&self, range_ms: Range<i64>, before: Option<(i64, u64)>, max: usize) -> Result<Vec<Entry>> {
        self.read(|r| r.records(range_ms, before, max))
    }

    fn dropped(&self, key: Key) -> Result<(Vec<Dropped>, u64)> {
        self.read(|r| r.dropped(key))
    }

    fn rollup_coarse(&self, buckets: Range<u32>, visit: &mut dyn FnMut(u32, &Dims, &Agg)) -> Result<()> {
        self.read(|r| r.rollup_coarse(buckets, visit))
    }

    fn rollup_full(&self, buckets: Range<u32>, visit: &mut dyn FnMut(u32, &Dims, &Agg)) -> Result<()> {
        self.read(|r| r.rollup_full(buckets, visit))
    }

    fn name(&self, dimension: Dimension, id: u32) -> Result<Option<Name>> {
        self.read(|r| r.names()?.find_name(tables::kind_of(dimension), id))
    }

    fn id(&self, dimension: Dimension, name: &str) -> Result<Option<u32>> {
        self.read(|r| r.names()?.find_id(tables::kind_of(dimension), name))
    }

    fn places(&self) -> Result<Vec<(u32, Name)>> {
        self.read(|r| r.places())
    }

    fn session(&self, agent: &str, session: &str) -> Result<Option<SessionRow>> {
        self.read(|r| r.session(agent, session))
    }

    fn sessions_of(&self, who: &[(Name, Name)]) -> Result<Vec<Option<SessionRow>>> {
        self.read(|r| r.sessions_of(who))
    }

    fn sessions(&self, from_ms: i64, visit: &mut dyn FnMut(SessionRow)) -> Result<()> {
        self.read(|r| r.sessions(from_ms, visit))
    }

    fn positions(&self) -> Result<Vec<Position>> {
        self.read(|r| r.positions())
    }

    fn checkpoint(&self) -> Result<Option<(u64, Vec<u8>)>> {
        self.read(|r| r.checkpoint())
    }

    fn stats(&self) -> Result<Stats> {
        let mut stats = self.read(|r| r.stats())?;
        stats.file_bytes = self.handle.file_bytes();
        Ok(stats)
    }

    fn purge(&self, cut: &Cut, max: usize) -> Result<u64> {
        self.handle.run(|db| {
            let txn = self.handle.begin_write(db)?;
            let gone = purge::purge(&txn, cut, max)?;
            txn.commit()?;
            Ok(gone)
        })
    }

    fn purged(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.read(|r| r.purged(keys))
    }

    fn first_recorded_since(&self, recorded_ms: i64) -> Result<u64> {
        self.read(|r| r.first_recorded_since(recorded_ms))
    }

    fn count_before(&self, cut: &Cut) -> Result<u64> {
        self.read(|r| r.count_before(cut))
    }

    fn backup(&self, to: &Path) -> Result<(u64, u64)> {
        self.read(|r| backup::backup(r, to))
    }

    fn verify(&self) -> Result<Verification> {
        self.read(verify::verify)
    }

    fn compact(&self) -> Result<(u64, u64)> {
        let before = self.handle.file_bytes();
        self.handle.exclusive(|db| Ok(db.compact()?))?;
        Ok((before, self.handle.file_bytes()))
    }

    fn rest(&self) -> Result<()> {
        self.handle.refresh()
    }
}

impl RedbStore {
    /// A full disk can be reported before or after the batch reached the file. The contract promises that
    /// `Full` means "not written", so the file is opened again and asked.
    fn after_full(&self, batch: &Batch, why: String) -> StoreError {
        let Some(last) = batch.entries.last() else {
            return StoreError::Full(why);
        };
        match self.last_seq() {
            Ok(seq) if seq < last.entry.seq => StoreError::Full(why),
            Ok(_) => StoreError::Io(format!("the disk is full, but the batch may be written: {why}")),
            Err(e) => StoreError::Io(format!(
                "the disk is full ({why}) and the file cannot be opened: {e}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = std::cell::Cell::new(0);
        crate::store::conformance::suite(|| {
            made.set(made.get() + 1);
            let path = dir.path().join(format!("{}.redb", made.get()));
            Box::new(RedbStore::create(&path, 1 << 20).expect("a new store"))
        });
    }
}
