//! Where a token is looked for, by its bytes.

const FACTOR: u64 = 0x517c_c1b7_2722_0a95;

/// Three to seven bytes as one number: the length is in the highest byte.
pub(crate) fn pack_short(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word) | (bytes.len() as u64) << 56
}

/// Eight to fifteen bytes as one number: the length is in the highest byte.
pub(crate) fn pack_middle(bytes: &[u8]) -> u128 {
    let mut word = [0; 16];
    word[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(word) | (bytes.len() as u128) << 120
}

/// Where a short key is looked for first.
pub(crate) fn short_place(key: u64, places: usize) -> usize {
    spread(key.wrapping_mul(FACTOR), places)
}

/// Where a middle key is looked for first.
pub(crate) fn middle_place(key: u128, places: usize) -> usize {
    let (low, high) = (key as u64, (key >> 64) as u64);
    let mixed = (low.wrapping_mul(FACTOR).rotate_left(23) ^ high).wrapping_mul(FACTOR);
    spread(mixed ^ mixed >> 32, places)
}

/// Maps the upper half of a product to a place.
fn spread(product: u64, places: usize) -> usize {
    (((product >> 32) * places as u64) >> 32) as usize
}

/// A hash of any bytes, quick for a few.
pub(crate) fn hash(bytes: &[u8]) -> usize {
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
