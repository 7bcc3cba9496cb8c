//! Telemetry: what agents export over OpenTelemetry's protocol (OTLP) becomes observations.
//!
//! Bytes go in, from whatever carried them; what is of interest is read by an allow-list (`attributes`) while the
//! rest is stepped over in place; each agent's way of saying things has its table (`map`); and what is found goes to
//! the ledger with keys that a repeated export shares. Metrics are not counted; they are
//! kept as a cross-check (`measured`).

mod attributes;
mod json;
mod map;
mod measured;
mod metrics;
mod protobuf;
mod receiver;
mod record;
mod tally;
#[cfg(test)]
mod wire;

pub use measured::Measured;
pub use receiver::{Accepted, ReceiveError, Receiver};
pub use record::{Encoding, Signal};
pub use tally::{SenderTally, Tally};
