//! The telemetry door: OTLP over gRPC and over HTTP, on loopback addresses only, one port for both.
//!
//! Agents cannot export to a local socket, so this door is on TCP, where nobody says who they are: it asks for a token
//! ([`token`]) before it reads a body. A port that is taken is told in status and tried again; it never keeps the
//! daemon from serving. What comes in goes to [`Receiver`], which knows what it means.

mod answer;
mod body;
mod connection;
mod rate;
mod request;
mod token;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokmon_capture::otlp::Receiver;
use tokmon_core::limits::{MAX_OTLP_CONNECTIONS, MAX_OTLP_TURNS};
use tracing::{debug, info, warn};

use self::body::Memory;
use self::rate::Rate;
use self::token::Token;

/// Pause before an address that was taken is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// Pause after a connection could not be accepted: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every connection shares.
struct Shared {
    receiver: Arc<Receiver>,
    /// What senders must show; `None`: nothing.
    token: Option<Token>,
    memory: Memory,
    rate: Rate,
    places: Arc<Semaphore>,
    /// Requests that are decoded and recorded at once.
    turns: Semaphore,
}

/// The door, open but not yet served.
pub(crate) struct Door {
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    /// Addresses that were not to be had.
    missing: Vec<SocketAddr>,
    endpoints: Vec<String>,
}

impl Door {
    /// Opens the door at these addresses. What goes wrong is told by the receiver's tally. `token_file`: where the
    /// token lies or shall lie; `None`: senders need none.
    pub(crate) async fn open(
        receiver: Arc<Receiver>,
        addresses: &[SocketAddr],
        token_file: Option<&Path>,
    ) -> Door {
        let token = match token_file.map(|path| (path, Token::load(path))) {
            None => Ok(None),
            Some((_, Ok(token))) => Ok(Some(token)),
            Some((path, Err(e))) => Err(format!("{}: {e}", path.display())),
        };
        let mut door = Door {
            shared: Arc::new(Shared {
                token: token.clone().unwrap_or_default(),
                receiver,
                memory: Memory::default(),
                rate: Rate::default(),
                places: Arc::new(Semaphore::new(MAX_OTLP_CONNECTIONS)),
                turns: Semaphore::new(MAX_OTLP_TURNS),
            }),
            listeners: Vec::new(),
            missing: addresses.to_vec(),
            endpoints: Vec::new(),
        };
        match token {
            Ok(_) => door.bind().await,
            Err(error) => {
                warn!("telemetry is not taken: {error}");
                door.missing.clear();
                door.shared.receiver.listens(Vec::new(), error);
            }
        }
        door
    }

    /// Tries the addresses that are missing.
    async fn bind(&mut self) {
        let mut error = String::new();
        for address in std::mem::take(&mut self.missing) {
            let bound = match TcpListener::bind(address).await {
                Ok(listener) => listener.local_addr().map(|local| (listener, local)),
                Err(e) => Err(e),
            };
            match bound {
                Ok((listener, local)) => {
                    info!(address = %local, "telemetry is taken");
                    self.endpoints.push(format!("http://{local}"));
                    self.listeners.push(listener);
                }
                Err(e) => {
                    error = format!("cannot listen on {address}: {e}");
                    self.missing.push(address);
                }
            }
        }
        self.shared.receiver.listens(self.endpoints.clone(), error);
    }

    /// Serves until cancelled and every connection is closed.
    pub(crate) async fn serve(mut self, cancel: CancellationToken) {
        let tasks = TaskTracker::new();
        let mut told = false;
        loop {
            for listener in self.listeners.drain(..) {
                tasks.spawn(accept(
                    listener,
                    self.shared.clone(),
                    tasks.clone(),
                    cancel.clone(),
                ));
            }
            if self.missing.is_empty() {
                break;
            }
            if !told {
                let error = self.shared.receiver.tally().error;
                warn!("{error}; it is tried again every {} seconds", RETRY.as_secs());
                told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => self.bind().await,
                () = cancel.cancelled() => break,
            }
        }
        cancel.cancelled().await;
        tasks.close();
        tasks.wait().await;
    }
}

/// Accepts connections until cancelled. Beyond the bound they are closed at once: a sender comes again, and one that
/// holds connections without a use loses them soon.
async fn accept(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker, cancel: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = cancel.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => match shared.places.clone().try_acquire_owned() {
                Ok(place) => {
                    let (shared, cancel) = (shared.clone(), cancel.clone());
                    tasks.spawn(async move {
                        connection::serve(stream, shared, cancel).await;
                        drop(place);
                    });
                }
                Err(_) => shared.receiver.refused("too many connections"),
            },
            Err(e) => {
                debug!("accept failed: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
