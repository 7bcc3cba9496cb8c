//! The contract `tokmon.v1` and nothing else: messages, services, error kinds, and where both sides meet.
//!
//! The `.proto` files under `tokmon/v1/` are the documentation; this crate is what Rust makes of them.

pub mod error;
pub mod paths;
mod policy;

/// Messages and services of `tokmon.v1`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("tokmon.v1");
}

/// The encoded `FileDescriptorSet` of the contract, for gRPC reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tokmon.bin"));

/// Contract number. It rises only when an old client could misread a new daemon.
pub const CONTRACT: u32 = 1;
