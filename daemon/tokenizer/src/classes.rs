//! Which of the patterns' classes a character is in.

use crate::layout::BLOCK_BITS;

pub(crate) use crate::layout::{LETTER, LINE_END, LOWER, NUMBER, SPACE, UPPER};

static INDEX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/classes.index"));
static BLOCKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/classes.blocks"));
static ASCII: [u8; 128] = ascii();

const fn ascii() -> [u8; 128] {
    let blocks = include_bytes!(concat!(env!("OUT_DIR"), "/classes.blocks"));
    let mut ascii = [0; 128];
    let mut at = 0;
    while at < ascii.len() {
        ascii[at] = blocks[at];
        at += 1;
    }
    ascii
}

/// The class of the character that begins at `at`, and its length in bytes; class 0 and length 0 at the end.
///
/// `bytes` must be UTF-8; from what is not, some class comes out, and never a length beyond the end.
#[inline(always)]
pub(crate) fn class_at(bytes: &[u8], at: usize) -> (u8, usize) {
    match bytes.get(at) {
        None => (0, 0),
        Some(&byte) if byte < 0x80 => (ASCII[byte as usize & 0x7f], 1),
        Some(&lead) => wide(bytes, at, lead),
    }
}

#[inline]
fn wide(bytes: &[u8], at: usize, lead: u8) -> (u8, usize) {
    let lead = u32::from(lead);
    let (point, len) = match *bytes.get(at + 1..).unwrap_or_default() {
        [b, ..] if lead < 0xe0 => ((lead & 0x1f) << 6 | low(b), 2),
        [b, c, ..] if lead < 0xf0 => ((lead & 0xf) << 12 | low(b) << 6 | low(c), 3),
        [b, c, d, ..] => ((lead & 0x7) << 18 | low(b) << 12 | low(c) << 6 | low(d), 4),
        _ => (0, 1),
    };
    (class(point), len)
}

fn low(byte: u8) -> u32 {
    u32::from(byte & 0x3f)
}

#[inline]
fn class(point: u32) -> u8 {
    let block = INDEX
        .get((point >> BLOCK_BITS) as usize)
        .map_or(0, |block| usize::from(*block));
    let place = block << BLOCK_BITS | (point as usize & ((1 << BLOCK_BITS) - 1));
    BLOCKS.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_the_classes_that_the_standard_library_knows() {
        for point in 0..=0x11_0000 {
            let Some(char) = char::from_u32(point) else {
                continue;
            };
            let text = char.to_string();
            let (class, len) = class_at(text.as_bytes(), 0);
            assert_eq!(len, char.len_utf8(), "{point:x}");
            assert_eq!(class & SPACE != 0, char.is_whitespace(), "{point:x}");
            assert_eq!(class & LINE_END != 0, matches!(char, '\r' | '\n'), "{point:x}");
            if char.is_ascii() {
                assert_eq!(class & LETTER != 0, char.is_ascii_alphabetic(), "{point:x}");
                assert_eq!(class & NUMBER != 0, char.is_ascii_digit(), "{point:x}");
                assert_eq!(class & UPPER != 0, char.is_ascii_uppercase(), "{point:x}");
                assert_eq!(class & LOWER != 0, char.is_ascii_lowercase(), "{point:x}");
            }
        }
    }

    #[test]
    fn what_is_not_utf8_has_a_length_too() {
        for bytes in [&[0xff_u8][..], &[0xe3, 0x81], &[0xf4, 0xbf, 0xbf, 0xbf], &[0xc3]] {
            let (_, len) = class_at(bytes, 0);
            assert!((1..=bytes.len()).contains(&len), "{bytes:?}");
        }
        assert_eq!(class_at(b"", 0), (0, 0));
    }
}
