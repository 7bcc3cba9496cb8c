//! Retention: once a day, records older than the configuration allows go; their totals stay.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokmon_ledger::{Clock, Ledger};
use tracing::{info, warn};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Looked at more often than once a day, because a machine may sleep through any hour.
const INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);

/// The instant before which records go.
pub(crate) fn horizon_ms(now_ms: i64, days: i64) -> i64 {
    // Whole days, so that a second purge on the same day finds nothing to do.
    (now_ms - days.saturating_mul(DAY_MS)).div_euclid(DAY_MS) * DAY_MS
}

/// Purges at the start and then four times a day, until cancelled.
pub(crate) async fn run(ledger: Ledger, clock: Arc<dyn Clock>, days: i64, cancel: CancellationToken) {
    loop {
        let horizon = horizon_ms(clock.now_ms(), days);
        match ledger.purge(horizon, Some(horizon), false).await {
            Ok(purged) if purged.records == 0 => {}
            Ok(purged) => info!(
                records = purged.records,
                horizon_ms = horizon,
                "purged old records; their totals stay"
            ),
            Err(e) => warn!("purge failed, will be tried again: {e}"),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = cancel.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_horizon_is_a_whole_day() {
        let now = 20_000 * DAY_MS + 12_345;
        assert_eq!(horizon_ms(now, 30), 19_970 * DAY_MS);
        assert_eq!(horizon_ms(now + 1_000, 30), 19_970 * DAY_MS);
    }
}
