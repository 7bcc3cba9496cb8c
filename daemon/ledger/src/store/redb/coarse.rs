//! The coarse rollup: the sums of six hours lie side by side in one row per agent, provider and model.
//!
//! A report over a year reads all of them. One row per bucket would be three times slower to read: what costs
//! is walking rows, not adding sums. A row stays small (24 sums of some 40 bytes), so that a single call
//! does not rewrite much.

use std::ops::Range;

use redb::{ReadableTable, Table};
use tokmon_core::rollup::{Agg, Dims, bucket_start_ms};

use super::super::{Result, StoreError};
use super::codec::{seal, unseal};
use super::sums::Delta;
use super::{sum, tables};
use crate::quick::QuickMap;

/// Buckets in a row.
const BLOCK: u32 = 24;

/// A bucket's place in the row, and its sum.
type Part<'a> = (u8, &'a [u8]);

/// Writes the changes of a batch.
pub(super) fn write(
    mut table: Table<'_, &'static [u8], &'static [u8]>,
    changes: QuickMap<(u32, Dims), Delta>,
) -> Result<()> {
    let mut changes: Vec<(Vec<u8>, u32, Delta)> = changes
        .into_iter()
        .map(|((bucket, dims), delta)| {
            let mut key = Vec::with_capacity(16);
            tables::roll_bytes(bucket / BLOCK, &dims, &mut key);
            (key, bucket, delta)
        })
        .collect();
    changes.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let mut value = Vec::new();
    for row in changes.chunk_by(|a, b| a.0 == b.0) {
        let Some((key, ..)) = row.first() else { continue };
        let old = table.get(key.as_slice())?.map(|row| row.value().to_vec());
        let mut parts = match &old {
            Some(old) => parts_of(unseal(key, old, "a rollup row")?)?,
            None => Vec::new(),
        };
        let mut fresh: Vec<(u8, Vec<u8>)> = Vec::with_capacity(row.len());
        for (_, bucket, delta) in row {
            let place = (bucket % BLOCK) as u8;
            let base_ms = bucket_start_ms(*bucket);
            let mut agg = match parts.iter().position(|part| part.0 == place) {
                Some(at) => sum::decode(parts.remove(at).1, base_ms)?,
                None => Agg::empty(),
            };
            delta.apply(&mut agg);
            if !agg.is_empty() {
                let mut bytes = Vec::with_capacity(48);
                sum::encode(&agg, base_ms, &mut bytes);
                fresh.push((place, bytes));
            }
        }
        parts.extend(fresh.iter().map(|(place, bytes)| (*place, bytes.as_slice())));
        parts.sort_unstable_by_key(|part| part.0);
        if parts.is_empty() {
            table.remove(key.as_slice())?;
        } else {
            seal(key, &mut value, |out| {
                for (place, bytes) in &parts {
                    out.push(*place);
                    prost::encoding::encode_varint(bytes.len() as u64, out);
                    out.extend_from_slice(bytes);
                }
            });
            table.insert(key.as_slice(), value.as_slice())?;
        }
    }
    Ok(())
}

/// Reads the sums of a range of buckets, in the order of the buckets.
pub(super) fn scan(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    buckets: Range<u32>,
    visit: &mut dyn FnMut(u32, &Dims, &Agg),
) -> Result<()> {
    if buckets.is_empty() {
        return Ok(());
    }
    let first = (buckets.start / BLOCK).to_be_bytes();
    let end = (buckets.end.div_ceil(BLOCK)).to_be_bytes();
    let mut block = Block::default();
    for row in table.range::<&[u8]>(first.as_slice()..end.as_slice())? {
        let (key, value) = row?;
        let (number, dims) = tables::roll_of(key.value())?;
        if number != block.number {
            block.flush(&buckets, visit)?;
            block.number = number;
        }
        block.add(dims, unseal(key.value(), value.value(), "a rollup row")?)?;
    }
    block.flush(&buckets, visit)
}

/// The rows of one block, to be put into the order of their buckets.
#[derive(Default)]
struct Block {
    number: u32,
    bytes: Vec<u8>,
    dims: Vec<Dims>,
    /// Place in the block, index into `dims`, where the sum lies in `bytes`.
    parts: Vec<(u8, usize, Range<usize>)>,
    agg: Agg,
}

impl Block {
    fn add(&mut self, dims: Dims, row: &[u8]) -> Result<()> {
        let mut rest = row;
        while let Some((place, part)) = next_part(&mut rest)? {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(part);
            self.parts.push((place, self.dims.len(), start..self.bytes.len()));
        }
        self.dims.push(dims);
        Ok(())
    }

    fn flush(&mut self, buckets: &Range<u32>, visit: &mut dyn FnMut(u32, &Dims, &Agg)) -> Result<()> {
        self.parts.sort_unstable_by_key(|part| (part.0, part.1));
        for (place, dims, range) in self.parts.drain(..) {
            let bucket = self.number.saturating_mul(BLOCK).saturating_add(u32::from(place));
            if buckets.contains(&bucket) {
                sum::decode_into(&self.bytes[range], bucket_start_ms(bucket), &mut self.agg)?;
                visit(bucket, &self.dims[dims], &self.agg);
            }
        }
        self.bytes.clear();
        self.dims.clear();
        Ok(())
    }
}

fn parts_of(mut row: &[u8]) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    while let Some(part) = next_part(&mut row)? {
        parts.push(part);
    }
    Ok(parts)
}

fn next_part<'a>(rest: &mut &'a [u8]) -> Result<Option<Part<'a>>> {
    let damaged = || StoreError::Damaged("the parts of a rollup row".to_owned());
    let Some((&place, mut after)) = rest.split_first() else {
        return Ok(None);
    };
    let len = prost::encoding::decode_varint(&mut after).map_err(|_| damaged())?;
    let len = usize::try_from(len).map_err(|_| damaged())?;
    let (part, after) = after.split_at_checked(len).ok_or_else(damaged)?;
    if u32::from(place) >= BLOCK {
        return Err(damaged());
    }
    *rest = after;
    Ok(Some((place, part)))
}
