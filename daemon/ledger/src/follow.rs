//! Following the ledger: the kept history first, then what comes, without a gap. A slow follower is merely behind.

use std::sync::Arc;

use tokio::sync::watch;
use tokmon_core::entry::Entry;
use tokmon_core::limits::FOLLOW_PAGE;

use crate::error::LedgerError;
use crate::ledger::{Ledger, blocking};
use crate::shared::{Shared, Tail};

/// A cursor into the ledger.
pub struct Follower {
    shared: Arc<Shared>,
    tail: watch::Receiver<Tail>,
    generation: u64,
    after: u64,
}

impl Ledger {
    /// Follows the entries after `after`; 0: from the first that is kept.
    pub fn follow(&self, after: u64) -> Follower {
        let tail = self.shared().tail.subscribe();
        let generation = tail.borrow().generation;
        Follower {
            shared: self.shared().clone(),
            tail,
            generation,
            after,
        }
    }
}

impl Follower {
    /// The next entries in order, at least one, at most [`FOLLOW_PAGE`]; waits when there is none yet. Purged entries
    /// are missing.
    ///
    /// # Errors
    /// `Closed` when the ledger was closed; `Unavailable` when it cannot be read now or when another ledger was put
    /// in its place: then follow anew.
    pub async fn next(&mut self) -> Result<Vec<Entry>, LedgerError> {
        loop {
            let tail = *self.tail.borrow_and_update();
            if tail.closed {
                return Err(LedgerError::Closed);
            }
            if tail.generation != self.generation {
                return Err(LedgerError::Unavailable(
                    "another ledger was put in its place; follow anew".to_owned(),
                ));
            }
            if tail.last_seq > self.after {
                let (shared, after) = (self.shared.clone(), self.after);
                let read = move || {
                    shared
                        .slot
                        .read(|store| Ok(store.entries_after(after, FOLLOW_PAGE)?))
                };
                let mut entries = blocking(read).await?;
                // What a batch is writing at this moment is not announced yet.
                entries.retain(|entry| entry.seq <= tail.last_seq);
                match entries.last() {
                    Some(last) => {
                        self.after = last.seq;
                        return Ok(entries);
                    }
                    // Everything up to there was purged.
                    None => self.after = tail.last_seq,
                }
                continue;
            }
            if self.tail.changed().await.is_err() {
                return Err(LedgerError::Closed);
            }
        }
    }

    /// Waits until the ledger has moved on since it was last waited for, and reads nothing.
    ///
    /// # Errors
    /// `Closed` when the ledger was closed.
    pub async fn moved(&mut self) -> Result<(), LedgerError> {
        let changed = self.tail.changed().await;
        if changed.is_err() || self.tail.borrow().closed {
            return Err(LedgerError::Closed);
        }
        Ok(())
    }

    /// The last entry that was handed out.
    pub fn position(&self) -> u64 {
        self.after
    }
}
