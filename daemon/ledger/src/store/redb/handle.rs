//! The open database: guards every call against panics and opens the file again after an I/O error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use redb::{Builder, Database, DatabaseError, Durability, WriteTransaction};

use super::super::{Result, StoreError};
use super::fault::of_panic;
use super::lifecycle::QUICK_REPAIR_ABOVE;

/// Opens a database with the settings of a builder.
type Opener = dyn Fn(&Builder) -> std::result::Result<Database, DatabaseError> + Send + Sync;

/// Where the bytes are.
pub(super) struct Backing {
    /// Opens them as a database; called again after an I/O error.
    pub(super) open: Box<Opener>,
    /// How many bytes they take.
    pub(super) size: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Memory for pages.
    pub(super) cache_bytes: usize,
}

impl Backing {
    /// Opens the database.
    pub(super) fn database(&self) -> Result<Database> {
        guarded(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(self.cache_bytes);
            Ok((self.open)(&builder)?)
        })
    }
}

/// Runs `f`; a panic inside becomes [`StoreError::Damaged`].
pub(super) fn guarded<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(of_panic(&*panic)))
}

/// See the module.
pub(super) struct Handle {
    backing: Backing,
    db: RwLock<Option<Database>>,
    /// The database has failed in a way from which only opening it again recovers.
    broken: AtomicBool,
}

impl Handle {
    pub(super) fn new(backing: Backing, db: Database) -> Handle {
        Handle {
            backing,
            db: RwLock::new(Some(db)),
            broken: AtomicBool::new(false),
        }
    }

    /// Runs `f` on the open database.
    pub(super) fn run<T>(&self, f: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        if self.broken.load(Ordering::Acquire) {
            self.reopen()?;
        }
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_ref().ok_or_else(closed)?;
        self.watch(|| f(db))
    }

    /// Runs `f` while nobody else uses the database.
    pub(super) fn exclusive<T>(&self, f: impl FnOnce(&mut Database) -> Result<T>) -> Result<T> {
        if self.broken.load(Ordering::Acquire) {
            self.reopen()?;
        }
        let mut db = self.lock();
        let db = db.as_mut().ok_or_else(closed)?;
        self.watch(|| f(db))
    }

    /// Closes the file and opens it again, unless another thread has just done so.
    pub(super) fn reopen(&self) -> Result<()> {
        let mut db = self.lock();
        if db.is_some() && !self.broken.load(Ordering::Acquire) {
            return Ok(());
        }
        let old = db.take();
        guarded(|| {
            drop(old);
            Ok(())
        })?;
        *db = Some(self.backing.database()?);
        self.broken.store(false, Ordering::Release);
        Ok(())
    }

    /// Closes the file and opens it again, so that its pages leave memory: the library has no other way. Does nothing
    /// while anybody uses the database. If it cannot be opened again, the next call tries.
    pub(super) fn refresh(&self) -> Result<()> {
        let Ok(mut db) = self.db.try_write() else {
            return Ok(());
        };
        if db.is_none() || self.broken.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let old = db.take();
        guarded(|| {
            drop(old);
            Ok(())
        })?;
        *db = Some(self.backing.database()?);
        self.broken.store(false, Ordering::Release);
        Ok(())
    }

    /// Begins a durable transaction.
    pub(super) fn begin_write(&self, db: &Database) -> Result<WriteTransaction> {
        let mut txn = db.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        txn.set_quick_repair(self.file_bytes() > QUICK_REPAIR_ABOVE);
        Ok(txn)
    }

    /// Bytes that the file occupies.
    pub(super) fn file_bytes(&self) -> u64 {
        (self.backing.size)()
    }

    fn watch<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(result) => {
                if matches!(result, Err(StoreError::Io(_) | StoreError::Full(_))) {
                    self.broken.store(true, Ordering::Release);
                }
                result
            }
            Err(panic) => {
                self.broken.store(true, Ordering::Release);
                Err(of_panic(&*panic))
            }
        }
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Option<Database>> {
        self.db.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> StoreError {
    StoreError::Io("the file could not be opened again".to_owned())
}
