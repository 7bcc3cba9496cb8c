//! The chain: every batch's digest, and one hash over all of them. Whoever changes an entry afterwards, or a
//! name in it, changes the head.

use redb::ReadableTable;

use super::super::{Result, StoreError};
use super::codec::{ChainRow, seal, seal_message, unseal, unseal_message};
use super::tables;

const HEAD_KEY: &str = "chain";

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

/// The head after a batch.
pub(super) fn next_head(head: &[u8; 32], digest: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head);
    hasher.update(digest);
    *hasher.finalize().as_bytes()
}

/// The last entry's position; the chain knows it even when that entry was purged.
pub(super) fn last_seq(chain: &impl ReadableTable<u64, &'static [u8]>) -> Result<u64> {
    Ok(chain.last()?.map_or(0, |(seq, _)| seq.value()))
}

/// The stored head; zeros before the first batch.
pub(super) fn head(state: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<[u8; 32]> {
    let Some(row) = state.get(HEAD_KEY)? else {
        return Ok([0; 32]);
    };
    let body = unseal(HEAD_KEY.as_bytes(), row.value(), "the chain's head")?;
    body.try_into()
        .map_err(|_| StoreError::Damaged("the chain's head has the wrong length".to_owned()))
}

/// Stores the head.
pub(super) fn put_head(txn: &redb::WriteTransaction, head: &[u8; 32]) -> Result<()> {
    let mut value = Vec::new();
    seal(HEAD_KEY.as_bytes(), &mut value, |out| out.extend_from_slice(head));
    txn.open_table(tables::STATE)?
        .insert(HEAD_KEY, value.as_slice())?;
    Ok(())
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
