//! Client library of tokmon: connects to the daemon, starts it when asked, and offers one method per verb.
//!
//! ```no_run
//! # async fn example() -> Result<(), tokmon_client::Error> {
//! use tokmon_client::{Client, Options, v1};
//!
//! let client = Client::connect(&Options::default()).await?;
//! let totals = client.totals(v1::TotalsRequest::default()).await?;
//! println!("{} requests", totals.totals.unwrap_or_default().requests);
//! # Ok(())
//! # }
//! ```

mod client;
mod connect;
mod error;
#[cfg(all(test, unix))]
mod fake;
pub mod policy;
mod start;
mod trust;

pub use client::Client;
pub use connect::Options;
pub use error::Error;
pub use start::{PROGRAM, PROGRAM_VAR, find_program};
pub use tokmon_proto::error::Kind;
pub use tokmon_proto::paths::Paths;
pub use tokmon_proto::v1;
pub use tonic::Streaming;
