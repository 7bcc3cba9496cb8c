//! What is remembered of a file of an agent, so that taking out what is ours gives it back to the byte: its text and
//! mode before we came, and its text since.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use tokmon_client::Error;

use super::file::{self, Found};

/// Where it is remembered.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    base: PathBuf,
}

impl Kept {
    /// What is remembered of `file` below `dir`, under the file's whole path: an agent may have several homes.
    pub(super) fn of(dir: &Path, file: &Path) -> Kept {
        let names = file.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        });
        Kept {
            base: names.fold(dir.to_path_buf(), |path, name| path.join(name)),
        }
    }

    fn with(&self, suffix: &str) -> PathBuf {
        let mut name: OsString = self.base.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// The former version.
    pub(super) fn before(&self) -> PathBuf {
        self.with(".before")
    }

    /// The former version was that there was none.
    fn absent(&self) -> PathBuf {
        self.with(".absent")
    }

    fn after(&self) -> PathBuf {
        self.with(".after")
    }

    fn mode(&self) -> PathBuf {
        self.with(".mode")
    }

    /// The former version, when nobody has changed the file since we did. The inner `None`: there was no file.
    pub(super) fn exact(&self, now: Option<&str>) -> Result<Option<Option<String>>, Error> {
        let after = Found::at(&self.after())?.text;
        if after.is_none() || after.as_deref() != now {
            return Ok(None);
        }
        let before = Found::at(&self.before())?.text;
        Ok(if before.is_none() && !self.absent().exists() {
            None
        } else {
            Some(before)
        })
    }

    /// Whether we changed the file, and have not taken that back.
    pub(super) fn is_any(&self) -> bool {
        self.after().exists()
    }

    /// The mode that the file had before we closed it to others.
    pub(super) fn former_mode(&self) -> Result<Option<u32>, Error> {
        let text = Found::at(&self.mode())?.text;
        Ok(text.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()))
    }

    /// Remembers a version that has nothing of ours.
    pub(super) fn keep(&self, text: Option<&str>) -> Result<(), Error> {
        match text {
            Some(text) => file::keep(&self.before(), text).and_then(|()| file::forget(&self.absent())),
            None => file::keep(&self.absent(), "").and_then(|()| file::forget(&self.before())),
        }
    }

    /// Remembers what we are about to write; `None`: the former version is not known any more, or back in its place.
    pub(super) fn note(&self, text: Option<&str>) -> Result<(), Error> {
        match text {
            Some(text) => file::keep(&self.after(), text),
            None => file::forget(&self.after()),
        }
    }

    /// Remembers the mode that the file has; `None`: it has it again.
    pub(super) fn note_mode(&self, mode: Option<u32>) -> Result<(), Error> {
        match mode {
            Some(mode) => file::keep(&self.mode(), &format!("{mode:o}\n")),
            None => file::forget(&self.mode()),
        }
    }
}
