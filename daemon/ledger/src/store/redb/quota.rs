//! Readings of limits as rows.

use prost::Message;
use tokmon_core::quota::Reading;

/// What a provider said of a limit.
#[derive(Clone, PartialEq, Message)]
pub(super) struct QuotaRow {
    #[prost(string, tag = "1")]
    agent: String,
    #[prost(string, tag = "2")]
    account: String,
    #[prost(string, tag = "3")]
    limit: String,
    #[prost(uint32, tag = "4")]
    window_minutes: u32,
    /// Hundredths of a percent.
    #[prost(uint32, tag = "5")]
    used: u32,
    #[prost(int64, tag = "6")]
    resets_at_ms: i64,
    #[prost(int64, tag = "7")]
    at_ms: i64,
    #[prost(string, tag = "8")]
    plan: String,
    #[prost(string, tag = "9")]
    source: String,
}

pub(super) fn quota_row(reading: &Reading) -> QuotaRow {
    QuotaRow {
        agent: reading.agent.to_string(),
        account: reading.account.to_string(),
        limit: reading.limit.to_string(),
        window_minutes: reading.window_minutes,
        used: reading.used,
        resets_at_ms: reading.resets_at_ms,
        at_ms: reading.at_ms,
        plan: reading.plan.to_string(),
        source: reading.source.to_string(),
    }
}

pub(super) fn reading(row: QuotaRow) -> Reading {
    Reading {
        agent: row.agent.into(),
        account: row.account.into(),
        limit: row.limit.into(),
        window_minutes: row.window_minutes,
        used: row.used,
        resets_at_ms: row.resets_at_ms,
        at_ms: row.at_ms,
        plan: row.plan.into(),
        source: row.source.into(),
    }
}
