//! When the store fails: open it again, find out what became durable, tell those who wait, and go on.
//!
//! Meanwhile the ledger is read-only: what comes in is answered at once that it cannot be written, and reads go on
//! whenever the file opens. Trying again goes on for as long as the ledger is open, ever more slowly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answers::{self, Answer};
use super::{Trouble, Writer, guarded};
use crate::answer::Health;
use crate::error::LedgerError;
use crate::replay;
use crate::store::{Batch, Store, StoreError};

/// The first pause between two attempts, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long somebody waits to hear what became of his request, when the store does not even open.
const PATIENCE: Duration = Duration::from_secs(5);

/// Those whose batch was on its way when the store failed.
struct Doubt {
    batch: Option<Batch>,
    waiting: Vec<Answer>,
    since: Instant,
}

impl Writer {
    /// Returns when the ledger can write again, or when it is being closed.
    pub(super) fn recover(&mut self, trouble: Trouble) {
        let Trouble {
            error,
            batch,
            waiting,
        } = trouble;
        tracing::error!(%error, "the ledger cannot write; it stays readable and tries again");
        let shared = self.shared.clone();
        let mut reason = error.to_string();
        shared.set_health(Health::ReadOnly(reason.clone()));
        let mut doubt = Doubt {
            batch,
            waiting,
            since: Instant::now(),
        };
        // Only a failed read or write leaves it open whether the batch is durable; everything else is a plain no.
        if !matches!(error, StoreError::Io(_) | StoreError::Damaged(_)) {
            doubt.refuse(&format!("{reason}; nothing was written"));
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(&reason, &mut doubt) {
                Ok(()) => {
                    tracing::info!("the ledger can write again");
                    shared.set_health(Health::Serving);
                    return;
                }
                Err(error) => {
                    reason = error.to_string();
                    shared.set_health(Health::ReadOnly(reason.clone()));
                }
            }
            if doubt.since.elapsed() > PATIENCE {
                doubt.refuse(&format!(
                    "{reason}; whether this was written is not known: ask again with the same key, it counts once"
                ));
            }
            if self.refuse_for(pause, &reason) {
                doubt.refuse(&format!("{reason}; whether this was written is not known"));
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Opens the store, reads the state back and tries to write.
    fn attempt(&mut self, reason: &str, doubt: &mut Doubt) -> Result<(), StoreError> {
        let store = self.reopen(reason)?;
        doubt.resolve(&*store, &self.shared)?;
        self.shared.publish(&self.draft.state);
        let probe = Batch {
            checkpoint: Some(self.draft.save()),
            ..Batch::default()
        };
        if let Err(error) = guarded(|| store.append(&probe)) {
            // A store that failed once may refuse reads too; a fresh one does not.
            drop(store);
            self.reopen(reason)?;
            return Err(error);
        }
        self.checkpoint_seq = self.draft.state.last_seq;
        Ok(())
    }

    /// Closes the store, opens it again, puts it where the readers find it and reads the state back.
    pub(super) fn reopen(&mut self, reason: &str) -> Result<Arc<dyn Store>, StoreError> {
        let shared = &self.shared;
        shared.slot.empty(reason);
        let store = guarded(|| shared.place.open())?;
        let draft = guarded(|| replay::load(&*store, &shared.rules))?;
        self.draft = draft;
        self.slices = Default::default();
        shared.begins.forget();
        self.checkpoint_seq = 0;
        shared.slot.fill(store.clone());
        Ok(store)
    }

    /// Answers for a while that nothing can be written. True: the ledger is being closed.
    fn refuse_for(&mut self, pause: Duration, reason: &str) -> bool {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let taken = self.shared.lanes.take_within(left);
            self.shared.beat();
            let no = || LedgerError::Unavailable(format!("{reason}; nothing was written"));
            taken.quick.into_iter().for_each(|op| op.fail(no()));
            taken.bulk.into_iter().for_each(|(op, _)| op.fail(no()));
            if taken.closed {
                return true;
            }
        }
    }
}

impl Doubt {
    /// A batch is durable as a whole or not at all, so its last entry tells.
    fn resolve(&mut self, store: &dyn Store, shared: &super::Shared) -> Result<(), StoreError> {
        let Some(last) = self.batch.as_ref().and_then(|batch| batch.entries.last()) else {
            self.refuse("the ledger failed; nothing was written");
            return Ok(());
        };
        let durable = guarded(|| store.entry(last.entry.seq))?.as_ref() == Some(&last.entry);
        self.batch = None;
        if durable {
            answers::deliver(std::mem::take(&mut self.waiting), shared);
        } else {
            self.refuse("the ledger failed; nothing was written");
        }
        Ok(())
    }

    fn refuse(&mut self, reason: &str) {
        self.batch = None;
        for answer in self.waiting.drain(..) {
            answer.fail(LedgerError::Unavailable(reason.to_owned()));
        }
    }
}
