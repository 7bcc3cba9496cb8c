//! How a vocabulary lies in the program; shared by the build script, which writes it, and [`crate::vocabulary`].
//!
//! Numbers are 32 bits, least significant byte first. `tokens` holds the bytes of all tokens by rank, `starts` where
//! each one begins (and where the last one ends), `table` the ranks at the places that [`hash`] gives.

/// Stands for "no token".
pub(crate) const NONE: u32 = u32::MAX;

/// Where a token is looked for first, in a table of a power of two of places. Quick for a few bytes.
pub(crate) fn hash(bytes: &[u8]) -> usize {
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    let mut state = bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        state = (state.rotate_left(5) ^ word(chunk)).wrapping_mul(FACTOR);
    }
    state = (state.rotate_left(5) ^ word(chunks.remainder())).wrapping_mul(FACTOR);
    (state ^ (state >> 29)) as usize
}

/// Up to eight bytes as one number, without a loop: from both ends, which may overlap.
fn word(bytes: &[u8]) -> u64 {
    match *bytes {
        [] => 0,
        [a] => a.into(),
        [a, b] => u16::from_le_bytes([a, b]).into(),
        [a, b, c] => u32::from_le_bytes([a, b, c, 0]).into(),
        [a, b, c, d, ..] => {
            let last = bytes.last_chunk().map_or(0, |last| u32::from_le_bytes(*last));
            u64::from(u32::from_le_bytes([a, b, c, d])) | u64::from(last) << 32
        }
    }
}
