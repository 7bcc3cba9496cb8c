//! Explanations for the wire: what stands behind a figure, and who saw it.

use tokmon_core::entry::Record;
use tokmon_core::merge::Candidate;
use tokmon_core::waste::WasteRules;
use tokmon_ledger::{DropReason, Dropped, Explained, Explanation, WitnessSum};
use tokmon_proto::v1;

use super::convert::{cost_parts, money, record, source, tokens};

/// An explanation for the wire.
pub(super) fn explained(e: Explanation, rules: &WasteRules, now_ms: i64) -> v1::ExplainResponse {
    let one = |x: &Explained| v1::Explained {
        record: record(&x.entry, rules, now_ms),
        price: x.costing.as_ref().map(|c| v1::AppliedPrice {
            row: format!("{}/{}", c.row.provider, c.row.model),
            origin: c.row.origin.name().to_owned(),
            detail: c.detail(),
            parts: Some(cost_parts(&c.parts)),
        }),
        dropped: x.dropped.iter().map(dropped).collect(),
        dropped_total: x.dropped_total,
    };
    v1::ExplainResponse {
        records: e.records.iter().map(one).collect(),
        next_page_token: e.next.unwrap_or_default(),
        requests: e.requests,
        duplicates_dropped: e.duplicates_dropped,
        tokens: Some(tokens(&e.tokens)),
        cost: Some(money(e.cost)),
        unpriced_models: e.unpriced_models,
        witnesses: e.witnesses.iter().map(witness).collect(),
    }
}

fn dropped(line: &Dropped) -> v1::Dropped {
    let reason = match line.reason {
        DropReason::Copy => "copy",
        DropReason::Weaker => "weaker",
        DropReason::Replaced => "replaced",
    };
    v1::Dropped {
        source: Some(v1::Source {
            kind: line.kind.to_string(),
            path: line.path.to_string(),
            offset: line.offset,
            lines: 1,
        }),
        reason: reason.to_owned(),
    }
}

/// What one of several witnesses said of a record's call.
pub(super) fn account(account: &Candidate, record: &Record) -> v1::Account {
    let seen = &account.seen;
    let counts = seen.source == record.seen.source && seen.at_ms == record.seen.at_ms;
    v1::Account {
        witness: account.witness().name().to_owned(),
        source: Some(source(&seen.source)),
        tokens: Some(tokens(&seen.tokens)),
        at_ms: seen.at_ms,
        reported_cost: seen.reported_cost.map(money),
        counted: counts,
    }
}

fn witness(sum: &WitnessSum) -> v1::WitnessSum {
    v1::WitnessSum {
        witness: sum.witness.name().to_owned(),
        calls: sum.calls,
        tokens: Some(tokens(&sum.tokens)),
        alone: sum.alone,
        unlogged: sum.unlogged,
    }
}
