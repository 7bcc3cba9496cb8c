//! The way to the daemon: connected on the first tool call, and again when the daemon was restarted.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Mutex;
use tokmon_client::{Client, Error, Kind, Options};

/// How long one call may take: reports over years answer in milliseconds, so this means that something is wrong.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// A connection that is made when needed.
pub(crate) struct Daemon {
    client: Mutex<Option<Client>>,
}

impl Daemon {
    /// Not connected.
    pub(crate) fn new() -> Daemon {
        Daemon {
            client: Mutex::new(None),
        }
    }

    /// Runs one call, starting the daemon first when it is not running.
    ///
    /// A connection that was made earlier may lead to a daemon that is gone; then the call is made once more over
    /// a new one. Calls must therefore stand being made twice: records carry a key for that.
    pub(crate) async fn call<T, F>(&self, rpc: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if let Some(client) = self.client.lock().await.clone() {
            match Client::within(CALL_LIMIT, rpc(client)).await {
                Err(gone) if gone.kind() == Kind::Unavailable => {}
                answer => return answer,
            }
        }
        let client = self.connect().await?;
        Client::within(CALL_LIMIT, rpc(client)).await
    }

    async fn connect(&self) -> Result<Client, Error> {
        let mut place = self.client.lock().await;
        let options = Options {
            start: true,
            name: concat!("tokmon-mcp ", env!("CARGO_PKG_VERSION")).to_owned(),
            ..Options::default()
        };
        *place = None;
        let client = Client::connect(&options).await.map_err(unreachable)?;
        *place = Some(client.clone());
        Ok(client)
    }
}

/// That no daemon was found is no answer of a daemon that something was not found.
fn unreachable(error: Error) -> Error {
    let kind = match error.kind() {
        Kind::NotFound => Kind::Unavailable,
        kind => kind,
    };
    let told = Error::new(
        kind,
        format!("the tokmon daemon cannot be reached: {}", error.message),
    );
    match error.hint {
        Some(hint) => told.with_hint(hint),
        None => told,
    }
}

/// What a model is told about a failure: what it was, and what helps.
pub(crate) fn sentence(error: &Error) -> String {
    let helps = match (&error.hint, error.kind()) {
        (Some(hint), _) => hint.clone(),
        (None, Kind::Unavailable) => "run `tokmonctl daemon start`, then call the tool again".to_owned(),
        (None, Kind::Busy) => "call the tool again".to_owned(),
        (None, _) => return error.message.clone(),
    };
    format!("{}. What helps: {helps}", error.message.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_no_missing_session() {
        let error = unreachable(Error::new(Kind::NotFound, "no program").with_hint("install it"));
        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(
            sentence(&error),
            "the tokmon daemon cannot be reached: no program. What helps: install it"
        );
    }

    #[test]
    fn a_sentence_names_what_helps() {
        let cases = [
            (Kind::Unavailable, "run `tokmonctl daemon start`"),
            (Kind::Busy, "call the tool again"),
        ];
        for (kind, expected) in cases {
            let said = sentence(&Error::new(kind, "It stopped."));
            assert!(
                said.starts_with("It stopped. What helps: ") && said.contains(expected),
                "{said}"
            );
        }
        assert_eq!(sentence(&Error::new(Kind::Invalid, "m is wrong")), "m is wrong");
    }
}
