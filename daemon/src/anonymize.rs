//! The key that veils names in anonymised exports: the caller's, or our own, which lies in the state directory and is
//! readable by its owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tokmon_core::refusal::Refusal;
use tokmon_core::veil::{MAX_KEY_BYTES, Veil};
use tokmon_ledger::{LedgerError, StoreError};

/// The file of our own key.
const FILE: &str = "anonymize.key";

/// The veil of a key; an empty one means our own. Blocks.
///
/// # Errors
/// The key is too short or too long, or our own cannot be read or made.
pub(crate) fn veil(key: &[u8], state_dir: &Path) -> Result<Veil, LedgerError> {
    if !key.is_empty() {
        return Ok(Veil::new(key)?);
    }
    let file = state_dir.join(FILE);
    let failed = |e: io::Error| LedgerError::Store(StoreError::Io(format!("{}: {e}", file.display())));
    let own = own(&file).map_err(failed)?;
    Veil::new(&own).map_err(|_| {
        let problem = format!("{} is not a key", file.display());
        Refusal::invalid("key", problem, "16 to 4096 bytes; remove the file for a new one").into()
    })
}

fn own(file: &Path) -> io::Result<Vec<u8>> {
    match fs::File::open(file) {
        Ok(open) => {
            let mut key = Vec::new();
            open.take(MAX_KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
            Ok(key)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => make(file),
        Err(e) => Err(e),
    }
}

/// Makes a key as a whole or not at all. Of two that make one at a time, the first wins.
fn make(file: &Path) -> io::Result<Vec<u8>> {
    let mut key = vec![0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let fresh = file.with_extension(format!("key.{}", uuid::Uuid::now_v7()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut new| new.write_all(&key).and_then(|()| new.sync_all()))
        .and_then(|()| fs::hard_link(&fresh, file));
    fs::remove_file(&fresh)?;
    match written {
        Ok(()) => Ok(key),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => fs::read(file),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn our_own_key_is_made_once_and_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = veil(b"", dir.path()).unwrap();
        assert_eq!(first.name("a"), veil(b"", dir.path()).unwrap().name("a"));
        assert_ne!(first.name("a"), veil(&[7; 32], dir.path()).unwrap().name("a"));
        let file = dir.path().join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::write(&file, "short").unwrap();
        assert!(veil(b"", dir.path()).is_err());
        assert!(veil(b"short", dir.path()).is_err());
    }
}
