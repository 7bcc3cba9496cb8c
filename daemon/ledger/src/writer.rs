//! The one thread that writes.
//!
//! Each turn takes everything that waits, decides about it in order, makes it durable in one transaction, shows the
//! new state and only then answers. When the store fails, what the turn did to the state is void: the store is opened
//! again and the state is read back from it.

mod adjust;
mod answers;
mod batch;
mod change;
mod claims;
mod import;
mod official;
mod recover;
mod swap;
mod witness;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokmon_core::audit::{Act, What};
use tokmon_core::entry::{Body, Entry};
use tokmon_core::limits::{CHECKPOINT_ENTRIES, PURGE_CHUNK};
use tokmon_core::state::Draft;

use crate::answer::Health;
use crate::error::LedgerError;
use crate::lanes::Taken;
use crate::ops::{Bulk, Reply};
use crate::shared::Shared;
use crate::store::{Batch, Cut, Staged, Store, StoreError};
use answers::Answer;
use batch::Turn;
use witness::Slices;

/// The longest that a batch waits for callers who are about to come.
const MAX_LINGER: Duration = Duration::from_millis(1);

/// Below it a commit costs processor time rather than waiting for the disk: then callers and writer work side by side,
/// each half of the callers while the other half is written, and waiting for all of them would make them take turns.
const QUICK_COMMIT: Duration = Duration::from_millis(3);

/// The writer's own.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    draft: Draft,
    /// How long a commit takes, smoothed.
    commit: Duration,
    /// How many waited in the last two batches.
    waiters: (usize, usize),
    /// The last entry that the saved state covers.
    checkpoint_seq: u64,
    /// Calls that another kind of witness may tell of.
    slices: Slices,
}

/// The store failed; `batch` is what it was given, when it was given something.
pub(crate) struct Trouble {
    error: StoreError,
    batch: Option<Batch>,
    waiting: Vec<Answer>,
}

impl From<StoreError> for Box<Trouble> {
    fn from(error: StoreError) -> Box<Trouble> {
        Box::new(Trouble {
            error,
            batch: None,
            waiting: Vec::new(),
        })
    }
}

/// Whoever waits is told when the thread ends, also by a panic.
struct LastWill(Arc<Shared>);

impl Drop for LastWill {
    fn drop(&mut self) {
        self.0.lanes.close();
        loop {
            let left = self.0.lanes.take_within(Duration::ZERO);
            let empty = left.quick.is_empty() && left.bulk.is_none();
            left.quick.into_iter().for_each(|op| op.fail(LedgerError::Closed));
            left.bulk
                .into_iter()
                .for_each(|(op, _)| op.fail(LedgerError::Closed));
            if empty {
                break;
            }
        }
        self.0.slot.empty("the ledger is closed");
        self.0
            .set_health(Health::ReadOnly("the ledger is closed".to_owned()));
        self.0.tail.send_modify(|tail| tail.closed = true);
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, draft: Draft, checkpoint_seq: u64) -> Writer {
        Writer {
            shared,
            draft,
            commit: Duration::ZERO,
            waiters: (0, 0),
            checkpoint_seq,
            slices: Slices::default(),
        }
    }

    /// Works until the lanes are closed and empty; then saves the state and closes the store.
    pub(crate) fn run(mut self) {
        let _will = LastWill(self.shared.clone());
        loop {
            let (last, before) = self.waiters;
            let linger = if last > 1 && self.commit > QUICK_COMMIT {
                (self.commit / 10).min(MAX_LINGER)
            } else {
                Duration::ZERO
            };
            let taken = self.shared.lanes.take(last + before, linger);
            self.shared.beat();
            let closed = taken.closed;
            // A bug in the rules must not end the ledger: its turn is void like one whose commit failed.
            let turn = catch_unwind(AssertUnwindSafe(|| self.turn(taken)));
            let turn = turn.unwrap_or_else(|panic| Err(StoreError::Damaged(message(&*panic)).into()));
            if let Err(trouble) = turn {
                self.recover(*trouble);
            }
            if closed {
                break;
            }
        }
        self.tell_all();
        self.save();
    }

    /// Saves the state, so that the next start replays nothing. Nothing is lost when it fails.
    fn save(&mut self) {
        if self.draft.state.last_seq == self.checkpoint_seq {
            return;
        }
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the state was not saved; the next start takes longer");
        }
    }

    /// Writes what is counted and was not told of yet.
    fn tell_all(&mut self) {
        let now_ms = self.shared.clock.now_ms().max(self.draft.state.last_recorded_ms);
        let mut batch = Batch::default();
        for body in self.draft.untold() {
            let entry = Entry {
                seq: self.draft.state.last_seq + 1,
                recorded_at_ms: now_ms,
                by: None,
                body,
            };
            self.draft.apply(&entry, None);
            batch.entries.push(Staged {
                entry,
                previous: None,
            });
        }
        if batch.entries.is_empty() {
            return;
        }
        if let Err(error) = self.append(&batch) {
            tracing::warn!(%error, "the last denials were not counted");
        }
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let batch = Batch {
            checkpoint: Some(self.draft.save()),
            ..Batch::default()
        };
        self.append(&batch)?;
        self.checkpoint_seq = self.draft.state.last_seq;
        Ok(())
    }

    fn turn(&mut self, taken: Taken) -> Result<(), Box<Trouble>> {
        let Taken { quick, bulk, .. } = taken;
        if !quick.is_empty() {
            self.waiters = (quick.len(), self.waiters.0);
        }
        let (in_batch, alone) = match bulk {
            Some(bulk @ (Bulk::Import(..) | Bulk::Reprice(..), _)) => (Some(bulk), None),
            alone => (None, alone),
        };
        if !quick.is_empty() || in_batch.is_some() {
            let mut turn = match Turn::begin(
                &mut self.draft,
                &self.shared,
                &mut self.slices,
                &quick,
                in_batch.as_ref().map(|(b, _)| b),
            ) {
                Ok(turn) => turn,
                Err(error) => {
                    let fail = || LedgerError::Unavailable(format!("{error}; nothing was written"));
                    quick.into_iter().for_each(|op| op.fail(fail()));
                    in_batch
                        .into_iter()
                        .chain(alone)
                        .for_each(|(op, _)| op.fail(fail()));
                    return Err(error.into());
                }
            };
            turn.adjust();
            for op in quick {
                turn.quick(op);
            }
            if let Some((op, permit)) = in_batch {
                turn.bulk(op, permit);
            }
            let (batch, answers, trouble) = turn.end();
            let result = match trouble {
                Some(error) => Err(Box::new(Trouble {
                    error,
                    batch: None,
                    waiting: answers,
                })),
                None => self.commit(batch, answers),
            };
            if let Err(trouble) = result {
                let fail = || LedgerError::Unavailable(format!("{}; nothing was done", trouble.error));
                alone.into_iter().for_each(|(op, _)| op.fail(fail()));
                return Err(trouble);
            }
        }
        match alone {
            Some((Bulk::Purge(cut, reply), permit)) => self.purge(cut, reply, permit),
            Some((Bulk::Swap(staged, by, reply), permit)) => self.swap(staged, by, reply, permit),
            _ => Ok(()),
        }
    }

    /// Makes a batch durable, shows the state and answers.
    fn commit(&mut self, mut batch: Batch, answers: Vec<Answer>) -> Result<(), Box<Trouble>> {
        if batch != Batch::default() {
            let due = self.draft.state.last_seq >= self.checkpoint_seq + CHECKPOINT_ENTRIES;
            if due && batch.checkpoint.is_none() {
                batch.checkpoint = Some(self.draft.save());
            }
            let begin = Instant::now();
            if let Err(error) = self.append(&batch) {
                return Err(Box::new(Trouble {
                    error,
                    batch: Some(batch),
                    waiting: answers,
                }));
            }
            self.shared.begins.wrote(&batch);
            log_alerts(&batch);
            self.commit = (self.commit * 7 + begin.elapsed()) / 8;
            if batch.checkpoint.is_some() {
                self.checkpoint_seq = self.draft.state.last_seq;
            }
            self.shared.publish(&self.draft.state);
        }
        // Denials that are counted and not written yet are due some time, too.
        self.shared.arm(self.draft.state.next_expiry_ms);
        answers::deliver(answers, &self.shared);
        Ok(())
    }

    fn purge(
        &mut self,
        cut: Cut,
        reply: Reply<u64>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Box<Trouble>> {
        // First the state: a replay would miss what goes.
        let behind = self.draft.state.last_seq > self.checkpoint_seq;
        let saved = if behind { self.checkpoint() } else { Ok(()) };
        let removed = saved.and_then(|()| self.with_store(|store| store.purge(&cut, PURGE_CHUNK)));
        drop(permit);
        match removed {
            Ok(removed) => {
                // Nobody may wait any more; the records are gone all the same.
                drop(reply.send(Ok(removed)));
                Ok(())
            }
            Err(error) => {
                drop(reply.send(Err(LedgerError::Unavailable(format!(
                    "{error}; the purge did not end"
                )))));
                Err(error.into())
            }
        }
    }

    fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        self.with_store(|store| store.append(batch))
    }

    /// Works with the store. A panic in it is damage like any other.
    fn with_store<T>(&self, work: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        guarded(|| {
            self.shared
                .slot
                .read(|store| Ok(work(store)?))
                .map_err(|error| match error {
                    LedgerError::Store(error) => error,
                    other => StoreError::Io(other.to_string()),
                })
        })
    }
}

/// Says in the log what people should hear of, once it is durable.
fn log_alerts(batch: &Batch) {
    for staged in &batch.entries {
        match &staged.entry.body {
            Body::BudgetAlert { message, .. } => tracing::warn!(alert = "budget", "{message}"),
            Body::Runaway(episode) => tracing::warn!(alert = "runaway", "{}", episode.message()),
            Body::BudgetSet(_) => {
                let adjusted = Act::of(&staged.entry).filter(|act| act.what == What::BudgetAdjusted);
                if let Some(act) = adjusted {
                    tracing::info!(budget = %act.budget, "limit adjusted: {}", act.reason);
                }
            }
            _ => {}
        }
    }
}

/// Runs something of the store's. A panic in it is damage like any other.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(StoreError::Damaged(message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a panic: {}", text.unwrap_or_default())
}
