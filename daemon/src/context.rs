//! What every door is given: handles to the parts below it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokmon_capture::otlp::Receiver;
use tokmon_capture::{Capture, Repositories};
use tokmon_ledger::{Clock, Ledger};
use tokmon_proto::paths::Paths;
use tokmon_tokenizer::Tokenizer;

use crate::config::Config;
use crate::hooks::Hooks;
use crate::memory::Activity;
use crate::statuslines::Statuslines;

/// What the doors need of the house.
pub(crate) struct Context {
    /// The ledger.
    pub ledger: Ledger,
    /// Capture of agents' files; `None` when switched off.
    pub capture: Option<Capture>,
    /// The repositories that directories belong to.
    pub repositories: Arc<Repositories>,
    /// What hooks did.
    pub hooks: Hooks,
    /// What statuslines told.
    pub statuslines: Statuslines,
    /// Takes telemetry; `None` when switched off.
    pub telemetry: Option<Arc<Receiver>>,
    /// Counts text.
    pub tokenizer: Arc<Tokenizer>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The configuration in force.
    pub config: Config,
    /// Who runs it, and whoever connects: the name of the user as the system has it.
    pub login: String,
    /// Where everything is.
    pub paths: Paths,
    /// Cancelled when the daemon stops.
    pub cancel: CancellationToken,
    /// What tells that things have come to rest.
    pub activity: Activity,
    /// Told when text was counted, so that somebody watches over the vocabularies' life.
    pub counted: tokio::sync::Notify,
    /// The last minute of external APIs.
    pub apis: std::sync::Mutex<tokmon_core::api::Meter>,
    /// When it started.
    pub started_at_ms: i64,
}
