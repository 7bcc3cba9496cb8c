//! Supervision: one thread that scans, waits for changes, scans what has changed, and tries again when the ledger
//! cannot take it.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokmon_core::Name;
use tokmon_ledger::{Clock, Ledger};

use crate::roots::Root;
use crate::scan::Scanner;
use crate::shared::{Shared, Work};
use crate::sink::{LedgerSink, Sink, SinkError};
use crate::status::{Progress, SourceStatus};
use crate::watch::Watcher;

/// Writes come in bursts; this is how long a burst is waited for.
const SETTLE: Duration = Duration::from_millis(5);
/// First and longest pause before the ledger is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// A poll may take one part in so many of all time, however many files there are.
const POLL_SHARE: u32 = 1_000;
/// But it comes at least this often, or as often as configured.
const LONGEST_POLL: Duration = Duration::from_secs(600);

/// Says where to look. It is asked before each pass over everything: some agents keep their files with the projects that
/// they work in, and editors are installed while we run.
pub type Find = Box<dyn Fn() -> Vec<Root> + Send>;

/// What capture needs.
pub struct Options {
    /// Where to look.
    pub find: Find,
    /// Whom the calls are booked to.
    pub user: Name,
    /// Where they go.
    pub ledger: Ledger,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How often everything is looked at, for changes that nobody reported.
    pub poll: Duration,
    /// Calls are booked under their git repositories, with branch and commit where they are fresh.
    pub git: bool,
    /// Ends it.
    pub cancel: CancellationToken,
}

/// The running capture. Dropping it does not end it; cancelling does.
pub struct Capture {
    shared: Arc<Shared>,
    ended: CancellationToken,
}

impl Capture {
    /// Starts the capture thread; it begins with a pass over everything. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(options: Options) -> std::io::Result<Capture> {
        let Options {
            find,
            user,
            ledger,
            clock,
            poll,
            git,
            cancel,
        } = options;
        let runtime = tokio::runtime::Handle::current();
        let roots = find();
        let shared = Shared::new(&roots, clock.clone());
        let ended = CancellationToken::new();
        let at_end = AtEnd {
            shared: shared.clone(),
            ended: ended.clone(),
        };
        let sink = LedgerSink::new(ledger, runtime.clone(), git, clock);
        std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || {
                let at_end = at_end;
                let scanner = Scanner::new(roots, user, sink, at_end.shared.clone());
                run(scanner, &find, &at_end.shared, poll);
            })?;
        let for_cancel = shared.clone();
        runtime.spawn(async move {
            cancel.cancelled().await;
            for_cancel.stop();
        });
        Ok(Capture { shared, ended })
    }

    /// The state of every source.
    pub fn status(&self) -> Vec<SourceStatus> {
        self.shared.status()
    }

    /// Looks at everything once more and tells how far it is. After the progress with `done` nothing more comes; when
    /// capture ends before, the channel closes without it.
    pub fn import(&self) -> watch::Receiver<Progress> {
        let progress = self.shared.listen();
        if self.ended.is_cancelled() {
            self.shared.hang_up();
        }
        progress
    }

    /// The ledger was replaced (restored, reset): its positions count now, not those in memory.
    pub fn reload(&self) {
        self.shared.reload();
    }

    /// Reads files or directories to their end now; all that was in them is durable then. What lies outside of every
    /// source is nothing to wait for. Takes as long as what is under way; the caller limits the time.
    pub async fn catch_up(&self, paths: Vec<PathBuf>) {
        let (number, mut done) = self.shared.ask(paths);
        // Capture that has ended reads nothing any more.
        tokio::select! {
            _ = done.wait_for(|done| *done >= number) => {}
            () = self.ended.cancelled() => {}
        }
    }

    /// Waits for the end of the thread, which comes after the cancellation.
    pub async fn join(&self) {
        self.ended.cancelled().await;
    }
}

/// Tells everybody that the thread has ended, however it ended.
struct AtEnd {
    shared: Arc<Shared>,
    ended: CancellationToken,
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared
                .fail("capture ended by a fault of its own; restart the daemon");
        }
        self.ended.cancel();
        self.shared.hang_up();
    }
}

/// The thread.
fn run<S: Sink>(mut scanner: Scanner<S>, find: &Find, shared: &Arc<Shared>, poll: Duration) {
    let mut watcher = Watcher::new(shared.clone());
    let mut work = Work {
        paths: Vec::new(),
        everything: true,
        reload: true,
        asked: 0,
    };
    let mut retry = RETRY.0;
    loop {
        let listening = shared.listening();
        let (whole, asked) = (work.everything, work.asked);
        if whole && scanner.add(find()) {
            work.reload = true;
        }
        let outcome = pass(&mut scanner, &mut watcher, work);
        let timeout = match outcome {
            _ if shared.stopping() => return,
            Ok(()) => {
                if whole {
                    shared.done(listening);
                }
                shared.caught_up(asked);
                retry = RETRY.0;
                poll.max(scanner.walking().saturating_mul(POLL_SHARE).min(LONGEST_POLL))
            }
            Err(SinkError::Closed) => return,
            Err(SinkError::Failed(error)) => {
                tracing::warn!(%error, "the ledger does not take what was read, trying again");
                shared.fail(&error);
                // Whatever is not durable has to be read again.
                shared.reload_later();
                let pause = retry;
                retry = (retry * 2).min(RETRY.1);
                if !shared.pause(pause) {
                    return;
                }
                Duration::ZERO
            }
        };
        match shared.wait(timeout, SETTLE) {
            Some(next) => work = next,
            None => return,
        }
    }
}

/// Does the work, and once more for directories that were not watched while they were listed.
fn pass<S: Sink>(scanner: &mut Scanner<S>, watcher: &mut Watcher, work: Work) -> Result<(), SinkError> {
    if work.reload {
        scanner.reload()?;
    }
    if work.everything {
        scanner.scan()?;
    } else {
        for path in &work.paths {
            watcher.forget(path);
        }
        scanner.scan_paths(work.paths)?;
    }
    loop {
        let dirs = scanner.take_dirs();
        let fresh = watcher.add(dirs);
        if fresh.is_empty() {
            return Ok(());
        }
        scanner.scan_paths(fresh)?;
    }
}
