//! Entries for followers.

use tokmon_core::entry::{AmendReason, Body, Entry};
use tokmon_core::report::Filter;
use tokmon_core::waste::WasteRules;
use tokmon_proto::v1;

use super::convert::record;

/// An entry for followers.
pub(super) fn follow(entry: &Entry, rules: &WasteRules, now_ms: i64) -> v1::FollowResponse {
    use v1::follow_response::Entry as Wire;
    let other = |kind: &str| Wire::Other(kind.to_owned());
    let wire = match &entry.body {
        Body::Usage(_) => record(entry, rules, now_ms).map(Wire::Record),
        Body::Amend {
            reason: AmendReason::Repriced,
            ..
        } => Some(other("repriced")),
        Body::Amend { .. } => record(entry, rules, now_ms).map(Wire::Record),
        Body::SessionReset {
            agent,
            ended,
            started,
        } => Some(Wire::SessionReset(v1::SessionReset {
            agent: agent.to_string(),
            ended: ended.to_string(),
            started: started.to_string(),
        })),
        Body::BudgetSet(_) => Some(other("budget_set")),
        Body::BudgetRemoved(_) => Some(other("budget_removed")),
        Body::BudgetAlert {
            budget,
            threshold,
            percent,
            window_start_ms,
            message,
        } => Some(Wire::Alert(v1::BudgetAlert {
            budget: budget.to_string(),
            percent: *percent,
            message: message.to_string(),
            threshold: *threshold,
            window_start_ms: *window_start_ms,
            at_ms: entry.recorded_at_ms,
            kind: "threshold".to_owned(),
            ..Default::default()
        })),
        Body::Runaway(episode) => Some(Wire::Alert(v1::BudgetAlert {
            budget: episode.stops.first().map(ToString::to_string).unwrap_or_default(),
            message: episode.message(),
            at_ms: entry.recorded_at_ms,
            kind: "runaway".to_owned(),
            agent: episode.agent.to_string(),
            session: episode.session.to_string(),
            sign: episode.sign.name().to_owned(),
            ..Default::default()
        })),
        Body::BudgetLifted { .. } => Some(other("budget_lifted")),
        Body::BudgetUnlifted { .. } => Some(other("budget_unlifted")),
        Body::Denied(_) => Some(other("denied")),
        Body::Reserved(..) => Some(other("reserved")),
        Body::Extended { .. } => Some(other("extended")),
        Body::Resolved { end, .. } => Some(other(end.name())),
        Body::Learned(_) => Some(other("learned")),
        Body::ApiSet(_) => Some(other("api_set")),
        Body::TaskAllocated(_) => Some(other("task_allocated")),
        Body::TaskCompleted { .. } => Some(other("task_completed")),
        Body::PriceSet(_) => Some(other("price_set")),
        Body::PriceRemoved { .. } => Some(other("price_removed")),
        Body::Quota(_) => Some(other("quota")),
        Body::Official(_) => Some(other("official")),
        Body::Split { .. } => Some(other("split")),
        Body::Purged { .. } => Some(other("purged")),
        Body::Repriced { .. } => Some(other("repriced")),
        Body::LedgerReplaced { .. } => Some(other("ledger_replaced")),
    };
    v1::FollowResponse {
        seq: entry.seq,
        entry: wire,
    }
}

/// An entry is for a follower with this filter. Entries that are no records pass only without one.
pub(super) fn passes(entry: &Entry, filter: &Filter) -> bool {
    let (Body::Usage(record) | Body::Amend { record, .. }) = &entry.body else {
        return filter.is_empty();
    };
    filter.covers(record)
}
