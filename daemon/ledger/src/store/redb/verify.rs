//! Checking a ledger from end to end: every row's checksum, the chain, the indexes against the entries, and
//! the sums against the records that are still there.
//!
//! Memory stays small: rollups are recounted bucket by bucket in the order of time.

use std::collections::HashMap;

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
use tokmon_core::money::Pico;
use tokmon_core::rollup::{Agg, Dims, bucket_of, bucket_start_ms};

use super::super::{MAX_FINDINGS, Result, StoreError, Verification, agrees, record_of};
use super::chain::{self, Digest};
use super::codec::{CheckpointRow, DroppedRow, PositionRow, unseal_message};
use super::entry::{from_row, ids_in, read_row, record_in};
use super::handle::guarded;
use super::names::{read_id, read_name};
use super::read::{Reader, SessionSum, SnapshotNames, read_sum};
use super::sums::{coarse_of, dims_of, session_key};
use super::tables::{self, key_bytes, name_bytes, time_of, unpair};

/// Collects what is wrong.
#[derive(Default)]
struct Findings {
    list: Vec<String>,
}

impl Findings {
    fn add(&mut self, what: String) {
        if self.list.len() < MAX_FINDINGS {
            self.list.push(what);
        }
    }

    /// A row or a whole table that cannot be read is a finding, not the end of the verification.
    fn catch<T>(&mut self, place: &str, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Damaged(why)) => {
                self.add(format!("{place}: {why}"));
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }
}

/// Checks everything in a snapshot.
pub(super) fn verify(reader: &Reader<'_>) -> Result<Verification> {
    let mut findings = Findings::default();
    let mut done = Verification::default();
    let mut calls = 0;
    let stage = guarded(|| check_chain(reader, &mut findings, &mut done, &mut calls));
    findings.catch("entries", stage)?;
    let stage = guarded(|| check_calls(reader, &mut findings, calls));
    findings.catch("calls and sums", stage)?;
    let stage = guarded(|| check_names(reader, &mut findings));
    findings.catch("names", stage)?;
    let stage = guarded(|| check_rest(reader, &mut findings));
    findings.catch("positions", stage)?;
    done.findings = findings.list;
    Ok(done)
}

/// Every batch's digest, the head, and that no entry is missing or too many.
fn check_chain(
    reader: &Reader<'_>,
    findings: &mut Findings,
    done: &mut Verification,
    calls: &mut u64,
) -> Result<()> {
    let names = reader.names()?;
    let entries = reader.txn.open_table(tables::ENTRY)?;
    let mut rows = entries.iter()?.peekable();
    let mut digest = Digest::default();
    let mut before = 0;
    for batch in reader.txn.open_table(tables::CHAIN)?.iter()? {
        let (last, value) = batch?;
        let last = last.value();
        digest.clear();
        let mut present = 0;
        while let Some(Ok((seq, _))) = rows.peek() {
            if seq.value() > last {
                break;
            }
            let Some(row) = rows.next() else { break };
            let (seq, value) = row?;
            present += 1;
            let read = digest_entry(&names, seq.value(), value.value(), &mut digest, calls);
            findings.catch("entries", read)?;
        }
        done.entries_checked += present;
        let place = format!("the batch up to entry {last}");
        if let Some(row) = findings.catch(&place, chain::read(last, value.value()))? {
            if present + row.purged != last - before {
                findings.add(format!(
                    "{place}: {present} of {} entries are there and {} were purged",
                    last - before,
                    row.purged
                ));
            } else if row.purged == 0 && row.digest != digest.finish() {
                findings.add(format!("{place}: its entries are not what was recorded"));
            }
            done.chain_head = chain::next_head(&done.chain_head, &row.digest);
        }
        before = last;
    }
    if let Some(row) = rows.next() {
        findings.add(format!("entry {} is not in the chain", row?.0.value()));
    }
    let head = chain::head(&reader.txn.open_table(tables::STATE)?);
    if let Some(head) = findings.catch("the chain", head)? {
        if head != done.chain_head {
            findings.add("the chain's head is not what its batches lead to".to_owned());
        }
    }
    Ok(())
}

fn digest_entry(
    names: &SnapshotNames<'_>,
    seq: u64,
    value: &[u8],
    digest: &mut Digest,
    calls: &mut u64,
) -> Result<()> {
    digest.entry(seq, value);
    let row = read_row(seq, value)?;
    if let Some((record, replaces)) = record_in(&row) {
        *calls += u64::from(replaces.is_none());
        for (kind, id) in (0..).zip(ids_in(record)?) {
            digest.name(&names.name(kind, id)?);
        }
    }
    Ok(())
}

/// What is enough of a session's sum to notice that it is wrong.
#[derive(Default, PartialEq)]
struct Brief {
    requests: u64,
    cache_hits: u64,
    tokens: u64,
    cost: Pico,
}

impl Brief {
    fn add(&mut self, agg: &Agg) {
        self.requests += agg.requests;
        self.cache_hits += agg.cache_hits;
        self.tokens = self.tokens.saturating_add(agg.tokens.total());
        self.cost += agg.cost;
    }
}

/// The two indexes against the entries, and rollups and sessions against the calls.
fn check_calls(reader: &Reader<'_>, findings: &mut Findings, calls: u64) -> Result<()> {
    let times = reader.txn.open_table(tables::TIME)?;
    let keys = reader.txn.open_table(tables::KEY)?;
    let entries = reader.txn.open_table(tables::ENTRY)?;
    let names = reader.names()?;
    let (by_time, by_key) = (times.len()?, keys.len()?);
    if by_time != calls || by_key != calls {
        findings.add(format!(
            "{calls} calls are kept, {by_time} are known by time and {by_key} by key"
        ));
    }
    let mut buckets = Buckets::new(reader)?;
    let mut sessions: HashMap<u64, Brief> = HashMap::new();
    for row in times.iter()? {
        let (at_ms, seq) = time_of(row?.0.value());
        let Some(row) = entries.get(seq)? else {
            findings.add(format!(
                "a call at {at_ms} ms leads to entry {seq}, which is not there"
            ));
            continue;
        };
        let call = read_row(seq, row.value()).and_then(|row| {
            let ids = record_in(&row).map(|(record, _)| ids_in(record)).transpose()?;
            Ok((ids, from_row(seq, row, |kind, id| names.name(kind, id))?))
        });
        // Entries that cannot be read have been named already.
        let Ok((Some(ids), entry)) = call else { continue };
        let Some(record) = record_of(&entry) else { continue };
        if record.seen.at_ms != at_ms {
            findings.add(format!("entry {seq} is known under another time than its own"));
        }
        let known = keys.get(&key_bytes(&record.seen.key))?.map(|found| found.value());
        if known != Some(seq) {
            findings.add(format!("the key of entry {seq} leads to {known:?}"));
        }
        let (agg, dims) = (Agg::of(record), dims_of(&ids));
        sessions.entry(session_key(&dims)).or_default().add(&agg);
        buckets.add(bucket_of(at_ms), dims, &agg, findings)?;
    }
    buckets.finish(findings)?;
    check_sessions(reader, findings, sessions)
}

/// Recounts one bucket at a time.
struct Buckets<'r, 'c> {
    reader: &'r Reader<'c>,
    horizon_ms: i64,
    bucket: u32,
    full: HashMap<Dims, Agg>,
    /// Rows that were compared, coarse and full.
    seen: [u64; 2],
}

const ROLLUPS: [(&str, TableDefinition<'static, &[u8], &[u8]>); 2] =
    [("coarse", tables::ROLL_COARSE), ("full", tables::ROLL_FULL)];

impl<'r, 'c> Buckets<'r, 'c> {
    fn new(reader: &'r Reader<'c>) -> Result<Buckets<'r, 'c>> {
        Ok(Buckets {
            reader,
            horizon_ms: reader.horizon_ms()?,
            bucket: 0,
            full: HashMap::new(),
            seen: [0; 2],
        })
    }

    fn add(&mut self, bucket: u32, dims: Dims, agg: &Agg, findings: &mut Findings) -> Result<()> {
        if bucket != self.bucket {
            self.compare(findings)?;
            self.bucket = bucket;
        }
        self.full.entry(dims).or_insert_with(Agg::empty).add(agg);
        Ok(())
    }

    fn compare(&mut self, findings: &mut Findings) -> Result<()> {
        let full = std::mem::take(&mut self.full);
        if bucket_start_ms(self.bucket) < self.horizon_ms {
            return Ok(());
        }
        let mut coarse: HashMap<Dims, Agg> = HashMap::new();
        for (dims, agg) in &full {
            coarse.entry(coarse_of(dims)).or_insert_with(Agg::empty).add(agg);
        }
        for (at, counted) in [coarse, full].into_iter().enumerate() {
            let (name, table) = ROLLUPS[at];
            let table = self.reader.txn.open_table(table)?;
            let mut key = Vec::new();
            for (dims, agg) in counted {
                tables::roll_bytes(self.bucket, &dims, &mut key);
                self.seen[at] += 1;
                let stored = match table.get(key.as_slice())? {
                    Some(row) => read_sum(&key, row.value()).map(|(_, _, stored)| Some(stored)),
                    None => Ok(None),
                };
                // A row that cannot be read is named when all rows are read.
                if stored.is_ok_and(|stored| stored.is_none_or(|stored| !agrees(&stored, &agg))) {
                    let bucket = self.bucket;
                    findings.add(format!(
                        "the {name} rollup of bucket {bucket} differs from its records"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Reads every row; those of kept buckets that no record stands behind are too many.
    fn finish(mut self, findings: &mut Findings) -> Result<()> {
        self.compare(findings)?;
        for (at, (name, table)) in ROLLUPS.into_iter().enumerate() {
            let mut kept = 0;
            for row in self.reader.txn.open_table(table)?.iter()? {
                let (key, value) = row?;
                let read = findings.catch(name, read_sum(key.value(), value.value()))?;
                kept +=
                    u64::from(read.is_none_or(|(bucket, _, _)| bucket_start_ms(bucket) >= self.horizon_ms));
            }
            if kept != self.seen[at] {
                let seen = self.seen[at];
                findings.add(format!(
                    "the {name} rollup has {kept} rows where its records make {seen}"
                ));
            }
        }
        Ok(())
    }
}

fn check_sessions(
    reader: &Reader<'_>,
    findings: &mut Findings,
    mut counted: HashMap<u64, Brief>,
) -> Result<()> {
    let horizon_ms = reader.horizon_ms()?;
    for row in reader.txn.open_table(tables::SESSION)?.iter()? {
        let (key, value) = row?;
        let (session, _) = unpair(key.value());
        let brief = counted.remove(&key.value()).unwrap_or_default();
        let read = SessionSum::read(key.value(), value.value());
        let Some(row) = findings.catch("sessions", read)? else {
            continue;
        };
        let mut stored = Brief::default();
        stored.add(&row.agg);
        if row.agg.first_ms >= horizon_ms && stored != brief {
            findings.add(format!("session {session}: its sum differs from its records"));
        }
    }
    for key in counted.keys() {
        findings.add(format!("session {} has records and no row", unpair(*key).0));
    }
    Ok(())
}

/// The dictionary, both ways.
fn check_names(reader: &Reader<'_>, findings: &mut Findings) -> Result<()> {
    let dict = reader.txn.open_table(tables::DICT)?;
    let rev = reader.txn.open_table(tables::DICT_REV)?;
    if dict.len()? != rev.len()? {
        findings.add("the two halves of the dictionary differ in length".to_owned());
    }
    for row in rev.iter()? {
        let (key, value) = row?;
        let (kind, id) = unpair(key.value());
        let Some(name) = findings.catch("names", read_name(key.value(), value.value()))? else {
            continue;
        };
        let forth = name_bytes(u8::try_from(kind).unwrap_or(u8::MAX), name);
        let back = match dict.get(forth.as_slice())? {
            Some(row) => findings.catch("names", read_id(&forth, row.value()))?,
            None => None,
        };
        if back != Some(id) {
            findings.add(format!("name {id} of kind {kind} does not lead back to itself"));
        }
    }
    Ok(())
}

/// What is left: read it, so that its checksums are checked.
fn check_rest(reader: &Reader<'_>, findings: &mut Findings) -> Result<()> {
    for row in reader.txn.open_table(tables::POSITION)?.iter()? {
        let (key, value) = row?;
        let read = unseal_message::<PositionRow>(key.value().as_bytes(), value.value(), key.value());
        findings.catch("positions", read)?;
    }
    for row in reader.txn.open_table(tables::DROPPED)?.iter()? {
        let (key, value) = row?;
        let read = unseal_message::<DroppedRow>(key.value(), value.value(), "a row");
        findings.catch("dropped lines", read)?;
    }
    let state = reader.txn.open_table(tables::STATE)?;
    if let Some(row) = state.get(super::append::CHECKPOINT_KEY)? {
        let key = super::append::CHECKPOINT_KEY.as_bytes();
        findings.catch(
            "state",
            unseal_message::<CheckpointRow>(key, row.value(), "the checkpoint"),
        )?;
    }
    Ok(())
}
