//! Care of the ledger: copies, checks, space, retention, and putting another one in its place.

use std::path::Path;

use tokmon_core::refusal::Refusal;

use crate::answer::{Change, Purged, Swapped};
use crate::error::LedgerError;
use crate::ledger::{Ledger, blocking};
use crate::ops::{Bulk, Incoming};
use crate::store::{Cut, Verification};
use crate::writer::guarded;

impl Ledger {
    /// Writes a consistent copy into a new file while appends go on. Blocks. Returns its size in bytes and the last
    /// entry in it.
    ///
    /// # Errors
    /// `Store(Conflict)` when the file exists, or the store's error.
    pub fn backup(&self, to: &Path) -> Result<(u64, u64), LedgerError> {
        self.shared().slot.read(|store| Ok(store.backup(to)?))
    }

    /// Checks checksums, the chain and the rollups against the entries: of this ledger, or of a file that is not in
    /// use, which is not changed. Blocks.
    ///
    /// # Errors
    /// The store's error; findings are no error.
    pub fn verify(&self, path: Option<&Path>) -> Result<Verification, LedgerError> {
        match path {
            None => self.shared().slot.read(|store| Ok(guarded(|| store.verify())?)),
            Some(path) => Ok(guarded(|| self.shared().place.inspect(path))?),
        }
    }

    /// Gives free space in the file back. Blocks, and reads and appends wait meanwhile. Returns the sizes before and
    /// after, in bytes.
    ///
    /// # Errors
    /// The store's error.
    pub fn compact(&self) -> Result<(u64, u64), LedgerError> {
        let shared = self.shared();
        shared.maintain(|| shared.slot.read(|store| Ok(guarded(|| store.compact())?)))
    }

    /// Gives memory back that only makes the next reads quicker, unless somebody reads or writes. Blocks for some
    /// milliseconds, in which reads and appends wait.
    ///
    /// # Errors
    /// The store's error.
    pub fn rest(&self) -> Result<(), LedgerError> {
        self.shared().slot.read(|store| Ok(guarded(|| store.rest())?))
    }

    /// Removes the records of calls that ended before an instant; totals stay, and a purged call never counts again.
    /// With `recorded_before_ms` only those go that the ledger accepted before that instant, so that history which was
    /// read in lately can still be explained.
    ///
    /// # Errors
    /// `Refused` when the instant lies ahead; otherwise as [`Ledger::import`]. A purge that was interrupted is
    /// completed by the next.
    pub async fn purge(
        &self,
        before_ms: i64,
        recorded_before_ms: Option<i64>,
        dry_run: bool,
    ) -> Result<Purged, LedgerError> {
        if before_ms <= 0 || before_ms > self.shared().clock.now_ms().max(self.state().last_recorded_ms) {
            let problem = format!("{before_ms} ms is not in the past");
            return Err(Refusal::invalid("before_ms", problem, "milliseconds since 1970, up to now").into());
        }
        let this = self.clone();
        let look = move || {
            this.shared().slot.read(|store| {
                let before_seq = match recorded_before_ms {
                    Some(recorded_ms) => store.first_recorded_since(recorded_ms)?,
                    None => u64::MAX,
                };
                let cut = Cut {
                    horizon_ms: before_ms,
                    before_seq,
                };
                Ok((cut, store.count_before(&cut)?))
            })
        };
        let (cut, covered) = blocking(look).await?;
        let done = |records| Purged {
            records,
            horizon_ms: before_ms,
        };
        if dry_run || covered == 0 {
            return Ok(done(covered));
        }
        // The entry that tells of it comes first: a replay must know why records are missing.
        self.change(Change::Purge(cut)).await?;
        let mut records = 0;
        loop {
            let removed = self.bulk(|reply| Bulk::Purge(cut, reply)).await?;
            records += removed;
            if removed == 0 {
                return Ok(done(records));
            }
        }
    }

    /// Puts a copy of a ledger's file in the place of this ledger, which is kept aside.
    ///
    /// # Errors
    /// The file is not a sound ledger: nothing is changed then. `Unavailable` when the ledger cannot write.
    pub async fn restore(&self, from: &Path) -> Result<Swapped, LedgerError> {
        let (place, from) = (self.shared().place.clone(), from.to_owned());
        let stage = move || {
            let staged = guarded(|| place.stage(&from))?;
            Ok(Incoming { staged, from })
        };
        self.swap(Some(blocking(stage).await?)).await
    }

    /// Starts an empty ledger; the present one is kept aside.
    ///
    /// # Errors
    /// `Unavailable` when the ledger cannot write.
    pub async fn reset(&self) -> Result<Swapped, LedgerError> {
        self.swap(None).await
    }

    /// Where the ledger lies.
    pub fn path(&self) -> &Path {
        self.shared().place.path()
    }

    async fn swap(&self, staged: Option<Incoming>) -> Result<Swapped, LedgerError> {
        self.bulk(|reply| Bulk::Swap(staged, self.actor(), reply)).await
    }
}
