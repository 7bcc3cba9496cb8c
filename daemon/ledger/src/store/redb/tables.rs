//! Names and types of the tables, and how keys become bytes that sort as they should.
//!
//! A table's name carries the version of its layout. What a released program wrote is never written
//! differently under the same name: a new layout gets a new name and a migration.

use redb::TableDefinition;
use tokmon_core::id::Key;
use tokmon_core::rollup::{Dimension, Dims};

use super::super::{Result, StoreError};

/// Schema version and the purge horizon. Name and row format are frozen: every program must read the version.
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// seq → entry.
pub(super) const ENTRY: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("entry.v1");
/// (at_ms, seq) of each call's present record.
pub(super) const TIME: TableDefinition<'static, &[u8; 16], ()> = TableDefinition::new("entry_time.v1");
/// (day, hash) → seq of the call's present record.
pub(super) const KEY: TableDefinition<'static, &[u8; 16], u64> = TableDefinition::new("dedup.v1");
/// (day, hash) of calls whose record was purged; they must never count again.
pub(super) const PURGED: TableDefinition<'static, &[u8; 16], ()> = TableDefinition::new("purged.v1");
/// (day, hash) of an account of a call that has the key of another account → the key of the call.
pub(super) const ALIAS: TableDefinition<'static, &[u8; 16], &[u8; 16]> = TableDefinition::new("alias.v1");
/// kind ‖ name → id.
pub(super) const DICT: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("dict.v1");
/// (kind, id) → name.
pub(super) const DICT_REV: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("dict_rev.v1");
/// Block of buckets, agent, provider and model → the sum of each bucket.
pub(super) const ROLL_COARSE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("roll_m.v1");
/// Sums by bucket and every dimension.
pub(super) const ROLL_FULL: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("roll_f.v1");
/// (session, agent) → row.
pub(super) const SESSION: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("session.v1");
/// path → how far it was read.
pub(super) const POSITION: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("position.v1");
/// (day, hash) → lines that were not counted.
pub(super) const DROPPED: TableDefinition<'static, &[u8; 16], &[u8]> = TableDefinition::new("dropped.v1");
/// Last seq of a batch → its hash.
pub(super) const CHAIN: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("chain.v1");
/// "state" → the rules' state.
pub(super) const STATE: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("state.v1");

/// Dictionary kinds 0 to 6 are the first dimensions; these follow.
pub(super) const KIND_SOURCE: u8 = 7;
/// Paths of files.
pub(super) const KIND_PATH: u8 = 8;
/// Places.
pub(super) const KIND_PLACE: u8 = 9;
/// How many kinds there are.
pub(super) const KINDS: usize = 10;
/// How many of them every record names: all but the last.
pub(super) const KINDS_OF_ALL: usize = KIND_PLACE as usize;

/// The dictionary's kind of a dimension.
pub(super) fn kind_of(dimension: Dimension) -> u8 {
    match dimension {
        Dimension::Place => KIND_PLACE,
        other => other as u8,
    }
}

/// Day, then hash.
pub(super) fn key_bytes(key: &Key) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&key.day.to_be_bytes());
    bytes[4..].copy_from_slice(&key.hash);
    bytes
}

/// The inverse of [`key_bytes`].
pub(super) fn key_of(bytes: &[u8; 16]) -> Key {
    let (mut day, mut hash) = ([0; 4], [0; 12]);
    day.copy_from_slice(&bytes[..4]);
    hash.copy_from_slice(&bytes[4..]);
    Key {
        day: u32::from_be_bytes(day),
        hash,
    }
}

/// Time, then seq; times before the epoch sort first.
pub(super) fn time_bytes(at_ms: i64, seq: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(at_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    bytes[8..].copy_from_slice(&seq.to_be_bytes());
    bytes
}

/// The inverse of [`time_bytes`].
pub(super) fn time_of(bytes: &[u8; 16]) -> (i64, u64) {
    let (mut at, mut seq) = ([0; 8], [0; 8]);
    at.copy_from_slice(&bytes[..8]);
    seq.copy_from_slice(&bytes[8..]);
    (
        (u64::from_be_bytes(at) ^ (1 << 63)).cast_signed(),
        u64::from_be_bytes(seq),
    )
}

/// Two ids in one integer key; the first one leads.
pub(super) fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

/// The inverse of [`pair`].
pub(super) fn unpair(key: u64) -> (u32, u32) {
    ((key >> 32) as u32, (key & u64::from(u32::MAX)) as u32)
}

/// A dictionary key: the kind, then the name.
pub(super) fn name_bytes(kind: u8, name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + name.len());
    bytes.push(kind);
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// A rollup key: the bucket, which leads the order, then the ids as varints. Eight ids of one byte each are
/// the rule, so this is half as long as fixed ids.
pub(super) fn roll_bytes(bucket: u32, dims: &Dims, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&bucket.to_be_bytes());
    // A place stands at the end, where there is one: rows without are as they were before there were places.
    let (place, all) = (
        dims[Dimension::Place as usize],
        &dims[..Dimension::Place as usize],
    );
    for &id in all.iter().chain((place != 0).then_some(&place)) {
        prost::encoding::encode_varint(u64::from(id), out);
    }
}

/// The inverse of [`roll_bytes`].
pub(super) fn roll_of(mut bytes: &[u8]) -> Result<(u32, Dims)> {
    let damaged = || StoreError::Damaged("the key of a rollup row".to_owned());
    let (bucket, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    bytes = rest;
    let mut dims = Dims::default();
    for (at, id) in dims.iter_mut().enumerate() {
        if at == Dimension::Place as usize && bytes.is_empty() {
            break;
        }
        let value = prost::encoding::decode_varint(&mut bytes).map_err(|_| damaged())?;
        *id = u32::try_from(value).map_err(|_| damaged())?;
    }
    if !bytes.is_empty() {
        return Err(damaged());
    }
    Ok((u32::from_be_bytes(*bucket), dims))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_sort_as_numbers_do(a: (i64, u64), b: (i64, u64)) {
            prop_assert_eq!(a.cmp(&b), time_bytes(a.0, a.1).cmp(&time_bytes(b.0, b.1)));
            prop_assert_eq!(time_of(&time_bytes(a.0, a.1)), a);
        }

        #[test]
        fn rollup_keys_come_back(bucket: u32, dims: Dims) {
            let mut bytes = Vec::new();
            roll_bytes(bucket, &dims, &mut bytes);
            prop_assert_eq!(roll_of(&bytes).unwrap(), (bucket, dims));
        }

        #[test]
        fn keys_sort_by_day_and_pairs_come_back(a: (u32, [u8; 12]), b: (u32, [u8; 12])) {
            let bytes = |(day, hash)| key_bytes(&Key { day, hash });
            prop_assert_eq!(a.cmp(&b), bytes(a).cmp(&bytes(b)));
            prop_assert_eq!(unpair(pair(a.0, b.0)), (a.0, b.0));
        }

        #[test]
        fn garbage_is_no_key(bytes: Vec<u8>) {
            if let Ok((bucket, dims)) = roll_of(&bytes) {
                let mut again = Vec::new();
                roll_bytes(bucket, &dims, &mut again);
                prop_assert!(again.len() <= bytes.len());
            }
        }
    }
}
