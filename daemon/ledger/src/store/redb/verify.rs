//! Checking a ledger from end to end: every row's checksum, the chain, the indexes against the entries, and
//! the sums against the records that are still there.
//!
//! Memory stays small: rollups are recounted bucket by bucket in the order of time.

use std::collections::HashMap;

use redb::{ReadableTable, ReadableTableMetadata};
use tokmon_core::money::Pico;
use tokmon_core::rollup::{Agg, Dims, bucket_of, bucket_start_ms};

use super::super::{MAX_FINDINGS, Result, StoreError, Verification, agrees, record_of};
use super::chain::{self, Digest};
use super::codec::{CheckpointRow, DroppedRow, PositionRow, unseal_message};
use super::entry::{digested, from_row, ids_in, read_row, record_in};
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
    let stage = guarded(|| check_coarse(reader, &mut findings));
    findings.catch("coarse rollup", stage)?;
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
        let row = chain::read(last, value.value()).and_then(|row| Ok((row.purged, chain::hash_in(&row)?)));
        if let Some((purged, hash)) = findings.catch(&place, row)? {
            let expected = chain::link(&done.chain_head, &digest.finish());
            if present + purged != last - before {
                findings.add(format!(
                    "{place}: {present} of {} entries are there and {purged} were purged",
                    last - before
                ));
            } else if purged == 0 && hash != expected {
                findings.add(format!("{place}: its entries are not what was recorded"));
            }
            done.chain_head = hash;
        }
        before = last;
    }
    if let Some(row) = rows.next() {
        findings.add(format!("entry {} is not in the chain", row?.0.value()));
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
        for (kind, id) in digested(&ids_in(record)?) {
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
        // A booking that was taken back is in no sum.
        if agg.is_empty() {
            continue;
        }
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
    /// Rows that were compared.
    seen: u64,
}

impl<'r, 'c> Buckets<'r, 'c> {
    fn new(reader: &'r Reader<'c>) -> Result<Buckets<'r, 'c>> {
        Ok(Buckets {
            reader,
            horizon_ms: reader.horizon_ms()?,
            bucket: 0,
            full: HashMap::new(),
            seen: 0,
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
        let table = self.reader.txn.open_table(tables::ROLL_FULL)?;
        let (mut key, mut stored) = (Vec::new(), Agg::default());
        for (dims, agg) in full {
            tables::roll_bytes(self.bucket, &dims, &mut key);
            self.seen += 1;
            let same = match table.get(key.as_slice())? {
                // A row that cannot be read is named when all rows are read.
                Some(row) => read_sum(&key, row.value(), &mut stored).is_err() || agrees(&stored, &agg),
                None => false,
            };
            if !same {
                let bucket = self.bucket;
                findings.add(format!("the rollup of bucket {bucket} differs from its records"));
            }
        }
        Ok(())
    }

    /// Reads every row; those of kept buckets that no record stands behind are too many.
    fn finish(mut self, findings: &mut Findings) -> Result<()> {
        self.compare(findings)?;
        let (mut kept, mut agg) = (0, Agg::default());
        for row in self.reader.txn.open_table(tables::ROLL_FULL)?.iter()? {
            let (key, value) = row?;
            let read = findings.catch("rollups", read_sum(key.value(), value.value(), &mut agg))?;
            kept += u64::from(read.is_none_or(|(bucket, _)| bucket_start_ms(bucket) >= self.horizon_ms));
        }
        if kept != self.seen {
            let seen = self.seen;
            findings.add(format!(
                "the rollup has {kept} rows where its records make {seen}"
            ));
        }
        Ok(())
    }
}

/// The coarse rollup against the full one, also where the records are gone: a week at a time.
fn check_coarse(reader: &Reader<'_>, findings: &mut Findings) -> Result<()> {
    const WEEK: u32 = 7 * 96;
    let full = reader.txn.open_table(tables::ROLL_FULL)?;
    let (Some((first, _)), Some((last, _))) = (full.first()?, full.last()?) else {
        let mut rows = 0;
        reader.rollup_coarse(0..u32::MAX, &mut |_, _, _| rows += 1)?;
        if rows > 0 {
            findings.add(format!("the coarse rollup has {rows} sums and the full one none"));
        }
        return Ok(());
    };
    let (first, last) = (
        tables::roll_of(first.value())?.0,
        tables::roll_of(last.value())?.0,
    );
    let mut stray = 0;
    reader.rollup_coarse(0..first, &mut |_, _, _| stray += 1)?;
    reader.rollup_coarse(last.saturating_add(1)..u32::MAX, &mut |_, _, _| stray += 1)?;
    let mut from = first;
    while from <= last {
        let week = from..from.saturating_add(WEEK).min(last.saturating_add(1));
        let mut sums: HashMap<(u32, Dims), Agg> = HashMap::new();
        reader.rollup_full(week.clone(), &mut |bucket, dims, agg| {
            sums.entry((bucket, coarse_of(dims)))
                .or_insert_with(Agg::empty)
                .add(agg);
        })?;
        let mut wrong = Vec::new();
        reader.rollup_coarse(week.clone(), &mut |bucket, dims, stored| {
            let counted = sums.remove(&(bucket, *dims));
            if counted.is_none_or(|counted| !agrees(stored, &counted)) {
                wrong.push(bucket);
            }
        })?;
        wrong.extend(sums.keys().map(|row| row.0));
        for bucket in wrong {
            findings.add(format!(
                "the coarse rollup of bucket {bucket} differs from the full one"
            ));
        }
        from = week.end;
        if week.end == u32::MAX {
            break;
        }
    }
    if stray > 0 {
        findings.add(format!(
            "the coarse rollup has {stray} sums outside of the full one's time"
        ));
    }
    Ok(())
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
    let keys = reader.txn.open_table(tables::KEY)?;
    for row in reader.txn.open_table(tables::PURGED)?.iter()? {
        if let Some(seq) = keys.get(row?.0.value())? {
            findings.add(format!(
                "the call of entry {} is there and was purged",
                seq.value()
            ));
        }
    }
    let (purged, aliases) = (
        reader.txn.open_table(tables::PURGED)?,
        reader.txn.open_table(tables::ALIAS)?,
    );
    for row in aliases.iter()? {
        let (_, target) = row?;
        if keys.get(target.value())?.is_none() && purged.get(target.value())?.is_none() {
            findings.add("the other key of a call leads to no call".to_owned());
        }
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
