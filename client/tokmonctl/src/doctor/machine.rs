//! What doctor sees of the machine itself, without the daemon.

use std::path::PathBuf;

use tokmon_client::Paths;

use crate::hook::Agent;
use crate::setup;

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    /// Agents whose configuration has all of ours; those whose configuration has none or an old one are left out.
    pub(super) set_up: Vec<&'static str>,
    /// Bytes that are free where the ledger lies. `None`: not known.
    pub(super) free_bytes: Option<u64>,
    /// The state directory.
    pub(super) state_dir: PathBuf,
    /// Our unit or agent of the service manager is in place.
    pub(super) is_service: bool,
}

impl Machine {
    pub(super) fn now() -> Machine {
        let state_dir = Paths::from_env().map(|paths| paths.state_dir).unwrap_or_default();
        let set_up = Agent::ALL.iter().copied().filter(|agent| setup::is_done(*agent));
        Machine {
            set_up: set_up.map(Agent::name).collect(),
            free_bytes: free_bytes(&state_dir),
            is_service: crate::daemon::is_installed(),
            state_dir,
        }
    }
}

#[cfg(unix)]
fn free_bytes(dir: &std::path::Path) -> Option<u64> {
    // A state directory that is still to be made lies on its parent's disk.
    let there = dir.ancestors().find(|dir| dir.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &std::path::Path) -> Option<u64> {
    None
}
