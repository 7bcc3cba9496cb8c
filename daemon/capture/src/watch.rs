//! The system's word on what has changed. A hint only: the slow poll finds what no event told of.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::EventKind;
use notify::{Event, RecommendedWatcher, RecursiveMode, WatcherKind};

use crate::shared::Shared;

/// Watches directories, never files: agents make new ones all the time.
pub(crate) struct Watcher {
    inner: Option<RecommendedWatcher>,
    shared: Arc<Shared>,
    watched: HashSet<PathBuf>,
}

impl Watcher {
    /// A watcher that reports to `shared`. Where the system has none, polling has to do.
    pub(crate) fn new(shared: Arc<Shared>) -> Watcher {
        let told = shared.clone();
        let inner = notify::recommended_watcher(move |event: notify::Result<Event>| report(&told, event));
        if let Err(error) = &inner {
            shared.polls();
            tracing::warn!(%error, "changes of files are not reported by the system, polling only");
        }
        Watcher {
            inner: inner.ok(),
            shared,
            watched: HashSet::new(),
        }
    }

    /// Watches these directories too; returns those that were not watched before: what happened in them between
    /// their listing and now is to be looked for.
    pub(crate) fn add(&mut self, dirs: Vec<PathBuf>) -> Vec<PathBuf> {
        let Some(inner) = &mut self.inner else {
            return Vec::new();
        };
        let mut fresh = Vec::new();
        for dir in dirs {
            if self.watched.contains(&dir) {
                continue;
            }
            match notify::Watcher::watch(inner, &dir, mode()) {
                Ok(()) => {
                    self.watched.insert(dir.clone());
                    fresh.push(dir);
                }
                // Gone already, or the system's limit: the poll sees it.
                Err(error) => {
                    if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) {
                        self.shared.polls();
                    }
                    tracing::debug!(%error, dir = %dir.display(), "not watched");
                }
            }
        }
        fresh
    }

    /// Something happened to the path itself: a directory that was removed and made again needs a new watch.
    pub(crate) fn forget(&mut self, path: &Path) {
        self.watched.remove(path);
    }
}

/// One watch for a whole tree where the system can do that; where it cannot, each directory has its own.
fn mode() -> RecursiveMode {
    match <RecommendedWatcher as notify::Watcher>::kind() {
        WatcherKind::Inotify | WatcherKind::Kqueue => RecursiveMode::NonRecursive,
        _ => RecursiveMode::Recursive,
    }
}

fn report(shared: &Shared, event: notify::Result<Event>) {
    match event {
        Ok(event) if event.need_rescan() => shared.overflow(),
        // Reading is no change, and we read a lot.
        Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
        Ok(event) => shared.changed(event.paths),
        Err(error) => {
            tracing::debug!(%error, "watching failed, looking at everything");
            shared.overflow();
        }
    }
}
