//! Entries as rows and back.

use std::sync::Arc;

use tokmon_core::Name;
use tokmon_core::entry::{AmendReason, Body, Entry, Finding, Record};
use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::observation::{Attribution, CallKind, Confidence, Observation, Provenance, Tier};
use tokmon_core::place::Place;
use tokmon_core::tokens::Tokens;

use super::super::{Result, StoreError, names_of};
use super::codec::{
    AmendRow, BodyRow, BudgetAlertRow, EntryRow, FindingRow, LedgerReplacedRow, PriceRemovedRow, PurgedRow,
    RecordRow, SessionResetRow, reason_number, rule_number, rule_of, unseal, unseal_message,
};
pub(super) use super::reservation::strange;
use super::tables::{KIND_PATH, KIND_PLACE, KIND_SOURCE, KINDS, KINDS_OF_ALL};
use super::{quota, reservation, runaway, task, witness};

/// Ids of a record's names: the first dimensions, the source's kind, its path, the place.
pub(super) type Ids = [u32; KINDS];

/// Gives every name of a record its id.
pub(super) fn ids_of(record: &Record, mut id: impl FnMut(u8, &Name) -> Result<u32>) -> Result<Ids> {
    let mut ids = Ids::default();
    for (kind, name) in (0..).zip(names_of(record)) {
        ids[kind as usize] = id(kind, name)?;
    }
    ids[KIND_SOURCE as usize] = id(KIND_SOURCE, &record.seen.source.kind)?;
    ids[KIND_PATH as usize] = id(KIND_PATH, &record.seen.source.path)?;
    if let Some(place) = &record.seen.place {
        ids[KIND_PLACE as usize] = id(KIND_PLACE, &place.text().into())?;
    }
    Ok(ids)
}

/// The kinds and ids of a record's names that the chain goes over. A place that is not known is none of them: what was
/// written before there were places stays as it is.
pub(super) fn digested(ids: &Ids) -> impl Iterator<Item = (u8, u32)> {
    (0..)
        .zip(*ids)
        .filter(|&(kind, id)| kind != KIND_PLACE || id != 0)
}

/// The row of an entry. `ids` are those of its record, if it has one.
pub(super) fn to_row(entry: &Entry, ids: &Ids) -> EntryRow {
    let (base, body) = match &entry.body {
        Body::Usage(record) => (record.seen.at_ms, BodyRow::Usage(record_row(record, ids))),
        Body::Amend {
            replaces,
            reason,
            record,
        } => (
            record.seen.at_ms,
            BodyRow::Amend(AmendRow {
                replaces: *replaces,
                reason: reason_number(*reason),
                record: Some(record_row(record, ids)),
            }),
        ),
        Body::SessionReset {
            agent,
            ended,
            started,
        } => (
            0,
            BodyRow::SessionReset(SessionResetRow {
                agent: agent.to_string(),
                ended: ended.to_string(),
                started: started.to_string(),
            }),
        ),
        Body::BudgetSet(text) => (0, BodyRow::BudgetSet(text.to_string())),
        Body::BudgetRemoved(name) => (0, BodyRow::BudgetRemoved(name.to_string())),
        Body::BudgetAlert {
            budget,
            threshold,
            percent,
            window_start_ms,
            message,
        } => (
            0,
            BodyRow::BudgetAlert(BudgetAlertRow {
                budget: budget.to_string(),
                threshold: *threshold,
                percent: *percent,
                window_start_ms: *window_start_ms,
                message: message.to_string(),
            }),
        ),
        Body::BudgetLifted { budget, lift } => (0, reservation::lifted_row(budget, lift)),
        Body::Reserved(reserved, grounds) => (0, reservation::reserved_row(reserved, grounds.as_deref())),
        Body::Extended {
            id,
            whose,
            grounds,
            estimate,
            expires_at_ms,
        } => {
            let grounds = grounds.as_deref();
            (
                0,
                reservation::extended_row(id, whose, grounds, estimate, *expires_at_ms),
            )
        }
        Body::Resolved {
            id,
            whose,
            end,
            content,
        } => (0, reservation::resolved_row(id, whose, *end, *content)),
        Body::Learned(text) => (0, BodyRow::Learned(text.to_string())),
        Body::ApiSet(text) => (0, BodyRow::ApiSet(text.to_string())),
        Body::TaskAllocated(allocation) => (0, task::allocated_row(allocation)),
        Body::TaskCompleted { session, task } => (0, task::completed_row(session, task)),
        Body::PriceSet(text) => (0, BodyRow::PriceSet(text.to_string())),
        Body::PriceRemoved { provider, model } => (
            0,
            BodyRow::PriceRemoved(PriceRemovedRow {
                provider: provider.to_string(),
                model: model.to_string(),
            }),
        ),
        Body::Split { .. } => (0, BodyRow::Split(witness::SplitRow::of(&entry.body))),
        Body::Official(text) => (0, BodyRow::Official(text.to_string())),
        Body::Quota(reading) => (0, BodyRow::Quota(quota::quota_row(reading))),
        Body::Purged { horizon_ms, records } => (
            0,
            BodyRow::Purged(PurgedRow {
                horizon_ms: *horizon_ms,
                records: *records,
            }),
        ),
        Body::Runaway(episode) => (0, BodyRow::Runaway(runaway::row(episode))),
        Body::Denied(denial) => (0, reservation::denied_row(denial)),
        Body::BudgetUnlifted { budget, session } => (
            0,
            BodyRow::BudgetUnlifted(reservation::BudgetUnliftedRow {
                budget: budget.to_string(),
                session: session.to_string(),
            }),
        ),
        Body::Repriced { records } => (0, BodyRow::Repriced(*records)),
        Body::LedgerReplaced { from, set_aside } => (
            0,
            BodyRow::LedgerReplaced(LedgerReplacedRow {
                from: from.to_string(),
                set_aside: set_aside.to_string(),
            }),
        ),
    };
    EntryRow {
        recorded_ms: entry.recorded_at_ms.wrapping_sub(base),
        body: Some(body),
        by: entry.by.as_deref().map(Into::into),
    }
}

fn record_row(record: &Record, ids: &Ids) -> RecordRow {
    let seen = &record.seen;
    let tokens = seen.tokens.to_array();
    let used = tokens.iter().rposition(|&n| n != 0).map_or(0, |at| at + 1);
    let (hash_a, hash_b) = key_parts(&seen.key);
    RecordRow {
        ids: ids[..KINDS_OF_ALL].to_vec(),
        place: ids[KIND_PLACE as usize],
        request_id: seen.request_id.to_string(),
        heard: (record.heard.iter())
            .map(|account| witness::account_row(account, seen))
            .collect(),
        tokens: tokens[..used].to_vec(),
        at_ms: seen.at_ms,
        day: seen.key.day,
        hash_a,
        hash_b,
        offset: seen.source.offset,
        lines: seen.source.lines,
        line_hash: seen.line_hash,
        request_hash: seen.request_hash,
        cost: record.cost.map(Into::into),
        reported: seen.reported_cost.map(Into::into),
        owner_ms: record.owner_at_ms.wrapping_sub(seen.at_ms),
        waste: record.waste.iter().map(finding_row).collect(),
        extra_output: seen.extra_output,
        tier: tier_number(seen.tier),
        confidence: confidence_number(seen.confidence),
        kind: match seen.kind {
            CallKind::Completion => 0,
            CallKind::Embedding => 1,
            CallKind::CacheHit => 2,
            CallKind::Several => 3,
        },
        fast: seen.fast,
        us_region: seen.us_region,
        failed: seen.failed,
        sidechain: seen.sidechain,
        owner_sidechain: record.owner_sidechain,
        context: seen.who.context.as_deref().map(str::to_owned),
        task: Some(seen.task.to_string()).filter(|task| !task.is_empty()),
    }
}

fn finding_row(finding: &Finding) -> FindingRow {
    FindingRow {
        rule: rule_number(finding.rule),
        figure: finding.figure,
        tokens: finding.wasted_tokens,
        cost: (finding.wasted_cost != Pico::ZERO).then(|| finding.wasted_cost.into()),
    }
}

/// Reads an entry's row without its names.
pub(super) fn read_row(seq: u64, value: &[u8]) -> Result<EntryRow> {
    unseal_message(&seq.to_le_bytes(), value, "an entry").map_err(|e| at_entry(seq, e))
}

/// Whether an entry's row holds a call, without reading more of it than its beginning.
pub(super) fn is_call(seq: u64, value: &[u8]) -> Result<bool> {
    let body = unseal(&seq.to_le_bytes(), value, "an entry").map_err(|e| at_entry(seq, e))?;
    // The first field is the time, if it is not 0: its key and a number of up to ten bytes.
    let body = match body {
        [TIME_KEY, rest @ ..] => {
            let last = rest.iter().take(10).position(|byte| byte & 0x80 == 0);
            last.and_then(|last| rest.get(last + 1..)).unwrap_or_default()
        }
        other => other,
    };
    Ok(matches!(body.first(), Some(&(USAGE_KEY | AMEND_KEY))))
}

/// Keys of fields as protobuf writes them: the time, a call, an amended call.
const TIME_KEY: u8 = 1 << 3;
const USAGE_KEY: u8 = 2 << 3 | 2;
const AMEND_KEY: u8 = 3 << 3 | 2;

/// Says which entry it was.
fn at_entry(seq: u64, e: StoreError) -> StoreError {
    match e {
        StoreError::Damaged(why) => StoreError::Damaged(format!("entry {seq}: {why}")),
        other => other,
    }
}

/// The record in a row, if there is one, and the entry that it replaces.
pub(super) fn record_in(row: &EntryRow) -> Option<(&RecordRow, Option<u64>)> {
    match row.body.as_ref()? {
        BodyRow::Usage(record) => Some((record, None)),
        BodyRow::Amend(amend) => Some((amend.record.as_ref()?, Some(amend.replaces))),
        _ => None,
    }
}

impl RecordRow {
    /// The call's key.
    pub(super) fn key(&self) -> Key {
        key_whole(self.day, self.hash_a, self.hash_b)
    }
}

/// A key's hash in two numbers.
pub(super) fn key_parts(key: &Key) -> (u64, u32) {
    let (mut a, mut b) = ([0; 8], [0; 4]);
    a.copy_from_slice(&key.hash[..8]);
    b.copy_from_slice(&key.hash[8..]);
    (u64::from_le_bytes(a), u32::from_le_bytes(b))
}

/// The inverse of [`key_parts`].
pub(super) fn key_whole(day: u32, hash_a: u64, hash_b: u32) -> Key {
    let mut hash = [0; 12];
    hash[..8].copy_from_slice(&hash_a.to_le_bytes());
    hash[8..].copy_from_slice(&hash_b.to_le_bytes());
    Key { day, hash }
}

/// A tier's number on disk.
pub(super) fn tier_number(tier: Tier) -> u32 {
    match tier {
        Tier::Standard => 0,
        Tier::Priority => 1,
        Tier::Flex => 2,
        Tier::Batch => 3,
    }
}

/// The inverse of [`tier_number`].
pub(super) fn tier_of(number: u32) -> Result<Tier> {
    match number {
        0 => Ok(Tier::Standard),
        1 => Ok(Tier::Priority),
        2 => Ok(Tier::Flex),
        3 => Ok(Tier::Batch),
        _ => Err(strange("tier")),
    }
}

/// A confidence's number on disk.
pub(super) fn confidence_number(confidence: Confidence) -> u32 {
    match confidence {
        Confidence::Reported => 0,
        Confidence::Counted => 1,
        Confidence::Estimated => 2,
    }
}

/// The inverse of [`confidence_number`].
pub(super) fn confidence_of(number: u32) -> Result<Confidence> {
    match number {
        0 => Ok(Confidence::Reported),
        1 => Ok(Confidence::Counted),
        2 => Ok(Confidence::Estimated),
        _ => Err(strange("confidence")),
    }
}

/// Reads an entry.
pub(super) fn from_bytes(seq: u64, value: &[u8], name: impl FnMut(u8, u32) -> Result<Name>) -> Result<Entry> {
    from_row(seq, read_row(seq, value)?, name).map_err(|e| at_entry(seq, e))
}

/// The entry of a row.
pub(super) fn from_row(seq: u64, row: EntryRow, name: impl FnMut(u8, u32) -> Result<Name>) -> Result<Entry> {
    let body = row.body.ok_or_else(|| strange("body"))?;
    let mut base = 0;
    let body = match body {
        BodyRow::Usage(row) => {
            base = row.at_ms;
            Body::Usage(Box::new(record(row, name)?))
        }
        BodyRow::Amend(row) => {
            let reason = match row.reason {
                0 => AmendReason::Better,
                1 => AmendReason::Attribution,
                2 => AmendReason::Repriced,
                3 => AmendReason::Joined,
                4 => AmendReason::Split,
                _ => return Err(strange("reason")),
            };
            let inner = row.record.ok_or_else(|| strange("record"))?;
            base = inner.at_ms;
            Body::Amend {
                replaces: row.replaces,
                reason,
                record: Box::new(record(inner, name)?),
            }
        }
        BodyRow::SessionReset(row) => Body::SessionReset {
            agent: row.agent.into(),
            ended: row.ended.into(),
            started: row.started.into(),
        },
        BodyRow::BudgetSet(text) => Body::BudgetSet(text.into()),
        BodyRow::BudgetRemoved(name) => Body::BudgetRemoved(name.into()),
        BodyRow::BudgetAlert(row) => Body::BudgetAlert {
            budget: row.budget.into(),
            threshold: row.threshold,
            percent: row.percent,
            window_start_ms: row.window_start_ms,
            message: row.message.into(),
        },
        BodyRow::BudgetLifted(row) => reservation::lifted(row),
        BodyRow::Reserved(row) => reservation::reserved(row)?,
        BodyRow::Extended(row) => reservation::extended(row)?,
        BodyRow::Resolved(row) => reservation::resolved(row)?,
        BodyRow::Learned(text) => Body::Learned(text.into()),
        BodyRow::ApiSet(text) => Body::ApiSet(text.into()),
        BodyRow::TaskAllocated(row) => task::allocated(row),
        BodyRow::TaskCompleted(row) => task::completed(row),
        BodyRow::PriceSet(text) => Body::PriceSet(text.into()),
        BodyRow::PriceRemoved(row) => Body::PriceRemoved {
            provider: row.provider.into(),
            model: row.model.into(),
        },
        BodyRow::Split(row) => row.body(),
        BodyRow::Official(text) => Body::Official(text.into()),
        BodyRow::Quota(row) => Body::Quota(Box::new(quota::reading(row))),
        BodyRow::Purged(row) => Body::Purged {
            horizon_ms: row.horizon_ms,
            records: row.records,
        },
        BodyRow::Runaway(row) => Body::Runaway(Box::new(runaway::episode(row)?)),
        BodyRow::Denied(row) => reservation::denied(row)?,
        BodyRow::BudgetUnlifted(row) => Body::BudgetUnlifted {
            budget: row.budget.into(),
            session: row.session.into(),
        },
        BodyRow::Repriced(records) => Body::Repriced { records },
        BodyRow::LedgerReplaced(row) => Body::LedgerReplaced {
            from: row.from.into(),
            set_aside: row.set_aside.into(),
        },
    };
    Ok(Entry {
        seq,
        recorded_at_ms: row.recorded_ms.wrapping_add(base),
        by: row.by.map(|by| Arc::new(by.into())),
        body,
    })
}

/// The ids in a row; it must hold exactly one for each kind, and may hold one for the place.
pub(super) fn ids_in(row: &RecordRow) -> Result<Ids> {
    let mut ids = Ids::default();
    if row.ids.len() != KINDS_OF_ALL {
        return Err(strange("list of names"));
    }
    ids[..KINDS_OF_ALL].copy_from_slice(&row.ids);
    ids[KIND_PLACE as usize] = row.place;
    Ok(ids)
}

fn record(row: RecordRow, mut name: impl FnMut(u8, u32) -> Result<Name>) -> Result<Record> {
    let ids = ids_in(&row)?;
    let mut of = |kind: u8| name(kind, ids[kind as usize]);
    let place = match ids[KIND_PLACE as usize] {
        0 => None,
        _ => Some(Arc::new(Place::of_text(&of(KIND_PLACE)?))),
    };
    let mut tokens = [0; 11];
    tokens
        .get_mut(..row.tokens.len())
        .ok_or_else(|| strange("list of tokens"))?
        .copy_from_slice(&row.tokens);
    let waste = row.waste.iter().map(finding).collect::<Result<Vec<_>>>()?;
    let seen = Observation {
        key: row.key(),
        at_ms: row.at_ms,
        who: Attribution {
            agent: of(0)?,
            project: of(3)?,
            session: of(4)?,
            tool: of(5)?,
            user: of(6)?,
            context: row.context.map(Into::into),
        },
        provider: of(1)?,
        model: of(2)?,
        tokens: Tokens::from_array(tokens),
        tier: tier_of(row.tier)?,
        fast: row.fast,
        us_region: row.us_region,
        reported_cost: row.reported.map(Into::into),
        confidence: confidence_of(row.confidence)?,
        kind: match row.kind {
            0 => CallKind::Completion,
            1 => CallKind::Embedding,
            2 => CallKind::CacheHit,
            3 => CallKind::Several,
            _ => return Err(strange("kind of call")),
        },
        failed: row.failed,
        extra_output: row.extra_output,
        sidechain: row.sidechain,
        line_hash: row.line_hash,
        request_hash: row.request_hash,
        task: row.task.unwrap_or_default().into(),
        source: Provenance {
            kind: of(KIND_SOURCE)?,
            path: of(KIND_PATH)?,
            offset: row.offset,
            lines: row.lines,
        },
        request_id: row.request_id.as_str().into(),
        place,
    };
    let heard = row
        .heard
        .into_iter()
        .map(|account| witness::account(account, &seen));
    let heard = heard.collect::<Result<Vec<_>>>()?;
    Ok(Record {
        heard,
        owner_at_ms: row.owner_ms.wrapping_add(seen.at_ms),
        owner_sidechain: row.owner_sidechain,
        cost: row.cost.map(Into::into),
        waste,
        seen,
    })
}

fn finding(row: &FindingRow) -> Result<Finding> {
    Ok(Finding {
        rule: rule_of(row.rule).ok_or_else(|| strange("waste rule"))?,
        figure: row.figure,
        wasted_tokens: row.tokens,
        wasted_cost: row.cost.map(Into::into).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
