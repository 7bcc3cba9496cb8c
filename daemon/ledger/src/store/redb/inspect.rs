//! Looking into a file that is not in use, without writing a byte to it.

use std::path::Path;

use redb::{Builder, Database, DatabaseError};

use super::super::{Result, StoreError, Verification};
use super::handle::guarded;
use super::names::Cache;
use super::overlay::Overlay;
use super::read::Reader;
use super::{RedbStore, lifecycle, verify};

impl RedbStore {
    /// Checks a ledger that is not in use, such as a backup: the trees' own checksums, then everything that
    /// [`verify`](super::super::Store::verify) checks. The file is not changed, not even repaired.
    ///
    /// # Errors
    /// `InUse`, `Newer`, `Damaged` when the file cannot be opened at all, `Io`.
    pub fn verify_file(path: &Path, cache_bytes: usize) -> Result<Verification> {
        let mut db = open_unchanged(path, cache_bytes)?;
        guarded(|| lifecycle::schema_of(&db))?;
        let whole = guarded(|| Ok(db.check_integrity()?));
        let cache = Cache::default();
        let mut verification = match whole {
            Ok(_) => guarded(|| verify::verify(&Reader::begin(&db, &cache)?))?,
            Err(StoreError::Damaged(_)) => Verification::default(),
            Err(other) => return Err(other),
        };
        match whole {
            Ok(true) => {}
            Ok(false) => verification
                .findings
                .insert(0, "the file's trees had to be repaired".to_owned()),
            Err(e) => verification.findings.insert(0, e.to_string()),
        }
        Ok(verification)
    }
}

/// Opens a file so that whatever is written goes to memory.
pub(super) fn open_unchanged(path: &Path, cache_bytes: usize) -> Result<Database> {
    guarded(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes);
        // Somebody who writes to it holds the lock; a damaged file has nobody who does.
        if let Err(DatabaseError::DatabaseAlreadyOpen) = builder.open_read_only(path) {
            return Err(StoreError::InUse);
        }
        Ok(builder.create_with_backend(Overlay::open(path)?)?)
    })
}
