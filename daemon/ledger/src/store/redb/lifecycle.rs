//! A file's life: made under another name and put in place when it is whole, opened by one process, refused
//! when it is newer or damaged, never started anew over data that cannot be read.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, StorageBackend, TableError,
};

use super::super::{Result, SCHEMA_VERSION, StoreError};
use super::RedbStore;
use super::codec::{seal, unseal};
use super::handle::{Backing, Handle, guarded};
use super::names::Cache;
use super::{migrate, tables};

/// Above this size the allocator's state is written with each commit: rebuilding it after a crash would read
/// the whole file, 3 s at 2.6 GB. Below, that costs less than the second fsync of every commit.
pub const QUICK_REPAIR_ABOVE: u64 = 2 * 1024 * 1024 * 1024;

/// Ends the name of a file that is being made.
const UNFINISHED: &str = ".new";

const SCHEMA_KEY: &str = "schema";
const HORIZON_KEY: &str = "horizon";

impl RedbStore {
    /// Opens the ledger at `path`, or makes an empty one when there is nothing. `cache_bytes` bounds the memory
    /// for pages.
    ///
    /// # Errors
    /// `InUse`, `Newer` (the file stays as it is), `Damaged` (it is neither repaired nor replaced), `Full`, `Io`.
    pub fn open_or_create(path: &Path, cache_bytes: usize) -> Result<RedbStore> {
        match RedbStore::create(path, cache_bytes) {
            Err(StoreError::Conflict(_)) => RedbStore::open(path, cache_bytes),
            other => other,
        }
    }

    /// Opens an existing ledger and brings it to the present schema.
    ///
    /// # Errors
    /// As [`RedbStore::open_or_create`]; `Io` when there is no such file.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<RedbStore> {
        clean_up(path);
        look(path, cache_bytes)?;
        let backing = file_backing(path, cache_bytes);
        let db = backing.database()?;
        let found = guarded(|| schema_of(&db))?;
        let db = migrate::to_present(path, db, found, || backing.database())?;
        guarded(|| complete(&db))?;
        Ok(RedbStore {
            handle: Handle::new(backing, db),
            names: Cache::default(),
        })
    }

    /// Makes an empty ledger at `path`: under another name first, so that a crash leaves either nothing or a
    /// whole one.
    ///
    /// # Errors
    /// `Conflict` when `path` exists, whatever it holds; `Full`, `Io`.
    pub fn create(path: &Path, cache_bytes: usize) -> Result<RedbStore> {
        if path.symlink_metadata().is_ok() {
            return Err(StoreError::Conflict(format!("{} exists already", path.display())));
        }
        clean_up(path);
        let unfinished = Unfinished::begin(path)?;
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes);
        let db = builder.create_file(unfinished.file()?)?;
        initialise(&db)?;
        drop(db);
        unfinished.publish(path)?;
        RedbStore::open(path, cache_bytes)
    }

    /// Opens or makes a ledger on bytes that live elsewhere than in a file of this system: for drills that cut
    /// the power or fill the disk. `open` yields the backend anew whenever the store has to open it again.
    ///
    /// # Errors
    /// As [`RedbStore::open`].
    pub fn on_backend<B: StorageBackend>(
        open: impl Fn() -> std::io::Result<B> + Send + Sync + 'static,
        cache_bytes: usize,
    ) -> Result<RedbStore> {
        let backing = Backing {
            open: Box::new(move |builder| builder.create_with_backend(open().map_err(DatabaseError::from)?)),
            size: Box::new(|| 0),
            cache_bytes,
        };
        let db = backing.database()?;
        let found = guarded(|| match schema_of(&db) {
            Err(StoreError::Damaged(_)) if is_blank(&db)? => {
                initialise(&db)?;
                Ok(SCHEMA_VERSION)
            }
            other => other,
        })?;
        if found != SCHEMA_VERSION {
            return Err(newer(found));
        }
        guarded(|| complete(&db))?;
        Ok(RedbStore {
            handle: Handle::new(backing, db),
            names: Cache::default(),
        })
    }

    /// Closes the file and opens it again. The store does so by itself after an I/O error.
    ///
    /// # Errors
    /// Whatever opening reports; later calls try again.
    pub fn reopen(&self) -> Result<()> {
        self.names.clear();
        self.handle.reopen()
    }
}

fn file_backing(path: &Path, cache_bytes: usize) -> Backing {
    let (to_open, to_measure) = (path.to_owned(), path.to_owned());
    Backing {
        open: Box::new(move |builder| builder.open(&to_open)),
        size: Box::new(move || occupied(&to_measure)),
        cache_bytes,
    }
}

/// Bytes that a file takes on disk: redb's files are sparse, so their length says too much.
#[cfg(unix)]
pub(super) fn occupied(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    path.metadata()
        .map_or(0, |m| m.blocks().saturating_mul(512).min(m.len()))
}

/// Bytes that a file takes on disk.
#[cfg(not(unix))]
pub(super) fn occupied(path: &Path) -> u64 {
    path.metadata().map_or(0, |m| m.len())
}

/// Looks at a file without writing to it: one that is newer, or none of ours, keeps every byte. A file that
/// was not closed cannot be looked at this way; opening it repairs it first, which changes no row.
fn look(path: &Path, cache_bytes: usize) -> Result<()> {
    let found = guarded(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes);
        match builder.open_read_only(path) {
            Ok(db) => schema_read_only(&db).map(Some),
            Err(DatabaseError::RepairAborted) => Ok(None),
            Err(e) => Err(e.into()),
        }
    });
    match found {
        Ok(Some(found)) if found > SCHEMA_VERSION => Err(newer(found)),
        Ok(_) => Ok(()),
        Err(StoreError::Io(why)) => Err(StoreError::Io(format!("{}: {why}", path.display()))),
        Err(e) => Err(e),
    }
}

fn schema_read_only(db: &ReadOnlyDatabase) -> Result<u32> {
    read_schema(&db.begin_read()?)
}

/// The schema of an open file; `Newer` when this program does not know it.
pub(super) fn schema_of(db: &Database) -> Result<u32> {
    let found = read_schema(&db.begin_read()?)?;
    if found > SCHEMA_VERSION {
        return Err(newer(found));
    }
    Ok(found)
}

fn newer(found: u32) -> StoreError {
    StoreError::Newer {
        found,
        known: SCHEMA_VERSION,
    }
}

fn read_schema(txn: &redb::ReadTransaction) -> Result<u32> {
    let meta = match txn.open_table(tables::META) {
        Err(TableError::TableDoesNotExist(_)) => return Err(not_ours()),
        other => other?,
    };
    let row = meta.get(SCHEMA_KEY)?.ok_or_else(not_ours)?;
    let body = unseal(SCHEMA_KEY.as_bytes(), row.value(), "the schema version")?;
    body.try_into().map(u32::from_le_bytes).map_err(|_| not_ours())
}

fn not_ours() -> StoreError {
    StoreError::Damaged("the file is a database, but not a tokmon ledger".to_owned())
}

fn is_blank(db: &Database) -> Result<bool> {
    Ok(db.begin_read()?.list_tables()?.next().is_none())
}

/// Writes the schema version inside a transaction.
pub(super) fn put_schema(txn: &redb::WriteTransaction, version: u32) -> Result<()> {
    let mut value = Vec::new();
    seal(SCHEMA_KEY.as_bytes(), &mut value, |out| {
        out.extend_from_slice(&version.to_le_bytes())
    });
    txn.open_table(tables::META)?
        .insert(SCHEMA_KEY, value.as_slice())?;
    Ok(())
}

/// Before this instant calls were purged; 0 when none were.
pub(super) fn read_horizon(meta: &impl redb::ReadableTable<&'static str, &'static [u8]>) -> Result<i64> {
    let Some(row) = meta.get(HORIZON_KEY)? else {
        return Ok(0);
    };
    let body = unseal(HORIZON_KEY.as_bytes(), row.value(), "the purge horizon")?;
    body.try_into()
        .map(i64::from_le_bytes)
        .map_err(|_| StoreError::Damaged("the purge horizon".to_owned()))
}

/// The inverse of [`read_horizon`].
pub(super) fn put_horizon(txn: &redb::WriteTransaction, horizon_ms: i64) -> Result<()> {
    let mut value = Vec::new();
    seal(HORIZON_KEY.as_bytes(), &mut value, |out| {
        out.extend_from_slice(&horizon_ms.to_le_bytes())
    });
    txn.open_table(tables::META)?
        .insert(HORIZON_KEY, value.as_slice())?;
    Ok(())
}

/// Makes every table, so that reads never meet a missing one.
pub(super) fn initialise(db: &Database) -> Result<()> {
    let txn = db.begin_write()?;
    put_schema(&txn, SCHEMA_VERSION)?;
    txn.open_table(tables::ENTRY)?;
    txn.open_table(tables::TIME)?;
    txn.open_table(tables::KEY)?;
    txn.open_table(tables::PURGED)?;
    txn.open_table(tables::ALIAS)?;
    txn.open_table(tables::DICT)?;
    txn.open_table(tables::DICT_REV)?;
    txn.open_table(tables::ROLL_COARSE)?;
    txn.open_table(tables::ROLL_FULL)?;
    txn.open_table(tables::SESSION)?;
    txn.open_table(tables::POSITION)?;
    txn.open_table(tables::DROPPED)?;
    txn.open_table(tables::CHAIN)?;
    txn.open_table(tables::STATE)?;
    txn.commit()?;
    Ok(())
}

/// Makes the tables that came after the first files of this schema: they begin empty.
fn complete(db: &Database) -> Result<()> {
    match db.begin_read()?.open_table(tables::ALIAS) {
        Err(TableError::TableDoesNotExist(_)) => {}
        other => return other.map(drop).map_err(Into::into),
    }
    let txn = db.begin_write()?;
    txn.open_table(tables::ALIAS)?;
    txn.commit()?;
    Ok(())
}

/// A file that is being made. When it is dropped unpublished, it goes.
pub(super) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Takes a name beside `target`. The process's id is in it, so that two that make the same file never
    /// write into each other's.
    pub(super) fn begin(target: &Path) -> Result<Unfinished> {
        let mut name = target
            .file_name()
            .ok_or_else(|| StoreError::Conflict(format!("{} is not a file name", target.display())))?
            .to_owned();
        name.push(format!(".{}{UNFINISHED}", std::process::id()));
        Ok(Unfinished {
            path: target.with_file_name(name),
        })
    }

    /// Creates it, readable by its owner only.
    pub(super) fn file(&self) -> Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => StoreError::InUse,
            _ => named(&self.path, &e),
        })
    }

    /// Makes it durable and puts it at `target`, unless something is there.
    pub(super) fn publish(self, target: &Path) -> Result<()> {
        File::open(&self.path)?.sync_all()?;
        // A link, unlike a rename, never replaces what somebody else has put there meanwhile.
        match std::fs::hard_link(&self.path, target) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(StoreError::Conflict(format!(
                    "{} exists already",
                    target.display()
                )));
            }
            // File systems without links.
            Err(_) if target.symlink_metadata().is_err() => std::fs::rename(&self.path, target)?,
            Err(e) => return Err(named(target, &e)),
        }
        // On some systems a directory cannot be opened; there a rename is durable by itself.
        if let Ok(directory) = File::open(directory_of(target)) {
            directory.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After publishing by rename it is gone already.
        if let Err(e) = std::fs::remove_file(&self.path)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), error = %e, "an unfinished file stays behind");
        }
    }
}

fn named(path: &Path, e: &std::io::Error) -> StoreError {
    match super::fault::of_io(e) {
        StoreError::Io(why) => StoreError::Io(format!("{}: {why}", path.display())),
        other => other,
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Removes what interrupted creations and backups of this file left behind.
fn clean_up(path: &Path) {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return;
    };
    let Ok(directory) = std::fs::read_dir(directory_of(path)) else {
        return;
    };
    for found in directory.flatten() {
        let file = found.file_name();
        let id = file
            .to_str()
            .and_then(|f| f.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(UNFINISHED));
        let Some(id) = id else { continue };
        if !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) {
            let removed = std::fs::remove_file(found.path());
            tracing::info!(path = %found.path().display(), ok = removed.is_ok(), "removed an unfinished file");
        }
    }
}
