//! What the capture thread and its callers share: status, requests, and the wish to stop.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokmon_ledger::Clock;

use crate::roots::Root;
use crate::scan::FileCounts;
use crate::status::{Progress, SourceState, SourceStatus};

/// Changed paths that are remembered one by one; beyond it everything is looked at.
const MAX_PATHS: usize = 4_096;
/// How often progress is told while files are read.
const PROGRESS: Duration = Duration::from_millis(50);

/// See the module.
pub struct Shared {
    /// Everybody should come to an end.
    stop: AtomicBool,
    /// The system does not tell of every change.
    polling: AtomicBool,
    clock: Arc<dyn Clock>,
    sources: Mutex<Vec<SourceStatus>>,
    requests: Mutex<Requests>,
    wake: Condvar,
    /// The last request of somebody who waits that has been done.
    caught_up: watch::Sender<u64>,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Requests {
    paths: HashSet<PathBuf>,
    everything: bool,
    reload: bool,
    /// Counts those who wait for what they asked for; it is done without waiting for more.
    asked: u64,
    urgent: bool,
}

struct Listeners {
    imports: Vec<watch::Sender<Progress>>,
    told: Instant,
}

/// What there is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Files or directories that have changed.
    pub(crate) paths: Vec<PathBuf>,
    /// Look at everything.
    pub(crate) everything: bool,
    /// Take the positions from the ledger again.
    pub(crate) reload: bool,
    /// The last one who waits for this.
    pub(crate) asked: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is whole after every statement, so a panic elsewhere has not broken it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// For the given sources.
    pub fn new(roots: &[Root], clock: Arc<dyn Clock>) -> Arc<Shared> {
        let shared = Shared {
            stop: AtomicBool::new(false),
            polling: AtomicBool::new(false),
            clock,
            sources: Mutex::default(),
            requests: Mutex::new(Requests::default()),
            wake: Condvar::new(),
            caught_up: watch::Sender::new(0),
            listeners: Mutex::new(Listeners {
                imports: Vec::new(),
                told: Instant::now(),
            }),
        };
        shared.add(roots);
        Arc::new(shared)
    }

    /// More sources, behind those that there are.
    pub(crate) fn add(&self, roots: &[Root]) {
        let sources = roots
            .iter()
            .map(|root| SourceStatus::new(root.agent.clone(), root.dir.clone()));
        lock(&self.sources).extend(sources);
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The sources' status.
    pub fn status(&self) -> Vec<SourceStatus> {
        let mut sources = lock(&self.sources).clone();
        let polled = self.polling.load(Ordering::Relaxed);
        sources.iter_mut().for_each(|source| source.polled = polled);
        sources
    }

    /// Some changes are only found by looking at everything once in a while.
    pub(crate) fn polls(&self) {
        self.polling.store(true, Ordering::Relaxed);
    }

    /// Changes one source's status.
    pub(crate) fn source(&self, source: usize, change: impl FnOnce(&mut SourceStatus)) {
        if let Some(status) = lock(&self.sources).get_mut(source) {
            change(status);
        }
    }

    /// One file has been read on.
    pub(crate) fn read_one(&self, source: usize, before: FileCounts, after: FileCounts) {
        self.source(source, |status| {
            status.files_done += u64::from(after.done) - u64::from(before.done && after.done);
            status.bytes_read = (status.bytes_read + after.bytes).saturating_sub(before.bytes);
            status.records = (status.records + after.records).saturating_sub(before.records);
            status.parse_failures = (status.parse_failures + after.failures).saturating_sub(before.failures);
        });
        self.publish(false);
    }

    /// Every source shows an error.
    pub(crate) fn fail(&self, error: &str) {
        for status in lock(&self.sources).iter_mut() {
            (status.state, status.error) = (SourceState::Error, error.to_string());
        }
    }

    /// Tells listeners how far it is, at once or when it is time.
    pub(crate) fn publish(&self, now: bool) {
        let mut listeners = lock(&self.listeners);
        if listeners.imports.is_empty() || !now && listeners.told.elapsed() < PROGRESS {
            return;
        }
        listeners.told = Instant::now();
        let progress = Progress::of(lock(&self.sources).iter(), false);
        for import in &listeners.imports {
            import.send_replace(progress);
        }
    }

    /// Somebody wants to know when all that is there now has been read.
    pub(crate) fn listen(&self) -> watch::Receiver<Progress> {
        let progress = Progress::of(lock(&self.sources).iter(), false);
        let (sender, receiver) = watch::channel(progress);
        lock(&self.listeners).imports.push(sender);
        self.request(|requests| requests.everything = true);
        receiver
    }

    /// How many listeners a pass that begins now will satisfy.
    pub(crate) fn listening(&self) -> usize {
        lock(&self.listeners).imports.len()
    }

    /// A whole pass is durable: the listeners that were there when it began are done.
    pub(crate) fn done(&self, listening: usize) {
        let progress = Progress::of(lock(&self.sources).iter(), true);
        for import in lock(&self.listeners).imports.drain(..listening) {
            import.send_replace(progress);
        }
    }

    /// No more will come.
    pub(crate) fn hang_up(&self) {
        lock(&self.listeners).imports.clear();
    }

    fn request(&self, change: impl FnOnce(&mut Requests)) {
        change(&mut lock(&self.requests));
        self.wake.notify_all();
    }

    /// Paths have changed.
    pub(crate) fn changed(&self, paths: impl IntoIterator<Item = PathBuf>) {
        self.request(|requests| {
            requests.paths.extend(paths);
            if requests.paths.len() > MAX_PATHS {
                requests.paths = HashSet::new();
                requests.everything = true;
            }
        });
    }

    /// Somebody wants these to be read now. Wait with the answer until [`Shared::caught_up`] has told its number.
    pub(crate) fn ask(&self, paths: impl IntoIterator<Item = PathBuf>) -> (u64, watch::Receiver<u64>) {
        let mut requests = lock(&self.requests);
        requests.paths.extend(paths);
        requests.asked += 1;
        requests.urgent = true;
        self.wake.notify_all();
        (requests.asked, self.caught_up.subscribe())
    }

    /// What was asked for up to this number is durable.
    pub(crate) fn caught_up(&self, asked: u64) {
        self.caught_up.send_replace(asked);
    }

    /// Something has changed, who knows what.
    pub(crate) fn overflow(&self) {
        self.request(|requests| requests.everything = true);
    }

    /// The ledger is another one now.
    pub(crate) fn reload(&self) {
        self.request(|requests| (requests.reload, requests.everything) = (true, true));
    }

    /// The same, for the pass after the present one.
    pub(crate) fn reload_later(&self) {
        let mut requests = lock(&self.requests);
        (requests.reload, requests.everything) = (true, true);
    }

    /// Whether it is time to end.
    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for nothing but the end. False: it has come.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let guard = lock(&self.requests);
        let running = |_: &mut Requests| !self.stopping();
        drop(self.wake.wait_timeout_while(guard, time, running));
        !self.stopping()
    }

    /// Wakes the capture thread up for its end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.request(|_| {});
    }

    /// Waits for work, at most until the timeout, then for `settle` more, for one write is rarely alone. `None`: stop.
    pub(crate) fn wait(&self, timeout: Duration, settle: Duration) -> Option<Work> {
        let idle =
            |requests: &mut Requests| !self.stopping() && !requests.everything && requests.paths.is_empty();
        let running = |requests: &mut Requests| !self.stopping() && !requests.urgent;
        let guard = lock(&self.requests);
        let (guard, waited) = self
            .wake
            .wait_timeout_while(guard, timeout, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let mut guard = if waited.timed_out() {
            guard
        } else {
            self.wake
                .wait_timeout_while(guard, settle, running)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        };
        if self.stopping() {
            return None;
        }
        guard.urgent = false;
        let asked = guard.asked;
        let paths = std::mem::take(&mut guard.paths);
        let reload = std::mem::take(&mut guard.reload);
        let everything = std::mem::take(&mut guard.everything);
        let everything = everything || waited.timed_out();
        Some(Work {
            paths: paths.into_iter().collect(),
            everything,
            reload,
            asked,
        })
    }
}
