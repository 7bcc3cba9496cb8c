//! Opens the local socket, speaks HTTP/2 on it, and makes sure both sides mean the same contract.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::tokio::Stream as _;
use interprocess::local_socket::{GenericFilePath, ToFsName};
use tokio::time::Instant;
use tokmon_proto::CONTRACT;
use tokmon_proto::error::Kind;
use tokmon_proto::v1::HandshakeRequest;
use tonic::transport::{Channel, Endpoint};

use crate::client::Client;
use crate::{Error, Paths, start, trust};

/// First pause between two attempts; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Start the daemon when it is not running.
    pub start: bool,
    /// How long connecting, starting included, may take.
    pub timeout: Duration,
    /// Name and version of the caller for the daemon's log, e.g. "tokmonctl 0.1.0".
    pub name: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            start: true,
            timeout: Duration::from_secs(10),
            name: concat!("tokmon-client ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Why an attempt did not lead to a client.
pub(crate) enum Failed {
    /// Nobody listens.
    Absent,
    /// Somebody listened but went away before it answered: a daemon that is stopping.
    Gone(Error),
    /// Trying again would not help.
    Final(Error),
}

/// Connects, and starts the daemon first when it is not running and `options` say so.
pub(crate) async fn connect(paths: &Paths, options: &Options) -> Result<Client, Error> {
    let deadline = Instant::now() + options.timeout;
    let mut pause = Pause::new();
    loop {
        let failed = match attempt(paths, options, deadline).await {
            Ok(client) => return Ok(client),
            Err(failed) => failed,
        };
        match failed {
            Failed::Final(error) => return Err(error),
            Failed::Absent if options.start => {
                let program = start::find_program()?;
                start::ensure_running(paths, &program, deadline).await?;
            }
            Failed::Absent => return Err(not_running(paths)),
            Failed::Gone(error) if Instant::now() >= deadline => return Err(error),
            Failed::Gone(_) => {}
        }
        if !pause.wait(deadline).await {
            return Err(Error::new(
                Kind::Unavailable,
                format!(
                    "the daemon did not answer on {} within {:?}",
                    paths.socket.display(),
                    options.timeout
                ),
            )
            .with_hint("see `tokmonctl daemon logs`"));
        }
    }
}

fn not_running(paths: &Paths) -> Error {
    Error::new(
        Kind::Unavailable,
        format!(
            "the daemon is not running (nothing listens on {})",
            paths.socket.display()
        ),
    )
    .with_hint("start it with `tokmonctl daemon start`")
}

/// One attempt: check the place, open the socket, shake hands.
async fn attempt(paths: &Paths, options: &Options, deadline: Instant) -> Result<Client, Failed> {
    let stream = open(&paths.socket).await?;
    let channel = channel(paths.socket.clone(), stream).await?;
    let client = Client::over(channel);
    let hello = HandshakeRequest {
        contract: CONTRACT,
        client: options.name.clone(),
    };
    let answer = match tokio::time::timeout_at(deadline, client.handshake(hello)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if error.kind() == Kind::Unavailable => return Err(Failed::Gone(error)),
        Ok(Err(error)) => return Err(Failed::Final(error)),
        Err(_) => {
            return Err(Failed::Final(
                Error::new(
                    Kind::Unavailable,
                    format!(
                        "the daemon accepted the connection but did not answer within {:?}",
                        options.timeout
                    ),
                )
                .with_hint("see `tokmonctl daemon logs`; `tokmonctl daemon restart` helps when it hangs"),
            ));
        }
    };
    if answer.contract != CONTRACT {
        return Err(Failed::Final(
            Error::new(
                Kind::Incompatible,
                format!(
                    "this program speaks contract {CONTRACT}, the running daemon ({}) contract {}",
                    answer.version, answer.contract
                ),
            )
            .with_hint("restart the daemon after an update: `tokmonctl daemon restart`"),
        ));
    }
    Ok(client)
}

/// Opens the socket after checking that it is ours.
pub(crate) async fn open(socket: &Path) -> Result<Stream, Failed> {
    if !trust::socket_is_ours(socket).map_err(Failed::Final)? {
        return Err(Failed::Absent);
    }
    connect_stream(socket).await.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failed::Absent,
        io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionReset => Failed::Gone(Error::new(
            Kind::Busy,
            format!("{} takes no more connections now", socket.display()),
        )),
        io::ErrorKind::PermissionDenied => Failed::Final(Error::new(
            Kind::Forbidden,
            format!("may not connect to {}: {e}", socket.display()),
        )),
        _ => Failed::Final(Error::new(
            Kind::Unavailable,
            format!("cannot connect to {}: {e}", socket.display()),
        )),
    })
}

async fn connect_stream(socket: &Path) -> io::Result<Stream> {
    Stream::connect(socket.to_fs_name::<GenericFilePath>()?).await
}

/// HTTP/2 over `stream`; when the connection breaks later, the next call opens the socket again.
async fn channel(socket: PathBuf, stream: Stream) -> Result<Channel, Failed> {
    let first = Arc::new(Mutex::new(Some(stream)));
    let connector = tower::service_fn(move |_| {
        let (first, socket) = (Arc::clone(&first), socket.clone());
        async move {
            let ready = first.lock().ok().and_then(|mut slot| slot.take());
            let stream = match ready {
                Some(stream) => stream,
                None => connect_stream(&socket).await?,
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    // The address is only the authority that HTTP/2 asks for.
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
        .map_err(|_| {
            Failed::Gone(Error::new(
                Kind::Unavailable,
                "the daemon closed the connection before it answered",
            ))
        })
}

/// Growing pauses between attempts.
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) fn new() -> Pause {
        Pause(FIRST_PAUSE)
    }

    /// Waits a little longer than the time before; false when the deadline has passed.
    pub(crate) async fn wait(&mut self, deadline: Instant) -> bool {
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        tokio::time::sleep_until(deadline.min(now + self.0)).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
        true
    }
}
