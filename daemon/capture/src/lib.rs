//! Capture: what agents write down anyway becomes observations in the ledger.
//!
//! A root is walked for an agent's files, each file is read from where the ledger says it was left, every line
//! goes through the agent's pure parser, and the observations travel to the ledger together with the new read
//! position. A crash in between reads a line again; its content-derived key makes it a duplicate.

mod agents;
mod git;
pub mod growth;
mod open;
pub mod otlp;
mod pattern;
mod repositories;
mod roots;
mod scan;
mod shared;
mod sink;
mod source;
mod sqlite;
mod status;
mod tail;
mod unpack;
mod walk;
mod watch;

pub use agents::{Agent, LogMap};
pub use open::open_regular;
pub use repositories::Repositories;
pub use roots::{Root, find_roots};
pub use scan::Scanner;
pub use shared::Shared;
pub use sink::{Outcome, Sink, SinkError};
pub use source::{Capture, Find, Options};
pub use status::{ParseFailure, Progress, SourceState, SourceStatus, UnknownField};
