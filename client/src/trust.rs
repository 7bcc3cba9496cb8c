//! Whether a socket may be talked to: its directory, the file and the process behind it must be ours.
//!
//! Another user who could place a socket where we look would read what our agents do, so a wrong owner
//! or an open directory is an error, never a warning.

use std::path::Path;

use crate::Error;

/// The user who runs this process, as the system tells without a system call of our own.
#[cfg(unix)]
fn our_uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    if let Ok(own) = std::fs::metadata("/proc/self") {
        return Some(own.uid());
    }
    let home = std::env::var_os("HOME")?;
    Some(std::fs::metadata(home).ok()?.uid())
}

/// Checks the directory of the socket and the socket itself. A missing one is `Ok(false)`.
#[cfg(unix)]
pub(crate) fn socket_is_ours(socket: &Path) -> Result<bool, Error> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
    use tokmon_proto::error::Kind;

    let dir = match socket.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let forbidden = |message: String| {
        Error::new(Kind::Forbidden, message)
            .with_hint("set TOKMON_HOME to a directory of your own, or remove the one that is in the way")
    };
    let about = |what: &Path| match std::fs::symlink_metadata(what) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if is_missing(&e) => Ok(None),
        Err(e) => Err(forbidden(format!("cannot look at {}: {e}", what.display()))),
    };
    let found = match std::fs::metadata(dir) {
        Ok(meta) => meta,
        Err(e) if is_missing(&e) => return Ok(false),
        Err(e) => return Err(forbidden(format!("cannot look at {}: {e}", dir.display()))),
    };
    if !found.is_dir() {
        return Err(forbidden(format!("{} is not a directory", dir.display())));
    }
    let Some(uid) = our_uid() else {
        return Err(forbidden("cannot tell which user runs this program".to_owned()));
    };
    if found.uid() != uid {
        return Err(forbidden(format!(
            "{} belongs to user {}, not to user {uid} who runs this program",
            dir.display(),
            found.uid()
        )));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(forbidden(format!(
            "{} is open to other users (mode {mode:04o}); the socket's directory must have mode 0700",
            dir.display()
        ))
        .with_hint(format!("chmod 700 {}", dir.display())));
    }
    let Some(file) = about(socket)? else {
        return Ok(false);
    };
    if !file.file_type().is_socket() {
        return Err(forbidden(format!("{} is not a socket", socket.display())));
    }
    if file.uid() != uid {
        return Err(forbidden(format!(
            "{} belongs to user {}, not to user {uid} who runs this program",
            socket.display(),
            file.uid()
        )));
    }
    Ok(true)
}

/// Elsewhere the system's own access control on the pipe decides.
#[cfg(not(unix))]
pub(crate) fn socket_is_ours(_socket: &Path) -> Result<bool, Error> {
    Ok(true)
}

#[cfg(unix)]
fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    use tokmon_proto::error::Kind;

    fn dir(mode: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        dir
    }

    #[test]
    fn our_own_closed_directory_is_trusted() {
        let dir = dir(0o700);
        let socket = dir.path().join("s");
        assert_eq!(socket_is_ours(&socket), Ok(false));
        let _listener = UnixListener::bind(&socket).unwrap();
        assert_eq!(socket_is_ours(&socket), Ok(true));
    }

    #[test]
    fn a_missing_directory_means_no_daemon() {
        let dir = dir(0o700);
        assert_eq!(socket_is_ours(&dir.path().join("none/s")), Ok(false));
    }

    #[test]
    fn an_open_directory_is_refused() {
        for mode in [0o755, 0o770, 0o701, 0o777] {
            let dir = dir(mode);
            let error = socket_is_ours(&dir.path().join("s")).unwrap_err();
            assert_eq!(error.kind(), Kind::Forbidden);
            assert!(error.message.contains("0700"), "{error}");
        }
    }

    #[test]
    fn a_plain_file_is_refused() {
        let dir = dir(0o700);
        let file = dir.path().join("s");
        fs::write(&file, "").unwrap();
        let error = socket_is_ours(&file).unwrap_err();
        assert!(error.message.contains("not a socket"), "{error}");
    }
}
