//! What the writer, the readers and the followers share.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;
use tokmon_core::state::{Rules, State};

use crate::answer::Health;
use crate::blocks::Begins;
use crate::clock::Clock;
use crate::lanes::Lanes;
use crate::place::Place;
use crate::slot::Slot;

/// Where the ledger ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Counts how often another ledger was put in place: positions of one mean nothing in the next.
    pub(crate) generation: u64,
    /// The last durable entry.
    pub(crate) last_seq: u64,
    /// Nothing will follow.
    pub(crate) closed: bool,
}

/// See the module.
pub(crate) struct Shared {
    pub(crate) lanes: Lanes,
    pub(crate) slot: Slot,
    pub(crate) place: Place,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rules: Arc<Rules>,
    /// Where agents' blocks begin.
    pub(crate) begins: Begins,
    pub(crate) tail: watch::Sender<Tail>,
    state: RwLock<Arc<State>>,
    pub(crate) health: watch::Sender<Health>,
    /// When the next open reservation expires.
    pub(crate) expiry: watch::Sender<Option<i64>>,
    beats: AtomicU64,
    /// Maintenance that keeps the writer waiting, which is no reason to think it dead.
    maintenance: AtomicU32,
}

impl Shared {
    pub(crate) fn new(
        slot: Slot,
        place: Place,
        clock: Arc<dyn Clock>,
        rules: Arc<Rules>,
        state: State,
    ) -> Shared {
        let tail = Tail {
            generation: 0,
            last_seq: state.last_seq,
            closed: false,
        };
        Shared {
            lanes: Lanes::new(),
            slot,
            place,
            clock,
            rules,
            begins: Begins::default(),
            tail: watch::Sender::new(tail),
            expiry: watch::Sender::new(state.next_expiry_ms),
            state: RwLock::new(Arc::new(state)),
            health: watch::Sender::new(Health::Serving),
            beats: AtomicU64::new(0),
            maintenance: AtomicU32::new(0),
        }
    }

    /// The state after the last durable batch.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows a new state and wakes the followers.
    pub(crate) fn publish(&self, state: &State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state.clone());
        self.arm(state.next_expiry_ms);
        self.tail.send_if_modified(|tail| {
            let moved = tail.last_seq != state.last_seq;
            tail.last_seq = state.last_seq;
            moved
        });
    }

    /// Says when something is due next.
    pub(crate) fn arm(&self, due_ms: Option<i64>) {
        self.expiry.send_if_modified(|next| {
            let moved = *next != due_ms;
            *next = due_ms;
            moved
        });
    }

    pub(crate) fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.health.send_replace(health);
    }

    /// The writer lives.
    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the writer showed that it lives; asks it to do so again.
    pub(crate) fn heartbeat(&self) -> u64 {
        self.lanes.ping();
        if self.maintenance.load(Ordering::Relaxed) > 0 {
            self.beat();
        }
        self.beats.load(Ordering::Relaxed)
    }

    /// Runs maintenance for which the writer may have to wait.
    pub(crate) fn maintain<T>(&self, work: impl FnOnce() -> T) -> T {
        self.maintenance.fetch_add(1, Ordering::Relaxed);
        let result = work();
        self.maintenance.fetch_sub(1, Ordering::Relaxed);
        result
    }
}
