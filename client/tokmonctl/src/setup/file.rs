//! One file of an agent's configuration: read as it is, replaced as a whole or not at all, and never under somebody
//! else's hands.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use tokmon_client::{Error, Kind};

use crate::failure::{invalid, io_error};

/// Largest file that is edited: agents' own files stay far below it.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Longest chain of symbolic links that is followed.
const MAX_LINKS: usize = 16;

/// A file as it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The file itself: a link is followed, not replaced.
    pub(super) path: PathBuf,
    /// Its text; `None`: there is no file.
    pub(super) text: Option<String>,
    /// Who may do what with it, in the system's bits. `None`: there is no file, or the system has no such bits.
    pub(super) mode: Option<u32>,
}

impl Found {
    /// Looks at a file.
    pub(super) fn at(named: &Path) -> Result<Found, Error> {
        let path = followed(named)?;
        let seen = fs::metadata(&path);
        let mode = seen.as_ref().ok().and_then(mode_of);
        let text = match seen {
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(io_error("look at", path.display(), &e)),
            Ok(found) if !found.is_file() => {
                return Err(invalid(format!("{} is not a regular file", path.display())));
            }
            Ok(found) if found.len() > MAX_BYTES => {
                let message = format!("{} is larger than {MAX_BYTES} bytes", path.display());
                return Err(invalid(message));
            }
            Ok(_) => {
                let bytes = fs::read(&path).map_err(|e| io_error("read", path.display(), &e))?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| invalid(format!("{} is not UTF-8; nothing was changed", path.display())))?;
                Some(text)
            }
        };
        Ok(Found { path, text, mode })
    }

    /// What it says; nothing when there is no file.
    pub(super) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Puts another text in its place, or removes it, unless somebody changed it meanwhile. It keeps its mode unless
    /// another is given.
    pub(super) fn replace(&self, text: Option<&str>, mode: Option<u32>) -> Result<(), Error> {
        let path = &self.path;
        let Some(text) = text else {
            self.unchanged()?;
            return fs::remove_file(path).map_err(|e| io_error("remove", path.display(), &e));
        };
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(|e| io_error("create", dir.display(), &e))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let draft = dir.join(format!(".{name}.tokmon-{}", std::process::id()));
        let replaced = write(&draft, text, path, mode)
            .map_err(|e| io_error("write", draft.display(), &e))
            .and_then(|()| self.unchanged())
            .and_then(|()| fs::rename(&draft, path).map_err(|e| io_error("replace", path.display(), &e)));
        if replaced.is_err() {
            // A draft that did not come to anything is of no use to anybody.
            let _ = fs::remove_file(&draft);
        }
        replaced
    }

    fn unchanged(&self) -> Result<(), Error> {
        if Found::at(&self.path)?.text == self.text {
            return Ok(());
        }
        let message = format!("{} was changed by somebody else meanwhile", self.path.display());
        Err(Error::new(Kind::Conflict, message).with_hint("nothing was lost; run the command again"))
    }
}

#[cfg(unix)]
fn mode_of(of: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(of.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode_of(_: &fs::Metadata) -> Option<u32> {
    None
}

/// Writes a draft that will take the place of `of`, with its mode, unless another is given, and its owner.
fn write(draft: &Path, text: &str, of: &Path, mode: Option<u32>) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if let Some(mode) = mode {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    }
    let mut file = options.open(draft)?;
    if let Ok(found) = fs::metadata(of) {
        #[cfg(unix)]
        let permissions = mode.map_or(found.permissions(), std::os::unix::fs::PermissionsExt::from_mode);
        #[cfg(not(unix))]
        let permissions = found.permissions();
        file.set_permissions(permissions)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, fchown};
            let new = file.metadata()?;
            if (new.uid(), new.gid()) != (found.uid(), found.gid()) {
                fchown(&file, Some(found.uid()), Some(found.gid()))?;
            }
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Where a chain of links ends, also when nothing is there yet.
fn followed(named: &Path) -> Result<PathBuf, Error> {
    let mut path = named.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(to) => path = path.parent().unwrap_or(Path::new("/")).join(to),
            Err(_) => return Ok(path),
        }
    }
    Err(invalid(format!(
        "{} is a link that leads nowhere",
        named.display()
    )))
}

/// Keeps a text for later, for nobody else's eyes.
pub(super) fn keep(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |e: &std::io::Error| io_error("write", path.display(), e);
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(dir)
        .map_err(|e| io_error("create", dir.display(), &e))?;
    let draft = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut file: File| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(&draft, path))
        .map_err(|e| failed(&e))
}

/// Removes what was kept, if it was.
pub(super) fn forget(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io_error("remove", path.display(), &e)),
        _ => Ok(()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_link_is_followed_and_the_mode_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.json"), dir.path().join("link.json"));
        fs::write(&real, "{}").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.json", &link).unwrap();
        Found::at(&link)
            .unwrap()
            .replace(Some("{\"a\":1}"), None)
            .unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "{\"a\":1}");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn a_link_to_what_is_not_there_yet_is_filled() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link.json");
        symlink("dots/real.json", &link).unwrap();
        Found::at(&link).unwrap().replace(Some("{}"), None).unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join("dots/real.json")).unwrap(),
            "{}"
        );
        symlink("loop", dir.path().join("loop")).unwrap();
        assert!(Found::at(&dir.path().join("loop")).is_err());
    }

    #[test]
    fn somebody_elses_change_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.json");
        fs::write(&file, "{}").unwrap();
        let found = Found::at(&file).unwrap();
        fs::write(&file, "{\"new\":1}").unwrap();
        let error = found.replace(Some("{\"ours\":1}"), None).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\"new\":1}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn what_is_no_text_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            Found::at(dir.path())
                .unwrap_err()
                .message
                .contains("regular file")
        );
        let file = dir.path().join("a");
        fs::write(&file, b"\xff\xfe").unwrap();
        assert!(Found::at(&file).unwrap_err().message.contains("UTF-8"));
    }
}
