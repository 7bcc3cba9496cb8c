//! New entries of the ledger as they come, across restarts of the daemon: the cursor is kept here.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokmon_client::v1::{Filter, FollowRequest, FollowResponse};
use tokmon_client::{Client, Error, Kind, Streaming};

/// How long a daemon may be away before the feed gives up.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A feed of entries.
pub(crate) struct Feed {
    client: Client,
    filter: Option<Filter>,
    alerts_only: bool,
    stream: Streaming<FollowResponse>,
    /// Last entry that was seen.
    seen: u64,
}

impl Feed {
    /// Entries after `seen`.
    pub(crate) async fn after(client: &Client, seen: u64, filter: Option<Filter>) -> Result<Feed, Error> {
        Feed::open(client, seen, filter, false).await
    }

    /// Budgets' alerts after `seen`.
    pub(crate) async fn alerts(client: &Client, seen: u64) -> Result<Feed, Error> {
        Feed::open(client, seen, None, true).await
    }

    async fn open(
        client: &Client,
        seen: u64,
        filter: Option<Filter>,
        alerts_only: bool,
    ) -> Result<Feed, Error> {
        let stream = open(client, seen, filter.clone(), alerts_only).await?;
        Ok(Feed {
            client: client.clone(),
            filter,
            alerts_only,
            stream,
            seen,
        })
    }

    /// The next entry. When the daemon goes away it is waited for, and nothing is missed or told twice.
    pub(crate) async fn next(&mut self) -> Result<FollowResponse, Error> {
        loop {
            match self.stream.message().await.map_err(Error::from) {
                Ok(Some(entry)) => {
                    self.seen = self.seen.max(entry.seq);
                    return Ok(entry);
                }
                Ok(None) => self.reopen().await?,
                Err(error) if error.kind() == Kind::Unavailable => self.reopen().await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn reopen(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            match open(&self.client, self.seen, self.filter.clone(), self.alerts_only).await {
                Ok(stream) => {
                    self.stream = stream;
                    return Ok(());
                }
                Err(error) if error.kind() == Kind::Unavailable && Instant::now() < deadline => {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

async fn open(
    client: &Client,
    seen: u64,
    filter: Option<Filter>,
    alerts_only: bool,
) -> Result<Streaming<FollowResponse>, Error> {
    // after_seq 0 means the whole history, which is right for an empty ledger too.
    client
        .follow(FollowRequest {
            after_seq: seen,
            from_now: false,
            filter,
            alerts_only,
        })
        .await
}
