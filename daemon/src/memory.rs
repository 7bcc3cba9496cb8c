//! Keeping the daemon small: what it needed for a while goes back to the system when things have come to rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tracing::warn;

use crate::context::Context;

/// Nothing happened for so long: agents take a breath, or an import is over.
const QUIET: Duration = Duration::from_secs(1);
/// As much more than before is worth opening the ledger's file anew, which costs milliseconds and two syncs.
const WORTH: u64 = 1 << 20;

/// Makes glibc serve all threads from one arena: with one for each thread, what one frees is of no use to the others.
/// What is freed stays with the program until [`release`], as giving it back piece by piece while much is going on costs
/// a fifth of an import. To be called before there are threads. What the user set in the environment stays.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn few_arenas() {
    const SETTINGS: [(&str, libc::c_int, libc::c_int); 3] = [
        ("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, 1),
        ("MALLOC_TRIM_THRESHOLD_", libc::M_TRIM_THRESHOLD, 64 << 20),
        ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, 16 << 20),
    ];
    for (name, what, value) in SETTINGS {
        if std::env::var_os(name).is_none() {
            // SAFETY: it changes settings of the allocator only, which takes its own lock; a value that it does not
            // accept changes nothing.
            #[allow(unsafe_code)]
            unsafe {
                libc::mallopt(what, value);
            }
        }
    }
}

/// Gives back to the system what is free.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn release() {
    // SAFETY: it takes the allocator's locks and touches free memory only; it may be called at any time.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other systems' allocators do both by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn few_arenas() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn release() {}

/// Bytes of this program that are in memory. `None`: the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Tells whether anything was done for which memory was needed. Noting it costs next to nothing.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    done: AtomicU64,
    /// Somebody waits for the next.
    awaited: AtomicBool,
    woken: tokio::sync::Notify,
}

impl Activity {
    /// Something was done.
    pub(crate) fn note(&self) {
        self.done.fetch_add(1, Ordering::SeqCst);
        if self.awaited.load(Ordering::SeqCst) && self.awaited.swap(false, Ordering::SeqCst) {
            self.woken.notify_one();
        }
    }

    /// How much was done.
    fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits until more was done than so much.
    async fn more_than(&self, done: u64) {
        while self.done() == done {
            self.awaited.store(true, Ordering::SeqCst);
            if self.done() == done {
                self.woken.notified().await;
            }
        }
    }
}

/// Gives memory back whenever things have come to rest, until the daemon stops. Never wakes while nothing happens.
pub(crate) async fn run(app: Arc<Context>) {
    let mut usual = resident();
    let mut ledger = app.ledger.follow(app.ledger.last_seq());
    let seen = || (app.ledger.last_seq(), app.activity.done());
    loop {
        let mut before = seen();
        loop {
            tokio::select! {
                () = tokio::time::sleep(QUIET) => {}
                () = app.cancel.cancelled() => return,
            }
            let now = seen();
            if std::mem::replace(&mut before, now) == now {
                break;
            }
        }
        let here = app.clone();
        match tokio::task::spawn_blocking(move || rest(&here, usual)).await {
            Ok(now) => usual = now,
            Err(e) => warn!("memory was not given back: {e}"),
        }
        tokio::select! {
            () = app.activity.more_than(before.1) => {}
            moved = ledger.moved() => if moved.is_err() { return },
            () = app.cancel.cancelled() => return,
        }
    }
}

/// Gives back what is free, and the ledger's pages when they have become many. Returns what is usual from now on.
fn rest(app: &Context, usual: Option<u64>) -> Option<u64> {
    release();
    let (usual, now) = (usual?, resident()?);
    if now <= usual + WORTH {
        return Some(usual.min(now));
    }
    if let Err(e) = app.ledger.rest() {
        warn!("the ledger could not be opened anew, will be tried again: {e}");
    }
    release();
    resident()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_hears_of_the_next_thing_done() {
        let activity = Activity::default();
        activity.note();
        let heard = tokio::time::timeout(Duration::from_secs(5), async {
            activity.more_than(0).await;
            tokio::join!(activity.more_than(1), async { activity.note() });
            activity.note();
            activity.more_than(2).await;
            tokio::join!(activity.more_than(3), async { activity.note() })
        });
        assert!(heard.await.is_ok());
        assert_eq!(activity.done(), 4);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_resident_is_known_and_release_gives_back() {
        let pages: Vec<Vec<u8>> = (0..4_096).map(|n| vec![n as u8; 8 << 10]).collect();
        let kept = pages.iter().step_by(1_024).cloned().collect::<Vec<_>>();
        let full = resident().expect("a size");
        drop(pages);
        release();
        let less = resident().expect("a size");
        assert!(less + (8 << 20) < full, "{full} bytes became {less}");
        assert_eq!(kept.len(), 4);
    }
}
