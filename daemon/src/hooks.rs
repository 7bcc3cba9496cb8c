//! The memory of hooks: kept while the daemon runs, and in a small file so that a restart does not forget which hooks
//! ever fired. The file is no truth: when it cannot be read it begins anew.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokmon_core::hook::Memory;
use tracing::{debug, warn};

use crate::context::Context;

/// How long the first change waits for others before the file is written.
const LINGER: Duration = Duration::from_secs(5);
/// Longest file that is read back: ten times what fits into a memory.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// See the module.
pub(crate) struct Hooks {
    memory: Mutex<Memory>,
    changed: Notify,
    file: PathBuf,
}

impl Hooks {
    /// What the file says, or nothing.
    pub(crate) fn load(file: PathBuf) -> Hooks {
        let memory = read(&file).unwrap_or_else(|e| {
            debug!(file = %file.display(), "the memory of hooks begins anew: {e}");
            Memory::default()
        });
        Hooks {
            memory: Mutex::new(memory.bounded()),
            changed: Notify::new(),
            file,
        }
    }

    /// The memory, to be looked at.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        // Every change leaves it whole, so a panic elsewhere has not broken it.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the memory.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        let done = change(&mut self.memory());
        self.changed.notify_one();
        done
    }

    fn save(&self) -> std::io::Result<()> {
        let text = serde_json::to_vec(&*self.memory())?;
        let fresh = self.file.with_extension("new");
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(&text)?;
        drop(file);
        std::fs::rename(fresh, &self.file)
    }
}

fn read(file: &Path) -> std::io::Result<Memory> {
    if std::fs::metadata(file)?.len() > MAX_FILE_BYTES {
        return Err(std::io::Error::other("it is too large"));
    }
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

/// Writes the file some time after a change, and at the end. Never wakes while no hook fires.
pub(crate) async fn run(app: Arc<Context>) {
    loop {
        let last = tokio::select! {
            biased;
            () = app.hooks.changed.notified() => tokio::select! {
                () = tokio::time::sleep(LINGER) => false,
                () = app.cancel.cancelled() => true,
            },
            () = app.cancel.cancelled() => return,
        };
        let this = app.clone();
        match tokio::task::spawn_blocking(move || this.hooks.save()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => warn!(file = %app.hooks.file.display(), "the memory of hooks was not saved: {e}"),
            Err(e) => warn!("the memory of hooks was not saved: {e}"),
        }
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_none_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hooks.json");
        assert_eq!(*Hooks::load(file.clone()).memory(), Memory::default());
        std::fs::write(&file, "{not json").unwrap();
        assert_eq!(*Hooks::load(file).memory(), Memory::default());
    }
}
