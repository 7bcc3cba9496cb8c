//! Where client and daemon meet: the files and the socket, found by both in the same way.
//!
//! `TOKMON_HOME=DIR` puts everything under DIR. Without it the platform's usual places are used
//! (XDG on Linux, `~/Library/Application Support` on macOS).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The environment variable that moves everything under one directory.
pub const HOME_VAR: &str = "TOKMON_HOME";
/// The environment variable that names the socket by itself.
pub const SOCKET_VAR: &str = "TOKMON_SOCKET";
/// File name of the socket; the number is the contract's.
pub const SOCKET_NAME: &str = "tokmond.v1.sock";
/// Unix socket paths end at 108 bytes on Linux and at 104 on macOS, the closing zero included.
pub const MAX_SOCKET_PATH: usize = 100;

/// The places of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Directory of `config.toml`.
    pub config_dir: PathBuf,
    /// Directory of the ledger, the lock and backups.
    pub state_dir: PathBuf,
    /// Directory of log files.
    pub log_dir: PathBuf,
    /// Directory of the socket; mode 0700.
    pub run_dir: PathBuf,
    /// The socket.
    pub socket: PathBuf,
}

/// No place can be found.
#[derive(Debug, thiserror::Error)]
#[error("no home directory: set {HOME_VAR} to a directory that tokmon may use")]
pub struct NoHome;

impl Paths {
    /// From the process's environment.
    pub fn from_env() -> Result<Paths, NoHome> {
        Paths::from_vars(|name| std::env::var_os(name))
    }

    /// From the given variables; the platform's home is still asked for when `TOKMON_HOME` is not among them.
    pub fn from_vars(var: impl Fn(&str) -> Option<OsString>) -> Result<Paths, NoHome> {
        let set = |name: &str| var(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let mut paths = match set(HOME_VAR) {
            Some(home) => Paths::under(&std::path::absolute(&home).unwrap_or(home)),
            None => Paths::of_platform(set("XDG_RUNTIME_DIR"))?,
        };
        if let Some(socket) = set(SOCKET_VAR) {
            paths.run_dir = socket.parent().map(Path::to_path_buf).unwrap_or_default();
            paths.socket = socket;
        }
        Ok(paths)
    }

    /// Everything under one directory.
    pub fn under(home: &Path) -> Paths {
        let run_dir = short_enough(home.join("run"), home);
        Paths {
            config_dir: home.to_path_buf(),
            state_dir: home.join("state"),
            log_dir: home.join("log"),
            socket: run_dir.join(SOCKET_NAME),
            run_dir,
        }
    }

    fn of_platform(runtime_dir: Option<PathBuf>) -> Result<Paths, NoHome> {
        let dirs = directories::ProjectDirs::from("", "", "tokmon").ok_or(NoHome)?;
        let state_dir = dirs
            .state_dir()
            .unwrap_or_else(|| dirs.data_local_dir())
            .to_path_buf();
        let run_dir = match runtime_dir {
            Some(dir) => dir.join("tokmon"),
            None => state_dir.join("run"),
        };
        let run_dir = short_enough(run_dir, &state_dir);
        Ok(Paths {
            config_dir: dirs.config_dir().to_path_buf(),
            log_dir: state_dir.join("log"),
            socket: run_dir.join(SOCKET_NAME),
            state_dir,
            run_dir,
        })
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.config_dir.join("config.toml")
    }

    /// The ledger.
    pub fn ledger_file(&self) -> PathBuf {
        self.state_dir.join("ledger.redb")
    }

    /// What clients go by that cannot reach the daemon: an encoded `v1::UnreachablePolicy`. Missing: no budget ever
    /// asked to be kept then.
    pub fn policy_file(&self) -> PathBuf {
        self.state_dir.join("unreachable.policy")
    }

    /// The token that senders of telemetry must show.
    pub fn otlp_token_file(&self) -> PathBuf {
        self.state_dir.join("otlp.token")
    }

    /// The lock that a running daemon holds.
    pub fn lock_file(&self) -> PathBuf {
        self.state_dir.join("tokmond.lock")
    }
}

/// A run directory whose socket path the system accepts: the wanted one, or a short one under the temporary
/// directory that is derived from the home.
fn short_enough(wanted: PathBuf, home: &Path) -> PathBuf {
    if wanted.as_os_str().len() + 1 + SOCKET_NAME.len() <= MAX_SOCKET_PATH {
        return wanted;
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in home.as_os_str().as_encoded_bytes() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Path::new("/tmp").join(format!("tokmon-{hash:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Paths {
        Paths::from_vars(|name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| OsString::from(v))
        })
        .unwrap()
    }

    #[test]
    fn home_holds_everything() {
        let paths = from(&[(HOME_VAR, "/h")]);
        assert_eq!(paths.config_file(), Path::new("/h/config.toml"));
        assert_eq!(paths.ledger_file(), Path::new("/h/state/ledger.redb"));
        assert_eq!(paths.socket, Path::new("/h/run/tokmond.v1.sock"));
    }

    #[test]
    fn a_socket_can_be_named_by_itself() {
        let paths = from(&[(HOME_VAR, "/h"), (SOCKET_VAR, "/s/x.sock")]);
        assert_eq!(paths.socket, Path::new("/s/x.sock"));
        assert_eq!(paths.run_dir, Path::new("/s"));
    }

    #[test]
    fn a_long_home_gets_a_short_socket_of_its_own() {
        let (a, b) = ("/a".repeat(80), "/b".repeat(80));
        let (a, b) = (from(&[(HOME_VAR, &a)]), from(&[(HOME_VAR, &b)]));
        assert!(a.socket.as_os_str().len() <= MAX_SOCKET_PATH);
        assert_ne!(a.socket, b.socket);
    }
}
