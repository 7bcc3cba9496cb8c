//! What every command needs to know: how to reach the daemon and how to print.

use std::time::Duration;

use tokmon_client::{Client, Error, Options};

use crate::show::Screen;

/// How long starting and connecting may take. A daemon that migrates a large ledger needs longer than that,
/// and says so in its log.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The global flags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Print JSON.
    pub(crate) json: bool,
    /// Start the daemon when it is not running.
    pub(crate) start: bool,
}

impl Context {
    /// Connects to the daemon, starting it unless that is forbidden.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        connect(self.start).await
    }

    /// The terminal, measured now.
    pub(crate) fn screen(&self) -> Screen {
        Screen::of_stdout()
    }
}

/// Connects to a daemon that runs already.
pub(crate) async fn running() -> Result<Client, Error> {
    connect(false).await
}

async fn connect(start: bool) -> Result<Client, Error> {
    Client::connect(&Options {
        start,
        timeout: CONNECT_LIMIT,
        name: concat!("tokmonctl ", env!("CARGO_PKG_VERSION")).to_owned(),
    })
    .await
}
