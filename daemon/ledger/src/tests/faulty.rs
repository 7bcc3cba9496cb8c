//! A store that fails when it is told to: before or after the batch is durable, while reading, or by a panic.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokmon_core::Name;
use tokmon_core::entry::Entry;
use tokmon_core::id::Key;
use tokmon_core::rollup::{Agg, Dimension, Dims};

use crate::place::Opened;
use crate::store::{
    Batch, Cut, Dropped, Known, MemoryStore, Position, Result, SessionRow, Stats, Store, StoreError,
    Verification,
};

/// What the next append with entries does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Fault {
    /// It works.
    #[default]
    None,
    /// It fails with an I/O error, having written nothing.
    LostBefore,
    /// It fails with an I/O error, having written everything.
    LostAfter,
    /// It panics, having written nothing.
    Panic,
    /// The disk is full, until this is changed.
    Full,
}

#[derive(Default)]
struct Plan {
    fault: Fault,
    /// Reading fails, and opening too.
    dead: bool,
    /// The next look at a session panics.
    session_panics: bool,
    /// Appends so far.
    appends: u64,
    /// The largest number of entries in one batch.
    largest: usize,
}

/// The contents and the plan survive being closed and opened.
#[derive(Default)]
pub(super) struct Faulty {
    inner: Arc<MemoryStore>,
    plan: Arc<Mutex<Plan>>,
    gate: Arc<Mutex<()>>,
}

impl Faulty {
    pub(super) fn set(&self, fault: Fault) {
        self.plan.lock().unwrap().fault = fault;
    }

    /// Nothing works any more, or again.
    pub(super) fn set_dead(&self, dead: bool) {
        self.plan.lock().unwrap().dead = dead;
    }

    /// The next look at a session panics.
    pub(super) fn panic_at_session(&self) {
        self.plan.lock().unwrap().session_panics = true;
    }

    /// Appends wait while this is locked.
    pub(super) fn gate(&self) -> Arc<Mutex<()>> {
        self.gate.clone()
    }

    /// Appends so far, and the most entries in one.
    pub(super) fn appends(&self) -> (u64, usize) {
        let plan = self.plan.lock().unwrap();
        (plan.appends, plan.largest)
    }

    /// What opening gives: the same contents.
    pub(super) fn reopened(&self) -> Opened {
        self.alive()?;
        let (inner, plan, gate) = (self.inner.clone(), self.plan.clone(), self.gate.clone());
        Ok(Arc::new(Faulty { inner, plan, gate }))
    }

    fn alive(&self) -> Result<()> {
        if self.plan.lock().unwrap().dead {
            return Err(StoreError::Io("the disk is gone".to_owned()));
        }
        Ok(())
    }
}

impl Store for Faulty {
    fn append(&self, batch: &Batch) -> Result<()> {
        drop(self.gate.lock().unwrap());
        self.alive()?;
        let fault = {
            let mut plan = self.plan.lock().unwrap();
            plan.appends += 1;
            plan.largest = plan.largest.max(batch.entries.len());
            match plan.fault {
                Fault::Full => Fault::Full,
                _ if batch.entries.is_empty() => Fault::None,
                once => {
                    plan.fault = Fault::None;
                    once
                }
            }
        };
        match fault {
            Fault::None => self.inner.append(batch),
            Fault::LostBefore => Err(StoreError::Io("pulled the plug".to_owned())),
            Fault::LostAfter => {
                self.inner.append(batch)?;
                Err(StoreError::Io("pulled the plug".to_owned()))
            }
            Fault::Panic => panic!("a page that is not a page"),
            Fault::Full => Err(StoreError::Full("no space".to_owned())),
        }
    }

    fn known(&self, keys: &[Key]) -> Result<Vec<Option<Known>>> {
        self.alive()?;
        self.inner.known(keys)
    }

    fn last_seq(&self) -> Result<u64> {
        self.inner.last_seq()
    }

    fn acts(&self, seqs: Range<u64>, visit: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        self.inner.acts(seqs, visit)
    }

    fn entries_after(&self, after: u64, max: usize) -> Result<Vec<Entry>> {
        self.alive()?;
        self.inner.entries_after(after, max)
    }

    fn entry(&self, seq: u64) -> Result<Option<Entry>> {
        self.inner.entry(seq)
    }

    fn records(&self, range_ms: Range<i64>, before: Option<(i64, u64)>, max: usize) -> Result<Vec<Entry>> {
        self.inner.records(range_ms, before, max)
    }

    fn dropped(&self, key: Key) -> Result<(Vec<Dropped>, u64)> {
        self.inner.dropped(key)
    }

    fn rollup_coarse(&self, buckets: Range<u32>, visit: &mut dyn FnMut(u32, &Dims, &Agg)) -> Result<()> {
        self.inner.rollup_coarse(buckets, visit)
    }

    fn rollup_full(&self, buckets: Range<u32>, visit: &mut dyn FnMut(u32, &Dims, &Agg)) -> Result<()> {
        self.inner.rollup_full(buckets, visit)
    }

    fn name(&self, dimension: Dimension, id: u32) -> Result<Option<Name>> {
        self.inner.name(dimension, id)
    }

    fn id(&self, dimension: Dimension, name: &str) -> Result<Option<u32>> {
        self.inner.id(dimension, name)
    }

    fn places(&self) -> Result<Vec<(u32, Name)>> {
        self.inner.places()
    }

    fn session(&self, agent: &str, session: &str) -> Result<Option<SessionRow>> {
        let panics = std::mem::take(&mut self.plan.lock().unwrap().session_panics);
        assert!(!panics, "a bug in the middle of an answer");
        self.inner.session(agent, session)
    }

    fn sessions(&self, from_ms: i64, visit: &mut dyn FnMut(SessionRow)) -> Result<()> {
        self.inner.sessions(from_ms, visit)
    }

    fn positions(&self) -> Result<Vec<Position>> {
        self.inner.positions()
    }

    fn checkpoint(&self) -> Result<Option<(u64, Vec<u8>)>> {
        self.inner.checkpoint()
    }

    fn stats(&self) -> Result<Stats> {
        self.inner.stats()
    }

    fn purged(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.inner.purged(keys)
    }

    fn first_recorded_since(&self, recorded_ms: i64) -> Result<u64> {
        self.inner.first_recorded_since(recorded_ms)
    }

    fn purge(&self, cut: &Cut, max: usize) -> Result<u64> {
        self.inner.purge(cut, max)
    }

    fn count_before(&self, cut: &Cut) -> Result<u64> {
        self.inner.count_before(cut)
    }

    fn backup(&self, to: &Path) -> Result<(u64, u64)> {
        self.inner.backup(to)
    }

    fn verify(&self) -> Result<Verification> {
        self.inner.verify()
    }

    fn compact(&self) -> Result<(u64, u64)> {
        self.inner.compact()
    }
}
