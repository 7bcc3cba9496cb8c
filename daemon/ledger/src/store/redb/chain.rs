//! The chain: each batch's hash covers its entries, the names in them, and the hash before. Whoever changes
//! one of them afterwards breaks the chain there, or changes its head.

use redb::ReadableTable;

use super::super::{Result, StoreError};
use super::codec::{ChainRow, seal_message, unseal_message};

/// Collects the entries of a batch.
#[derive(Default)]
pub(super) struct Digest {
    // One hash over a long buffer is several times faster than many updates.
    bytes: Vec<u8>,
}

impl Digest {
    /// The next entry: its row as it is stored.
    pub(super) fn entry(&mut self, seq: u64, row: &[u8]) {
        self.bytes.extend_from_slice(&seq.to_le_bytes());
        self.part(row);
    }

    /// A name in that entry. The row holds only its id.
    pub(super) fn name(&mut self, name: &str) {
        self.part(name.as_bytes());
    }

    fn part(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(part);
    }

    /// The digest.
    pub(super) fn finish(&self) -> [u8; 32] {
        *blake3::hash(&self.bytes).as_bytes()
    }

    /// Starts anew.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// The hash of a batch with this digest behind the batch with this hash.
pub(super) fn link(before: &[u8; 32], digest: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(digest);
    *hasher.finalize().as_bytes()
}

/// The last entry's position; the chain knows it even when that entry was purged.
pub(super) fn last_seq(chain: &impl ReadableTable<u64, &'static [u8]>) -> Result<u64> {
    Ok(chain.last()?.map_or(0, |(seq, _)| seq.value()))
}

/// The last entry's position and the chain's head; zeros before the first batch.
pub(super) fn head(chain: &impl ReadableTable<u64, &'static [u8]>) -> Result<(u64, [u8; 32])> {
    let Some((seq, row)) = chain.last()? else {
        return Ok((0, [0; 32]));
    };
    let seq = seq.value();
    Ok((seq, hash_in(&read(seq, row.value())?)?))
}

/// The hash in a row.
pub(super) fn hash_in(row: &ChainRow) -> Result<[u8; 32]> {
    let wrong = |_| StoreError::Damaged("a hash of the chain has the wrong length".to_owned());
    row.hash.as_slice().try_into().map_err(wrong)
}

/// Reads a batch's row.
pub(super) fn read(last_seq: u64, value: &[u8]) -> Result<ChainRow> {
    unseal_message(&last_seq.to_le_bytes(), value, "a row of the chain")
}

/// Writes a batch's row.
pub(super) fn put(
    chain: &mut redb::Table<'_, u64, &'static [u8]>,
    last_seq: u64,
    row: &ChainRow,
) -> Result<()> {
    let mut value = Vec::new();
    seal_message(&last_seq.to_le_bytes(), row, &mut value);
    chain.insert(last_seq, value.as_slice())?;
    Ok(())
}
