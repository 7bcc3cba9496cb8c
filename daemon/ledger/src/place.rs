//! Where a ledger lies: opens its store, sets it aside and puts another in its place. Nothing is ever deleted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::{Result, Store, StoreError, Verification};

/// Opens a store from a file; creates it when there is none.
pub(crate) type Open = dyn Fn(&Path) -> Opened + Send + Sync;

/// A store, or why it did not open.
pub(crate) type Opened = Result<Arc<dyn Store>>;

/// Checks a file that is not in use, without writing to it.
pub(crate) type Inspect = dyn Fn(&Path) -> Result<Verification> + Send + Sync;

/// How to deal with a kind of store's files.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) open: Arc<Open>,
    pub(crate) inspect: Arc<Inspect>,
}

/// The file of a ledger and how to open it.
#[derive(Clone)]
pub(crate) struct Place {
    path: PathBuf,
    kind: Kind,
}

impl Place {
    pub(crate) fn new(path: &Path, kind: Kind) -> Place {
        Place {
            path: path.to_owned(),
            kind,
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the ledger, or creates an empty one.
    pub(crate) fn open(&self) -> Opened {
        (self.kind.open)(&self.path)
    }

    /// Checks another ledger's file, which stays as it is.
    pub(crate) fn inspect(&self, path: &Path) -> Result<Verification> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_file() => (self.kind.inspect)(path),
            Ok(_) => Err(StoreError::Conflict(format!("{} is not a file", path.display()))),
            Err(error) => Err(StoreError::Conflict(format!("{}: {error}", path.display()))),
        }
    }

    /// Copies another ledger's file beside this one, durably, and checks that it is sound.
    pub(crate) fn stage(&self, from: &Path) -> Result<PathBuf> {
        let staged = self.beside("incoming");
        let copied = fs::copy(from, &staged).and_then(|_| File::open(&staged)?.sync_all());
        if let Err(error) = copied {
            self.unstage(&staged);
            return Err(failed("copying", from, &error));
        }
        let findings = self.inspect(&staged).map(|checked| checked.findings);
        match findings {
            Ok(findings) if findings.is_empty() => Ok(staged),
            Ok(findings) => {
                self.unstage(&staged);
                Err(StoreError::Damaged(format!(
                    "{}: {}",
                    from.display(),
                    findings.join("; ")
                )))
            }
            Err(error) => {
                self.unstage(&staged);
                Err(error)
            }
        }
    }

    /// Removes our own copy of a file that will not be put in place.
    pub(crate) fn unstage(&self, staged: &Path) {
        if let Err(error) = fs::remove_file(staged) {
            tracing::warn!(path = %staged.display(), %error, "a copy that is not needed stays behind");
        }
    }

    /// Moves the present file out of the way. The store must be closed.
    pub(crate) fn set_aside(&self, now_ms: i64) -> Result<PathBuf> {
        let aside = self.beside(&format!("set-aside-{now_ms}"));
        self.rename(&self.path, &aside)?;
        Ok(aside)
    }

    /// Moves a staged file, or one that was set aside, into the ledger's place.
    pub(crate) fn install(&self, from: &Path) -> Result<()> {
        self.rename(from, &self.path)
    }

    /// A name next to the ledger's that is not taken.
    fn beside(&self, what: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{what}"));
        let first = self.path.with_file_name(&name);
        let numbered = (1..).map(|n: u32| {
            let mut next = name.clone();
            next.push(format!("-{n}"));
            self.path.with_file_name(next)
        });
        std::iter::once(first.clone())
            .chain(numbered)
            .find(|p| !p.exists())
            .unwrap_or(first)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|error| failed("moving", from, &error))?;
        // The rename is durable only with its directory.
        let directory = self.path.parent().unwrap_or(Path::new("."));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| failed("writing", directory, &error))
    }
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    let text = format!("{doing} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull => StoreError::Full(text),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => StoreError::Conflict(text),
        _ => StoreError::Io(text),
    }
}
