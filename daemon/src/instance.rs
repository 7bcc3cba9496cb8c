//! One daemon per state directory: a lock file, held for life.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::Failure;

/// Holds the lock until it is dropped; the system drops it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Instance {
    _lock: File,
    /// The user that this process creates files as.
    pub uid: u32,
}

impl Instance {
    /// Takes the lock. Errors: conflict when another daemon holds it, unavailable when it cannot be created.
    pub(crate) fn acquire(lock_file: &Path) -> Result<Instance, Failure> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(lock_file)
            .map_err(|e| Failure::unavailable(format!("cannot open {}: {e}", lock_file.display())))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The pid is only a help for people; a lock without one is still a lock.
                let _ = (&mut file).take(20).read_to_string(&mut pid);
                return Err(Failure::conflict(format!(
                    "another tokmond (pid {}) is running on {}",
                    pid.trim(),
                    lock_file.parent().unwrap_or(lock_file).display()
                )));
            }
            Err(TryLockError::Error(e)) => {
                return Err(Failure::unavailable(format!(
                    "cannot lock {}: {e}",
                    lock_file.display()
                )));
            }
        }
        let write_pid = |file: &mut File| -> io::Result<u32> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())?;
            Ok(file.metadata()?.uid())
        };
        let uid = write_pid(&mut file)
            .map_err(|e| Failure::unavailable(format!("cannot write {}: {e}", lock_file.display())))?;
        Ok(Instance { _lock: file, uid })
    }
}

/// Makes a directory, closed to others when it is new, and tells what is there.
fn directory(dir: &Path) -> Result<fs::Metadata, Failure> {
    let fail = |e: io::Error| Failure::unavailable(format!("cannot use directory {}: {e}", dir.display()));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(fail)?;
    let meta = fs::symlink_metadata(dir).map_err(fail)?;
    if !meta.is_dir() {
        return Err(Failure::forbidden(format!(
            "{} is not a directory (a link is not allowed here)",
            dir.display()
        )));
    }
    Ok(meta)
}

/// Makes a directory that only we can enter, or checks that the one that exists is ours and closed to others.
pub(crate) fn private_dir(dir: &Path) -> Result<(), Failure> {
    let meta = directory(dir)?;
    if meta.permissions().mode() & 0o077 != 0 {
        // Only the owner may do this, so it fails when the directory is somebody else's.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(|e| {
            Failure::forbidden(format!(
                "{} is open to others and cannot be closed: {e}",
                dir.display()
            ))
        })?;
    }
    Ok(())
}

/// Makes the directory that the socket lies in, or checks the one that exists. It may be anybody's that a variable
/// names, so what is wrong with it is told and not changed.
pub(crate) fn socket_dir(dir: &Path, uid: u32) -> Result<(), Failure> {
    let meta = directory(dir)?;
    if meta.uid() != uid {
        return Err(Failure::forbidden(format!(
            "{} belongs to user {}, not to user {uid} who runs this program",
            dir.display(),
            meta.uid()
        )));
    }
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Failure::forbidden(format!(
            "{} is open to other users (mode {mode:04o}); the socket's directory must have mode 0700",
            dir.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokmond.lock");
        let first = Instance::acquire(&path).unwrap();
        let error = Instance::acquire(&path).unwrap_err();
        assert_eq!(error.exit_code(), 73);
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(first);
        Instance::acquire(&path).unwrap();
    }

    #[test]
    fn directories_are_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        private_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
    #[test]
    fn the_sockets_directory_is_told_about_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let uid = fs::metadata(dir.path()).unwrap().uid();
        let path = dir.path().join("a/b");
        socket_dir(&path, uid).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(socket_dir(&path, uid + 1).unwrap_err().exit_code(), 77);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).unwrap();
        let error = socket_dir(&path, uid).unwrap_err();
        assert_eq!(error.exit_code(), 77);
        assert!(error.to_string().contains("0700"), "{error}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o1777);
    }
}
