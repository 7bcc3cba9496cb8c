//! How many requests are taken in a second: a bucket that fills with time.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;
use tokmon_core::limits::MAX_OTLP_REQUESTS_PER_SECOND;

/// A full bucket is one second's worth.
pub(super) struct Rate(Mutex<Bucket>);

struct Bucket {
    /// Requests that may come at once.
    left: f64,
    since: Instant,
}

impl Default for Rate {
    fn default() -> Rate {
        Rate(Mutex::new(Bucket {
            left: f64::from(MAX_OTLP_REQUESTS_PER_SECOND),
            since: Instant::now(),
        }))
    }
}

impl Rate {
    /// Takes one, if there is one.
    pub(super) fn take(&self) -> bool {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let most = f64::from(MAX_OTLP_REQUESTS_PER_SECOND);
        let grown = now.duration_since(bucket.since).as_secs_f64() * most;
        bucket.left = (bucket.left + grown).min(most);
        bucket.since = now;
        if bucket.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        true
    }
}
