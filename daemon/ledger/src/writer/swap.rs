//! Puts another ledger in the place of the present one, which is kept aside.

use std::path::{Path, PathBuf};

use tokio::sync::OwnedSemaphorePermit;

use super::{Trouble, Writer, guarded};
use crate::answer::Swapped;
use crate::error::LedgerError;
use crate::ops::Reply;
use crate::store::StoreError;

impl Writer {
    /// Installs a staged file, or an empty ledger. When that fails, the former one is put back.
    pub(super) fn swap(
        &mut self,
        staged: Option<PathBuf>,
        reply: Reply<Swapped>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Box<Trouble>> {
        self.save();
        let shared = self.shared.clone();
        shared.slot.empty("another ledger is being put in place");
        let result = match shared.place.set_aside(shared.clock.now_ms()) {
            Ok(aside) => self.install(staged.as_deref(), aside),
            Err(error) => Err(error),
        };
        drop(permit);
        match result {
            Ok(swapped) => {
                // The tail first: a follower of the former ledger must not take the new one's end for its own.
                shared.tail.send_modify(|tail| {
                    tail.generation += 1;
                    tail.last_seq = self.draft.state.last_seq;
                });
                shared.publish(&self.draft.state);
                drop(reply.send(Ok(swapped)));
                Ok(())
            }
            Err(error) => {
                if let Some(staged) = staged.filter(|staged| staged.exists()) {
                    shared.place.unstage(&staged);
                }
                let text = format!("{error}; the former ledger is in place");
                match self.reopen(&text) {
                    Ok(_) => {
                        self.save();
                        drop(reply.send(Err(LedgerError::Store(error))));
                        Ok(())
                    }
                    Err(worse) => {
                        drop(reply.send(Err(LedgerError::Store(error))));
                        Err(worse.into())
                    }
                }
            }
        }
    }

    fn install(&mut self, staged: Option<&Path>, aside: PathBuf) -> Result<Swapped, StoreError> {
        let place = self.shared.place.clone();
        let installed = staged
            .map_or(Ok(()), |staged| place.install(staged))
            .and_then(|()| {
                let store = self.reopen("another ledger is being put in place")?;
                guarded(|| store.stats())
            });
        match installed {
            Ok(stats) => Ok(Swapped {
                entries: stats.entries,
                set_aside: aside,
            }),
            Err(error) => {
                self.shared.slot.empty("the former ledger is being put back");
                place.install(&aside)?;
                Err(error)
            }
        }
    }
}
