//! What several witnesses said of one call: their accounts as rows inside the record, and the keys that lead from their
//! accounts to the call.
//!
//! An account is written as what differs from the record, which is little: a witness that agrees costs some sixty bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use redb::{ReadOnlyTable, ReadableTableMetadata, WriteTransaction};
use tokmon_core::Name;
use tokmon_core::entry::{Body, Record};
use tokmon_core::id::Key;
use tokmon_core::merge::Candidate;
use tokmon_core::observation::{Attribution, Observation, Provenance};
use tokmon_core::place::Place;
use tokmon_core::tokens::Tokens;

use super::super::{Result, same_call};
use super::codec::MoneyRow;
use super::entry::{confidence_number, confidence_of, key_parts, key_whole, strange, tier_number, tier_of};
use super::tables::{self, key_bytes, key_of};

/// A record was taken apart.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SplitRow {
    #[prost(string, tag = "1")]
    agent: String,
    #[prost(string, tag = "2")]
    session: String,
    #[prost(string, tag = "3")]
    model: String,
    #[prost(uint64, tag = "4")]
    calls: u64,
}

impl SplitRow {
    /// Of an entry that says so; anything else is an empty row.
    pub(super) fn of(body: &Body) -> SplitRow {
        match body {
            Body::Split {
                agent,
                session,
                model,
                calls,
            } => SplitRow {
                agent: agent.to_string(),
                session: session.to_string(),
                model: model.to_string(),
                calls: *calls,
            },
            _ => SplitRow::default(),
        }
    }

    pub(super) fn body(self) -> Body {
        Body::Split {
            agent: self.agent.into(),
            session: self.session.into(),
            model: self.model.into(),
            calls: self.calls,
        }
    }
}

/// One witness's account. Absent: the same as in the record.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AccountRow {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) path: String,
    #[prost(uint64, tag = "3")]
    pub(super) offset: u64,
    #[prost(uint32, tag = "4")]
    pub(super) lines: u32,
    #[prost(uint32, tag = "5")]
    pub(super) day: u32,
    #[prost(fixed64, tag = "6")]
    pub(super) hash_a: u64,
    #[prost(fixed32, tag = "7")]
    pub(super) hash_b: u32,
    /// Milliseconds after the record's time.
    #[prost(sint64, tag = "8")]
    pub(super) at_ms: i64,
    /// Milliseconds after its own time.
    #[prost(sint64, tag = "9")]
    pub(super) owner_ms: i64,
    #[prost(bool, tag = "10")]
    pub(super) sidechain: bool,
    #[prost(bool, tag = "11")]
    pub(super) owner_sidechain: bool,
    /// The buckets without the zeros at the end, after one that says that they are there; none: those of the record.
    #[prost(uint64, repeated, tag = "12")]
    pub(super) tokens: Vec<u64>,
    #[prost(message, optional, tag = "13")]
    pub(super) reported: Option<MoneyRow>,
    #[prost(fixed64, tag = "14")]
    pub(super) line_hash: u64,
    #[prost(fixed64, tag = "15")]
    pub(super) request_hash: u64,
    #[prost(string, optional, tag = "16")]
    pub(super) agent: Option<String>,
    #[prost(string, optional, tag = "17")]
    pub(super) session: Option<String>,
    #[prost(string, optional, tag = "18")]
    pub(super) project: Option<String>,
    #[prost(string, optional, tag = "19")]
    pub(super) user: Option<String>,
    #[prost(string, optional, tag = "20")]
    pub(super) tool: Option<String>,
    #[prost(string, optional, tag = "21")]
    pub(super) provider: Option<String>,
    #[prost(string, optional, tag = "22")]
    pub(super) model: Option<String>,
    #[prost(string, optional, tag = "23")]
    pub(super) task: Option<String>,
    #[prost(string, optional, tag = "24")]
    pub(super) request_id: Option<String>,
    #[prost(string, optional, tag = "25")]
    pub(super) place: Option<String>,
    /// The note; never the record's.
    #[prost(string, optional, tag = "26")]
    pub(super) context: Option<String>,
    #[prost(uint32, tag = "27")]
    pub(super) tier: u32,
    #[prost(uint32, tag = "28")]
    pub(super) confidence: u32,
    #[prost(bool, tag = "29")]
    pub(super) fast: bool,
    #[prost(bool, tag = "30")]
    pub(super) us_region: bool,
    #[prost(bool, tag = "31")]
    pub(super) failed: bool,
    #[prost(uint64, tag = "32")]
    pub(super) extra_output: u64,
}

/// The row of an account of a record.
pub(super) fn account_row(account: &Candidate, record: &Observation) -> AccountRow {
    let seen = &account.seen;
    let differs = |mine: &Name, its: &Name| (mine != its).then(|| mine.to_string());
    let (hash_a, hash_b) = key_parts(&seen.key);
    let mut tokens = Vec::new();
    if seen.tokens != record.tokens {
        tokens.push(1);
        let all = seen.tokens.to_array();
        let used = all.iter().rposition(|&n| n != 0).map_or(0, |at| at + 1);
        tokens.extend_from_slice(&all[..used]);
    }
    AccountRow {
        kind: seen.source.kind.to_string(),
        path: seen.source.path.to_string(),
        offset: seen.source.offset,
        lines: seen.source.lines,
        day: seen.key.day,
        hash_a,
        hash_b,
        at_ms: seen.at_ms.wrapping_sub(record.at_ms),
        owner_ms: account.owner_at_ms.wrapping_sub(seen.at_ms),
        sidechain: seen.sidechain,
        owner_sidechain: account.owner_sidechain,
        tokens,
        reported: seen.reported_cost.map(Into::into),
        line_hash: seen.line_hash,
        request_hash: seen.request_hash,
        agent: differs(&seen.who.agent, &record.who.agent),
        session: differs(&seen.who.session, &record.who.session),
        project: differs(&seen.who.project, &record.who.project),
        user: differs(&seen.who.user, &record.who.user),
        tool: differs(&seen.who.tool, &record.who.tool),
        provider: differs(&seen.provider, &record.provider),
        model: differs(&seen.model, &record.model),
        task: differs(&seen.task, &record.task),
        request_id: differs(&seen.request_id, &record.request_id),
        place: (seen.place != record.place)
            .then(|| seen.place.as_ref().map_or_else(String::new, |place| place.text())),
        context: seen.who.context.as_deref().map(str::to_owned),
        tier: tier_number(seen.tier),
        confidence: confidence_number(seen.confidence),
        fast: seen.fast,
        us_region: seen.us_region,
        failed: seen.failed,
        extra_output: seen.extra_output,
    }
}

/// The account of a row.
pub(super) fn account(row: AccountRow, record: &Observation) -> Result<Candidate> {
    let or = |own: Option<String>, its: &Name| own.map_or_else(|| its.clone(), Name::from);
    let at_ms = record.at_ms.wrapping_add(row.at_ms);
    let tokens = match row.tokens.split_first() {
        None => record.tokens,
        Some((_, used)) => {
            let mut all = [0; 11];
            let there = all
                .get_mut(..used.len())
                .ok_or_else(|| strange("list of tokens"))?;
            there.copy_from_slice(used);
            Tokens::from_array(all)
        }
    };
    Ok(Candidate {
        owner_at_ms: at_ms.wrapping_add(row.owner_ms),
        owner_sidechain: row.owner_sidechain,
        seen: Observation {
            key: key_whole(row.day, row.hash_a, row.hash_b),
            at_ms,
            who: Attribution {
                agent: or(row.agent, &record.who.agent),
                session: or(row.session, &record.who.session),
                project: or(row.project, &record.who.project),
                user: or(row.user, &record.who.user),
                tool: or(row.tool, &record.who.tool),
                context: row.context.map(Into::into),
            },
            provider: or(row.provider, &record.provider),
            model: or(row.model, &record.model),
            tokens,
            tier: tier_of(row.tier)?,
            fast: row.fast,
            us_region: row.us_region,
            reported_cost: row.reported.map(Into::into),
            confidence: confidence_of(row.confidence)?,
            kind: record.kind,
            failed: row.failed,
            extra_output: row.extra_output,
            sidechain: row.sidechain,
            line_hash: row.line_hash,
            request_hash: row.request_hash,
            request_id: or(row.request_id, &record.request_id),
            place: match row.place {
                None => record.place.clone(),
                Some(text) if text.is_empty() => None,
                Some(text) => Some(Arc::new(Place::of_text(&text))),
            },
            task: or(row.task, &record.task),
            source: Provenance {
                kind: row.kind.into(),
                path: row.path.into(),
                offset: row.offset,
                lines: row.lines,
            },
        },
    })
}

/// Keys that lead to a call which has another one.
pub(super) struct Aliases {
    /// `None`: there is none, as in most ledgers.
    table: Option<ReadOnlyTable<&'static [u8; 16], &'static [u8; 16]>>,
}

impl Aliases {
    pub(super) fn open(table: ReadOnlyTable<&'static [u8; 16], &'static [u8; 16]>) -> Result<Aliases> {
        Ok(Aliases {
            table: (!table.is_empty()?).then_some(table),
        })
    }

    /// The key of the call.
    pub(super) fn target(&self, key: Key) -> Result<Option<Key>> {
        let Some(table) = &self.table else {
            return Ok(None);
        };
        for key in same_call(key) {
            if let Some(found) = table.get(&key_bytes(&key))? {
                return Ok(Some(key_of(found.value())));
            }
        }
        Ok(None)
    }
}

/// What a batch changes in them.
#[derive(Default)]
pub(super) struct NewAliases(BTreeMap<[u8; 16], Option<[u8; 16]>>);

impl NewAliases {
    /// A record comes.
    pub(super) fn add(&mut self, record: &Record) {
        for key in others(record) {
            self.0.insert(key, Some(key_bytes(&record.seen.key)));
        }
    }

    /// A record leaves, because another takes its place.
    pub(super) fn forget(&mut self, record: &Record) {
        for key in others(record) {
            self.0.insert(key, None);
        }
    }

    /// Writes them, in the order of the keys.
    pub(super) fn write(self, txn: &WriteTransaction) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = txn.open_table(tables::ALIAS)?;
        for (key, target) in self.0 {
            match target {
                Some(target) => table.insert(&key, &target).map(drop)?,
                None => table.remove(&key).map(drop)?,
            }
        }
        Ok(())
    }
}

/// The keys of a record's accounts that are not its own.
fn others(record: &Record) -> impl Iterator<Item = [u8; 16]> {
    let keys = record.heard.iter().map(|account| account.seen.key);
    keys.filter(|key| key.hash != record.seen.key.hash)
        .map(|key| key_bytes(&key))
}
