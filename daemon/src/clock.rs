//! The daemon's clock: the system's, or one that a test holds.
//!
//! `TOKMON_CLOCK=fixed:MS` stands still; `TOKMON_CLOCK=file:PATH` reads milliseconds since the epoch from a file
//! each time, so that a test can move time while the daemon runs.

use std::path::PathBuf;
use std::sync::Arc;

use tokmon_ledger::{Clock, SystemClock};

/// The environment variable that replaces the clock.
pub(crate) const CLOCK_VAR: &str = "TOKMON_CLOCK";

struct FixedClock(i64);

impl Clock for FixedClock {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

struct FileClock(PathBuf);

impl Clock for FileClock {
    fn now_ms(&self) -> i64 {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }
}

/// The clock that the environment asks for. Errors: the variable's value is not understood.
pub(crate) fn from_env() -> Result<Arc<dyn Clock>, String> {
    let Ok(text) = std::env::var(CLOCK_VAR) else {
        return Ok(Arc::new(SystemClock));
    };
    match text.split_once(':') {
        Some(("fixed", ms)) => match ms.parse() {
            Ok(ms) => Ok(Arc::new(FixedClock(ms))),
            Err(_) => Err(format!("{CLOCK_VAR}: {ms:?} is not a number of milliseconds")),
        },
        Some(("file", path)) => Ok(Arc::new(FileClock(path.into()))),
        _ => Err(format!("{CLOCK_VAR}: {text:?}; allowed: fixed:MS or file:PATH")),
    }
}
