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

/// What a program is called that does not say its name.
const OWN_NAME: &str = concat!("tokmon-client ", env!("CARGO_PKG_VERSION"));

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
            name: OWN_NAME.to_owned(),
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

/// Opens the socket of a running daemon; the first call is the caller's own.
pub(crate) async fn quick(paths: &Paths) -> Result<Client, Error> {
    let opened = async { channel(paths.socket.clone(), open(&paths.socket).await?, OWN_NAME).await };
    match opened.await {
        Ok(channel) => Ok(Client::over(channel)),
        Err(Failed::Absent) => Err(not_running(paths)),
        Err(Failed::Gone(error) | Failed::Final(error)) => Err(error),
    }
}

/// One attempt: check the place, open the socket, shake hands.
async fn attempt(paths: &Paths, options: &Options, deadline: Instant) -> Result<Client, Failed> {
    let stream = open(&paths.socket).await?;
    let channel = channel(paths.socket.clone(), stream, &options.name).await?;
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
async fn channel(socket: PathBuf, stream: Stream, name: &str) -> Result<Channel, Failed> {
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
    // The address is only the authority that HTTP/2 asks for. Later connections, which shake no hands, are told apart
    // by the name alone.
    let endpoint = Endpoint::from_static("http://localhost");
    let named = endpoint.clone().user_agent(name.replace(' ', "/"));
    named
        .unwrap_or(endpoint)
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use tokmon_proto::v1::{StatusRequest, StopRequest};

    const OPTIONS: Options = Options {
        start: false,
        timeout: Duration::from_secs(5),
        name: String::new(),
    };

    fn home() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::under(dir.path());
        (dir, paths)
    }

    #[tokio::test]
    async fn a_running_daemon_is_reached() {
        let (_dir, paths) = home();
        let daemon = Fake {
            contract: CONTRACT,
            pid: 7,
        }
        .serve(&paths);
        let client = connect(&paths, &OPTIONS).await.unwrap();
        assert_eq!(client.status(StatusRequest {}).await.unwrap().pid, 7);
        let refused = client.stop(StopRequest {}).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.hint.as_deref()),
            (Kind::Busy, Some("try again"))
        );
        daemon.abort();
    }

    #[tokio::test]
    async fn another_contract_is_incompatible() {
        let (_dir, paths) = home();
        let daemon = Fake {
            contract: CONTRACT + 1,
            pid: 7,
        }
        .serve(&paths);
        let error = connect(&paths, &OPTIONS).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Incompatible);
        assert!(error.message.contains("9.9.9"), "{error}");
        daemon.abort();
    }

    #[tokio::test]
    async fn without_a_daemon_it_says_how_to_start_one() {
        let (_dir, paths) = home();
        let error = connect(&paths, &OPTIONS).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.hint.is_some_and(|h| h.contains("daemon start")));
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_no_daemon() {
        let (_dir, paths) = home();
        let daemon = Fake {
            contract: CONTRACT,
            pid: 7,
        }
        .serve(&paths);
        daemon.abort();
        assert!(daemon.await.unwrap_err().is_cancelled());
        assert!(paths.socket.exists());
        assert_eq!(
            connect(&paths, &OPTIONS).await.unwrap_err().kind(),
            Kind::Unavailable
        );
    }

    #[tokio::test]
    async fn one_that_accepts_and_says_nothing_does_not_hold_us() {
        let (_dir, paths) = home();
        std::fs::create_dir_all(&paths.run_dir).unwrap();
        std::fs::set_permissions(
            &paths.run_dir,
            std::os::unix::fs::PermissionsExt::from_mode(0o700),
        )
        .unwrap();
        let _mute = std::os::unix::net::UnixListener::bind(&paths.socket).unwrap();
        let options = Options {
            timeout: Duration::from_millis(50),
            ..OPTIONS
        };
        let error = connect(&paths, &options).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.message.contains("50ms"), "{error}");
    }

    #[tokio::test]
    async fn a_client_outlives_a_restart_of_the_daemon() {
        let (_dir, paths) = home();
        // A runtime of its own takes the daemon's open connections with it.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        {
            let _inside = runtime.enter();
            Fake {
                contract: CONTRACT,
                pid: 1,
            }
            .serve(&paths);
        }
        let client = connect(&paths, &OPTIONS).await.unwrap();
        runtime.shutdown_background();
        let second = Fake {
            contract: CONTRACT,
            pid: 2,
        }
        .serve(&paths);
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut pause = Pause::new();
        // A call that was under way when the connection broke may fail; the next ones reach the new daemon.
        while !client.status(StatusRequest {}).await.is_ok_and(|s| s.pid == 2) {
            assert!(pause.wait(deadline).await, "the new daemon was not reached");
        }
        second.abort();
    }
}
