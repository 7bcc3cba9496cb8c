//! The door's frame: the local socket, adopted from the service manager or bound by us, and the check that whoever
//! connects is the same user.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::StreamCommon;
use interprocess::local_socket::traits::tokio::Listener as _;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokmon_core::limits::MAX_CONNECTIONS;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::error::Failure;
use crate::instance::socket_dir;

/// The socket that we listen on.
pub(crate) struct Door {
    listener: Listener,
    /// Set when we bound it ourselves and unlink it at the end.
    bound: Option<PathBuf>,
    uid: u32,
}

impl Door {
    /// Adopts the socket that systemd or launchd hands over, or binds `socket`. The state directory's lock is held, so a socket
    /// file that is there belongs to a dead daemon and is replaced; a live one on the same path (another state
    /// directory with the same TOKMON_SOCKET) is a conflict.
    pub(crate) fn open(socket: &Path, uid: u32) -> Result<Door, Failure> {
        if let Some(listener) = adopted()? {
            return Ok(Door {
                listener,
                bound: None,
                uid,
            });
        }
        let dir = socket.parent().unwrap_or(Path::new("."));
        socket_dir(dir, uid)?;
        if std::os::unix::net::UnixStream::connect(socket).is_ok() {
            return Err(Failure::conflict(format!(
                "another process listens on {}",
                socket.display()
            )));
        }
        remove_dead(socket)?;
        let fail = |e: io::Error| Failure::unavailable(format!("cannot listen on {}: {e}", socket.display()));
        let name = socket.to_fs_name::<GenericFilePath>().map_err(fail)?;
        let listener = ListenerOptions::new()
            .name(name)
            .mode(0o600)
            .reclaim_name(false)
            .create_tokio()
            .map_err(fail)?;
        Ok(Door {
            listener,
            bound: Some(socket.to_path_buf()),
            uid,
        })
    }

    /// The service manager keeps the socket.
    pub(crate) fn is_adopted(&self) -> bool {
        self.bound.is_none()
    }

    /// Accepts connections of our own user, for ever. Others are closed before a byte is read.
    pub(crate) fn incoming(self) -> impl tokio_stream::Stream<Item = io::Result<Conn>> {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move {
            let door = self;
            loop {
                let Ok(place) = places.clone().acquire_owned().await else {
                    return;
                };
                let accepted = tokio::select! {
                    accepted = door.listener.accept() => accepted,
                    () = sender.closed() => return,
                };
                match accepted {
                    Ok(stream) => match peer_of(&stream) {
                        Ok(peer) if peer.uid == door.uid => {
                            let conn = Conn {
                                stream,
                                peer,
                                _place: place,
                            };
                            if sender.send(Ok(conn)).await.is_err() {
                                return;
                            }
                        }
                        Ok(peer) => warn!(uid = peer.uid, "refused a connection of another user"),
                        Err(e) => warn!("refused a connection whose user cannot be told: {e}"),
                    },
                    Err(e) => {
                        // Out of descriptors, most likely: give others time to close theirs.
                        debug!("accept failed: {e}");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                }
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(receiver)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(path) = &self.bound {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a dead daemon's socket. What is no socket is somebody's file and stays.
fn remove_dead(socket: &Path) -> Result<(), Failure> {
    let fail = |e: io::Error| Failure::unavailable(format!("cannot remove {}: {e}", socket.display()));
    match std::fs::symlink_metadata(socket) {
        Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(socket).map_err(fail),
        Ok(_) => Err(Failure::forbidden(format!(
            "{} is in the way: it is not a socket",
            socket.display()
        ))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(fail(e)),
    }
}

/// The socket that the service manager hands over, if it does.
fn adopted() -> Result<Option<Listener>, Failure> {
    use std::os::fd::{FromRawFd, OwnedFd};
    let fds =
        handed_over().map_err(|problem| Failure::unavailable(format!("socket activation: {problem}")))?;
    let fd = match fds[..] {
        [] => return Ok(None),
        [fd] => fd,
        _ => {
            return Err(Failure::config(
                "socket activation: expected one socket, got several",
            ));
        }
    };
    // SAFETY: the service manager passed this descriptor to us alone, and it is taken only here, once.
    #[allow(unsafe_code)]
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let listener = interprocess::os::unix::uds_local_socket::tokio::Listener::try_from(fd)
        .map_err(|e| Failure::unavailable(format!("socket activation: {e}")))?;
    Ok(Some(listener.into()))
}

/// systemd names the descriptors in the environment.
#[cfg(target_os = "linux")]
fn handed_over() -> Result<Vec<std::os::fd::RawFd>, String> {
    sd_notify::listen_fds()
        .map(Iterator::collect)
        .map_err(|e| e.to_string())
}

/// launchd is asked for them, by the name in the agent's property list.
#[cfg(target_os = "macos")]
fn handed_over() -> Result<Vec<std::os::fd::RawFd>, String> {
    match raunch::activate_socket("Listener") {
        Ok(fds) => Ok(fds),
        // Started by hand, or by an agent that was written before it had a socket.
        Err(raunch::Error::NotManaged | raunch::Error::NotInPlist) => Ok(Vec::new()),
        Err(e) => Err(e.to_string()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn handed_over() -> Result<Vec<std::os::fd::RawFd>, String> {
    Ok(Vec::new())
}

fn peer_of(stream: &Stream) -> io::Result<Peer> {
    let creds = stream.peer_creds()?;
    let uid = creds
        .euid()
        .ok_or_else(|| io::Error::other("the system does not tell"))?;
    Ok(Peer {
        uid,
        pid: creds.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
        client: Arc::default(),
    })
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The user.
    pub uid: u32,
    /// The process that connected; 0: the system does not tell.
    pub pid: u32,
    /// What the program called itself in the handshake.
    pub client: Arc<OnceLock<String>>,
}

/// A connection of our own user.
pub(crate) struct Conn {
    stream: Stream,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

impl Connected for Conn {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_socket_goes_and_a_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        remove_dead(&socket).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        remove_dead(&socket).unwrap();
        assert!(!socket.exists());
        std::fs::write(&socket, "a letter").unwrap();
        assert_eq!(remove_dead(&socket).unwrap_err().exit_code(), 77);
        assert_eq!(std::fs::read_to_string(&socket).unwrap(), "a letter");
    }
}
