//! The process and its service manager: signals, readiness, watchdog, memory.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the outside wants of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// End in good order.
    Stop,
    /// Read the configuration again.
    Reload,
}

/// The signals that we listen to.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Starts to listen. Errors: the system refuses.
    pub(crate) fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next wish.
    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}

/// What the service manager is told. Without one, nothing happens.
#[derive(Debug, Clone)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only shown in the log"))]
pub(crate) enum Note {
    /// The daemon serves.
    Ready(String),
    /// The configuration is being read again.
    Reloading,
    /// One line about the state.
    Status(String),
    /// The daemon is ending.
    Stopping,
    /// The writer thread is alive.
    Alive,
}

/// Tells the service manager. A manager that does not listen is no reason to fail.
#[cfg(target_os = "linux")]
pub(crate) fn tell(note: &Note) {
    use sd_notify::NotifyState;
    let sent = match note {
        Note::Ready(status) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]),
        Note::Reloading => match NotifyState::monotonic_usec_now() {
            Ok(now) => sd_notify::notify(&[NotifyState::Reloading, now]),
            Err(e) => Err(e),
        },
        Note::Status(status) => sd_notify::notify(&[NotifyState::Status(status)]),
        Note::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        Note::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
    };
    if let Err(e) = sent {
        tracing::debug!("the service manager was not told: {e}");
    }
}

/// Tells the log: launchd has nothing to be told.
#[cfg(not(target_os = "linux"))]
pub(crate) fn tell(note: &Note) {
    tracing::debug!(?note, "life");
}

/// How often the watchdog wants a sign of life: half of what the service manager allows. `None`: no watchdog.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return sd_notify::watchdog_enabled().map(|d| d / 2);
    #[cfg(not(target_os = "linux"))]
    None
}

/// Resident memory of this process in bytes; 0 where the system does not tell.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// The name of a user. Where the system keeps none in its file, what the environment says, which is ours all the same:
/// nobody else gets in.
pub(crate) fn user_name(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&users, uid)
        .or_else(|| std::env::var("USER").ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| format!("uid {uid}"))
}

fn name_in(users: &str, uid: u32) -> Option<String> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    };
    users.lines().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(name_in(users, 1000).as_deref(), Some("me"));
        assert_eq!(name_in(users, 1), None);
    }
}
