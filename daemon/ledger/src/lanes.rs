//! The two bounded queues in front of the writer: people and programs that wait for an answer, and bulk work.
//!
//! The interactive lane refuses when it is full, so that callers hear of it at once; the bulk lane makes its senders
//! wait, so that an import runs as fast as the disk. Nothing here wakes up by itself.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokmon_core::limits::{BULK_QUEUE, WRITER_QUEUE, WRITER_QUEUE_CALLS};

use crate::error::LedgerError;
use crate::ops::{Bulk, Quick};

/// What the writer takes at once.
#[derive(Default)]
pub(crate) struct Taken {
    /// Everything that waited, in order of arrival.
    pub(crate) quick: Vec<Quick>,
    /// At most one piece of bulk work.
    pub(crate) bulk: Option<(Bulk, OwnedSemaphorePermit)>,
    /// Nothing will come any more.
    pub(crate) closed: bool,
}

/// The queues.
pub(crate) struct Lanes {
    queues: Mutex<Queues>,
    wake: Condvar,
    permits: Arc<Semaphore>,
}

#[derive(Default)]
struct Queues {
    quick: VecDeque<Quick>,
    /// Observations in `quick`: what bounds its memory.
    calls: usize,
    bulk: VecDeque<(Bulk, OwnedSemaphorePermit)>,
    closed: bool,
    /// Somebody asked whether the writer lives: it shows so by taking, even nothing.
    pinged: bool,
    /// The writer sleeps until so many wait in `quick`. `None`: it is at work and looks by itself. Waking it for each
    /// one would cost more than the rest of queueing.
    sleeps_until: Option<usize>,
}

impl Queues {
    /// Whether a sleeping writer should see what was queued just now.
    fn rouses(&self) -> bool {
        self.sleeps_until.is_some_and(|wanted| self.quick.len() >= wanted)
    }
}

impl Lanes {
    pub(crate) fn new() -> Lanes {
        Lanes {
            queues: Mutex::default(),
            wake: Condvar::new(),
            permits: Arc::new(Semaphore::new(BULK_QUEUE)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues something that somebody waits for, or refuses it.
    pub(crate) fn push_quick(&self, op: Quick) -> Result<(), LedgerError> {
        let mut queues = self.lock();
        if queues.closed {
            return Err(LedgerError::Closed);
        }
        let calls = op.calls();
        let full = queues.quick.len() >= WRITER_QUEUE || queues.calls + calls > WRITER_QUEUE_CALLS;
        if full && !queues.quick.is_empty() {
            return Err(LedgerError::Busy);
        }
        queues.calls += calls;
        queues.quick.push_back(op);
        let rouses = queues.rouses();
        drop(queues);
        if rouses {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Queues bulk work, waiting while the lane is full.
    pub(crate) async fn push_bulk(&self, op: Bulk) -> Result<(), LedgerError> {
        let permit = self
            .permits
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| LedgerError::Closed)?;
        let mut queues = self.lock();
        if queues.closed {
            return Err(LedgerError::Closed);
        }
        queues.bulk.push_back((op, permit));
        drop(queues);
        self.wake.notify_one();
        Ok(())
    }

    /// Accepts nothing more; what is queued is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.permits.close();
        self.wake.notify_one();
    }

    /// Wakes the writer to show that it lives.
    pub(crate) fn ping(&self) {
        self.lock().pinged = true;
        self.wake.notify_one();
    }

    /// Waits for work and takes all that waits. When the queue was joined by fewer than `expected` callers, it waits
    /// up to `linger` for the others, who were answered a moment ago and are about to ask again.
    pub(crate) fn take(&self, expected: usize, linger: Duration) -> Taken {
        let mut queues = self.lock();
        queues.sleeps_until = Some(1);
        while queues.quick.is_empty() && queues.bulk.is_empty() && !queues.closed && !queues.pinged {
            queues = self.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
        if !queues.quick.is_empty() && queues.quick.len() < expected && !linger.is_zero() {
            queues.sleeps_until = Some(expected);
            queues = self.wait_until(queues, Instant::now() + linger, |q| {
                q.quick.len() >= expected || q.closed
            });
        }
        Self::drain(&mut queues)
    }

    /// Takes what waits, after at most `patience`: for a writer that cannot write, but answers.
    pub(crate) fn take_within(&self, patience: Duration) -> Taken {
        let mut queues = self.lock();
        queues.sleeps_until = Some(1);
        let waiting = |q: &Queues| !q.quick.is_empty() || !q.bulk.is_empty() || q.closed || q.pinged;
        let mut queues = self.wait_until(queues, Instant::now() + patience, waiting);
        Self::drain(&mut queues)
    }

    fn wait_until<'a>(
        &self,
        mut queues: MutexGuard<'a, Queues>,
        deadline: Instant,
        done: impl Fn(&Queues) -> bool,
    ) -> MutexGuard<'a, Queues> {
        while !done(&queues) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queues = self
                .wake
                .wait_timeout(queues, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        queues
    }

    fn drain(queues: &mut Queues) -> Taken {
        // One batch holds no more calls than the queue: it was filled under that bound.
        queues.calls = 0;
        queues.pinged = false;
        queues.sleeps_until = None;
        Taken {
            quick: queues.quick.drain(..).collect(),
            bulk: queues.bulk.pop_front(),
            closed: queues.closed && queues.bulk.is_empty(),
        }
    }
}
