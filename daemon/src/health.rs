//! Health as gRPC tells it: serving, or not serving while the store cannot write.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokmon_ledger::{Health, Ledger};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::process::{self, Note};

/// The service whose health tells whether records can be written. The empty name tells whether the daemon runs.
pub(crate) const WRITES: &str = "tokmon.v1.UsageService";

/// Keeps the health service true and the watchdog fed, until cancelled.
pub(crate) async fn run(ledger: Ledger, reporter: HealthReporter, ready: String, cancel: CancellationToken) {
    let mut health = ledger.watch_health();
    let watchdog = process::watchdog_interval();
    let mut heartbeat = ledger.heartbeat();
    loop {
        let state = health.borrow_and_update().clone();
        let (serving, status) = match state {
            Health::Serving => (ServingStatus::Serving, ready.clone()),
            Health::ReadOnly(why) => (ServingStatus::NotServing, format!("read-only: {why}")),
        };
        reporter.set_service_status(WRITES, serving).await;
        process::tell(&Note::Status(status));
        loop {
            tokio::select! {
                changed = health.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = tick(watchdog) => {
                    // Only a writer that answered since the last turn may feed the watchdog.
                    let now = ledger.heartbeat();
                    if now != heartbeat {
                        heartbeat = now;
                        process::tell(&Note::Alive);
                    }
                }
                () = cancel.cancelled() => return,
            }
        }
    }
}

/// Waits for the next watchdog turn; for ever when there is no watchdog, so that an idle daemon never wakes.
async fn tick(interval: Option<Duration>) {
    match interval {
        Some(interval) => tokio::time::sleep(interval).await,
        None => std::future::pending().await,
    }
}
