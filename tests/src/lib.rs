//! What every end-to-end test needs: the real binaries in a place of their own, and transcripts to feed them.
//!
//! Nothing here sleeps for readiness: the daemon says `READY=1` over the socket that systemd would give it.

pub mod binaries;
pub mod daemon;
pub mod env;
pub mod tools;
pub mod transcripts;
