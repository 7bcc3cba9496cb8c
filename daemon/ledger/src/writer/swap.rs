//! Puts another ledger in the place of the present one, which is kept aside.

use std::path::{Path, PathBuf};

use tokio::sync::OwnedSemaphorePermit;
use tokmon_core::entry::{Body, Entry};

use super::{Trouble, Writer, guarded};
use crate::answer::Swapped;
use crate::error::LedgerError;
use crate::ops::{By, Incoming, Reply};
use crate::store::{Batch, Staged, StoreError};

impl Writer {
    /// Installs a staged file, or an empty ledger. When that fails, the former one is put back.
    pub(super) fn swap(
        &mut self,
        incoming: Option<Incoming>,
        by: By,
        reply: Reply<Swapped>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Box<Trouble>> {
        self.save();
        let shared = self.shared.clone();
        shared.slot.empty("another ledger is being put in place");
        let result = match shared.place.set_aside(shared.clock.now_ms()) {
            Ok(aside) => self.install(incoming.as_ref(), by, aside),
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
                if let Some(Incoming { staged, .. }) = incoming.filter(|incoming| incoming.staged.exists()) {
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

    fn install(
        &mut self,
        incoming: Option<&Incoming>,
        by: By,
        aside: PathBuf,
    ) -> Result<Swapped, StoreError> {
        let place = self.shared.place.clone();
        let installed = incoming
            .map_or(Ok(()), |incoming| place.install(&incoming.staged))
            .and_then(|()| {
                let store = self.reopen("another ledger is being put in place")?;
                let stats = guarded(|| store.stats())?;
                let name = |path: &Path| path.display().to_string().into();
                let body = Body::LedgerReplaced {
                    from: incoming.map_or_else(|| "".into(), |incoming| name(&incoming.from)),
                    set_aside: name(&aside),
                };
                self.tell(body, by)?;
                Ok(stats)
            });
        match installed {
            Ok(stats) => Ok(Swapped {
                entries: stats.entries,
                set_aside: aside,
            }),
            Err(error) => {
                // What was installed did not open or takes no entry: it makes room for the former one.
                self.shared.slot.empty("the former ledger is being put back");
                place.install(&aside)?;
                Err(error)
            }
        }
    }
    /// The new ledger's first word after its own past: who put it there.
    fn tell(&mut self, body: Body, by: By) -> Result<(), StoreError> {
        let now_ms = self.shared.clock.now_ms();
        let entry = Entry {
            seq: self.draft.state.last_seq + 1,
            recorded_at_ms: now_ms.max(self.draft.state.last_recorded_ms),
            by,
            body,
        };
        self.draft.apply(&entry, None);
        self.append(&Batch {
            entries: vec![Staged {
                entry,
                previous: None,
            }],
            ..Batch::default()
        })
    }
}
