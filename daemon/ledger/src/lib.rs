//! The durable ledger: one sequence of entries, one writer, exactly once.

pub mod store;
