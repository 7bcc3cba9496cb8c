//! The rules of tokmon. Pure: no I/O, no clock, no async, no wire and no disk types.
//!
//! Time enters as a value, text enters as bytes, and what comes out is data. Everything here is a value
//! type or a pure function, so every rule has its table of examples beside it.

pub mod actor;
pub mod api;
pub mod audit;
pub mod blocks;
pub mod budget;
pub mod calibration;
pub mod decide;
pub mod denial;
pub mod embedding;
pub mod entry;
pub mod export;
pub mod hook;
pub mod id;
pub mod limits;
pub mod merge;
pub mod model;
pub mod money;
pub mod observation;
pub mod official;
pub mod place;
pub mod price;
pub mod quota;
pub mod refusal;
pub mod report;
pub mod rollup;
pub mod runaway;
pub mod session;
pub mod state;
pub mod task;
pub mod time;
pub mod tips;
pub mod tokens;
pub mod veil;
pub mod waste;
pub mod witness;

#[cfg(test)]
mod testing;

/// A name that many records share (agent, model, project, …).
pub type Name = std::sync::Arc<str>;
