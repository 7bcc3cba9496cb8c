//! Restores a backup, also when the ledger is so damaged that the daemon does not start: then the file is put
//! in its place here, under the daemon's own lock, and the damaged one is kept aside.

use std::fs::{self, File};
use std::future::Future;
use std::path::{Path, PathBuf};

use tokmon_client::{Client, Error, Kind, Paths};

use crate::context::Context;
use crate::failure::{invalid, io_error};
use crate::show;

/// What a restore did.
#[derive(Debug)]
pub(crate) struct Done {
    /// Entries of the restored ledger, when the daemon counted them.
    pub(crate) entries: Option<u64>,
    /// Where the former ledger is.
    pub(crate) set_aside: String,
}

/// Restores through the daemon, or by hand when it cannot start because of the ledger.
pub(crate) async fn run<F, A>(context: &Context, backup: &str, through_daemon: F) -> Result<Done, Error>
where
    F: FnOnce(Client, String) -> A,
    A: Future<Output = Result<(Option<u64>, String), Error>>,
{
    match context.client().await {
        Ok(client) => {
            let (entries, set_aside) = through_daemon(client, backup.to_owned()).await?;
            Ok(Done { entries, set_aside })
        }
        Err(error) if error.kind() == Kind::Damaged => {
            show::note(&format!(
                "tokmonctl: {error}\nThe daemon does not start, so the backup is put in place without it."
            ));
            let paths = Paths::from_env().map_err(|e| invalid(e.to_string()))?;
            let set_aside = by_hand(&paths, Path::new(backup))?;
            // Starting tells whether the backup is sound; if it is not, the former ledger comes back.
            match context.client().await {
                Ok(_) => Ok(Done {
                    entries: None,
                    set_aside: set_aside.display().to_string(),
                }),
                Err(error) => {
                    put_back(&paths, &set_aside)?;
                    Err(
                        Error::new(error.kind(), format!("{} cannot be used: {error}", backup))
                            .with_hint("the former ledger is in its place again"),
                    )
                }
            }
        }
        Err(error) => Err(error),
    }
}

/// Copies the backup beside the ledger, moves the ledger aside and the copy in its place.
fn by_hand(paths: &Paths, backup: &Path) -> Result<PathBuf, Error> {
    let _lock = lock(paths)?;
    let ledger = paths.ledger_file();
    let fresh = ledger.with_extension("restoring");
    let copied = fs::copy(backup, &fresh).and_then(|_| File::open(&fresh)?.sync_all());
    if let Err(e) = copied {
        let _ = fs::remove_file(&fresh);
        return Err(io_error("copy", backup.display(), &e));
    }
    let aside = aside(&ledger);
    fs::rename(&ledger, &aside).map_err(|e| io_error("move", ledger.display(), &e))?;
    if let Err(e) = fs::rename(&fresh, &ledger) {
        // The ledger must not be missing, whatever else happens.
        let _ = fs::rename(&aside, &ledger);
        return Err(io_error("put in place", fresh.display(), &e));
    }
    sync_dir(&paths.state_dir)?;
    Ok(aside)
}

fn put_back(paths: &Paths, aside: &Path) -> Result<(), Error> {
    let _lock = lock(paths)?;
    let ledger = paths.ledger_file();
    fs::rename(aside, &ledger).map_err(|e| io_error("put back", aside.display(), &e))?;
    sync_dir(&paths.state_dir)
}

/// The lock that a running daemon holds.
fn lock(paths: &Paths) -> Result<File, Error> {
    let file = paths.lock_file();
    let lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .map_err(|e| io_error("open", file.display(), &e))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(Error::new(Kind::Conflict, "a daemon uses the ledger now")
            .with_hint("stop it with `tokmonctl daemon stop`, then try again")),
        Err(fs::TryLockError::Error(e)) => Err(io_error("lock", file.display(), &e)),
    }
}

fn aside(ledger: &Path) -> PathBuf {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ");
    ledger.with_extension(format!("damaged-{stamp}.redb"))
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| io_error("write", dir.display(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::under(dir.path());
        fs::create_dir_all(&paths.state_dir).unwrap();
        fs::write(paths.ledger_file(), "damaged").unwrap();
        (dir, paths)
    }

    #[test]
    fn the_damaged_ledger_is_kept_and_comes_back() {
        let (dir, paths) = home();
        let backup = dir.path().join("backup");
        fs::write(&backup, "sound").unwrap();
        let aside = by_hand(&paths, &backup).unwrap();
        assert_eq!(fs::read_to_string(paths.ledger_file()).unwrap(), "sound");
        assert_eq!(fs::read_to_string(&aside).unwrap(), "damaged");
        put_back(&paths, &aside).unwrap();
        assert_eq!(fs::read_to_string(paths.ledger_file()).unwrap(), "damaged");
    }

    #[test]
    fn a_missing_backup_changes_nothing() {
        let (dir, paths) = home();
        let error = by_hand(&paths, &dir.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(fs::read_to_string(paths.ledger_file()).unwrap(), "damaged");
        assert_eq!(
            fs::read_dir(&paths.state_dir).unwrap().count(),
            2,
            "only the ledger and the lock"
        );
    }

    #[test]
    fn a_running_daemon_is_left_alone() {
        let (dir, paths) = home();
        let held = lock(&paths).unwrap();
        let error = by_hand(&paths, &dir.path().join("backup")).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        drop(held);
    }
}
