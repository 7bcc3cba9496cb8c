//! Of each character that is a token: which one, and what could tear it before it is whole, so that merging can begin
//! with characters instead of bytes.
//!
//! Merges come in the order of the ranks of what they make, and a token is of a higher rank than the two that it is
//! joined from (the build script checks that). So a character that merges to one token by itself does so in its text
//! too, unless its first or last part is joined with something outside before it is joined inside: by a token whose
//! second part begins the character, or whose first part ends it, and which is of a lower rank than what joins that part
//! inside. Where neither neighbour could be the other part of such a token, the character is whole before anything
//! reaches across its ends.

mod tearing;

use crate::joins::{APART, BLANK, FIGURE_BITS, GROUP_BITS};
use crate::seams::{char_len, is_inner};
use crate::vocabulary::{Layout, Tokens};
use tearing::{Merged, Rough, Torn};

/// Characters up to here may be tokens: all of which there are tokens.
const POINTS: usize = 0x2_0000;
/// Characters of one block of the table.
const BLOCK: usize = 64;
/// Bits of the table `together`: 64 KB.
const TOGETHER_BITS: u32 = 19;

/// Bits above those of the figure of a token.
const TOKEN: u32 = 1 << FIGURE_BITS;
/// A token with its beginning or with its end may come before it.
const TORN_BEFORE: u32 = 1 << (FIGURE_BITS + 1);
const TORN_BEHIND: u32 = 1 << (FIGURE_BITS + 2);
/// It may be the other part of such a token, before a character or behind one.
const TEARS_NEXT: u32 = 1 << (FIGURE_BITS + 3);
const TEARS_LAST: u32 = 1 << (FIGURE_BITS + 4);
/// The same for blanks alone, which stand before the first character of most words.
const TORN_BY_BLANK: u32 = 1 << (FIGURE_BITS + 5);
/// Some token has it whole and another character whole.
const INSIDE: u32 = 1 << (FIGURE_BITS + 6);
/// Some token has it, or its beginning, behind the end of a character, or its beginning behind anything but a blank.
const REACHED: u32 = 1 << (FIGURE_BITS + 7);

/// What is known of a character.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Char(u32);

impl Char {
    /// One that is no token.
    const OTHER: Char = Char(APART | TEARS_NEXT | TEARS_LAST);
    /// The same, with a beginning that some token has behind something.
    const OTHER_REACHED: Char = Char(APART | TEARS_NEXT | TEARS_LAST | REACHED);

    /// One of which nothing is known.
    const ANY: Char = Char(Char::OTHER_REACHED.0 | INSIDE);

    /// Its rank, if it is a token.
    #[inline(always)]
    pub(crate) fn rank(self) -> u32 {
        self.0 & APART
    }

    #[inline(always)]
    pub(crate) fn is_token(self) -> bool {
        self.0 & TOKEN != 0
    }

    /// Whether some token could have something of this character and something of the next one.
    #[inline(always)]
    pub(crate) fn meets(self, next: Char) -> bool {
        self.0 & next.0 & INSIDE != 0 || next.0 & REACHED != 0 || self.is_blank()
    }

    /// Whether both are ASCII.
    #[inline(always)]
    pub(crate) fn is_ascii_with(self, other: Char) -> bool {
        (self.0 | other.0) % (1 << GROUP_BITS) <= BLANK
    }

    /// The same, where it is known that nothing tears it.
    #[inline(always)]
    pub(crate) fn whole(self) -> Char {
        Char(self.0 & !(TORN_BEFORE | TORN_BEHIND | TORN_BY_BLANK))
    }

    /// Whether its end may be joined with what begins `next` before it is whole.
    #[inline(always)]
    pub(crate) fn torn_by_next(self, next: Char) -> bool {
        self.0 & TORN_BEHIND != 0 && next.0 & TEARS_LAST != 0
    }

    /// Whether its beginning may be joined with what ends `last` before it is whole.
    #[inline(always)]
    pub(crate) fn torn_by_last(self, last: Char) -> bool {
        let torn = self.0 & TORN_BEFORE != 0 && last.0 & TEARS_NEXT != 0;
        torn | self.torn_by_blank(last)
    }

    /// Whether that is so because `last` is a blank.
    #[inline(always)]
    pub(crate) fn torn_by_blank(self, last: Char) -> bool {
        self.0 & TORN_BY_BLANK != 0 && last.is_blank()
    }

    #[inline(always)]
    fn is_blank(self) -> bool {
        self.0 % (1 << GROUP_BITS) == BLANK
    }
}

/// The characters that are tokens.
#[derive(Default)]
pub(crate) struct Chars {
    /// Where in the two tables behind a block of characters begins.
    index: Vec<u32>,
    chars: Vec<Char>,
    /// The same with a blank before it, where that tears it, and both are a token that only the next one could tear.
    spaced: Vec<Char>,
    /// What stands for a character beyond the table.
    beyond: Char,
    /// A bit for each two characters that some token has inside, unless both are ASCII, at a place that others may share.
    together: Vec<u64>,
}

impl Chars {
    /// The character that begins at `at`, and where it ends; beyond the end, none.
    #[inline(always)]
    pub(crate) fn at(&self, piece: &[u8], at: usize) -> (Char, usize) {
        let Some(first) = piece.get(at) else {
            return (Char::default(), at);
        };
        let end = piece.len().min(at + char_len(*first));
        let char = self
            .place(&piece[at..end])
            .and_then(|place| self.chars.get(place));
        (char.copied().unwrap_or(self.beyond), end)
    }

    /// Whether this character has a place in the tables: it is a token only if they say so.
    pub(crate) fn holds(char: &[u8]) -> bool {
        point(char) < POINTS
    }

    /// Whether `piece` falls apart behind its first character.
    #[inline(always)]
    pub(crate) fn apart_soon(&self, piece: &[u8]) -> bool {
        let (first, end) = self.at(piece, 0);
        let (second, _) = self.at(piece, end);
        end < piece.len() && !first.meets(second)
    }

    /// A blank and this character together, if they are whole before anything but the next character comes to them.
    #[inline(always)]
    pub(crate) fn spaced(&self, char: &[u8]) -> Char {
        let char = self.place(char).and_then(|place| self.spaced.get(place));
        char.copied().unwrap_or_default()
    }

    /// Whether some token has these two characters inside, of which one at least is not ASCII, and both are tokens.
    #[inline(always)]
    pub(crate) fn together(&self, left: Char, right: Char) -> bool {
        let bit = bit(left, right);
        self.together[bit / 64] >> (bit % 64) & 1 != 0
    }

    #[inline(always)]
    fn place(&self, char: &[u8]) -> Option<usize> {
        let point = point(char);
        let block = self.index.get(point / BLOCK)?;
        Some(*block as usize + point % BLOCK)
    }

    /// Those of all these tokens, of which `layout` knows the ranks.
    pub(crate) fn of(layout: &Layout, tokens: Tokens) -> Chars {
        let mut chars = Chars {
            index: vec![0; POINTS / BLOCK],
            // Two blocks for all characters that are in no other one.
            chars: [[Char::OTHER; BLOCK], [Char::OTHER_REACHED; BLOCK]].concat(),
            spaced: vec![Char::default(); 2 * BLOCK],
            beyond: Char::OTHER,
            together: vec![0; (1 << TOGETHER_BITS) / 64],
        };
        let mut rough = Rough::default();
        let mut whole: Vec<(&[u8], Merged)> = Vec::new();
        for token in tokens.clone().filter(|token| !token.bytes.is_ascii()) {
            rough.put(token.parts(), token.rank());
            chars.reach_blocks(token.bytes);
            if is_char(token.bytes) && point(token.bytes) < POINTS {
                whole.extend(Merged::of(layout, token.bytes).map(|merged| (token.bytes, merged)));
            }
        }
        let ascii: Vec<u8> = (0..0x80).collect();
        for byte in ascii.chunks(1) {
            chars.put(byte, Char(layout.rank(byte) | TOKEN | INSIDE));
        }
        let mut torn = Torn::default();
        for (char, merged) in &whole {
            let blank = torn.any(&merged.first, &rough.begun_by_blank);
            let before = torn.any(&merged.first, &rough.begun);
            let behind = torn.any(&merged.last, &rough.ended);
            let mut figure = merged.rank | TOKEN;
            for (is, flag) in [
                (blank, TORN_BY_BLANK),
                (before, TORN_BEFORE),
                (behind, TORN_BEHIND),
            ] {
                figure |= if is { flag } else { 0 };
            }
            chars.put(char, Char(figure));
            if !blank {
                continue;
            }
            let spaced = [b" ", *char].concat();
            if let Some(merged) = Merged::of(layout, &spaced)
                && merged
                    .last
                    .iter()
                    .all(|(part, _)| part.iter().all(|byte| is_inner(*byte)))
            {
                let behind = torn.any(&merged.last, &rough.ended);
                let place = chars.block(char);
                chars.spaced[place] = Char(merged.rank | TOKEN | if behind { TORN_BEHIND } else { 0 });
            }
        }
        for (first, second, rank) in &rough.all {
            if *first != b" " && torn.by(second, *rank) {
                let ends = last_char(first);
                chars.mark(
                    ends,
                    TEARS_NEXT,
                    whole.iter().filter(|(char, _)| char.ends_with(ends)),
                );
            }
            if torn.by(first, *rank) {
                let begins = first_char(second);
                chars.mark(
                    begins,
                    TEARS_LAST,
                    whole.iter().filter(|(char, _)| char.starts_with(begins)),
                );
            }
        }
        for token in tokens.filter(|token| !token.bytes.is_ascii()) {
            chars.note_pairs(token.bytes);
        }
        chars
    }

    /// The place of a character in the tables, which get a block for it.
    fn block(&mut self, char: &[u8]) -> usize {
        let point = point(char);
        let block = &mut self.index[point / BLOCK];
        if (*block as usize) < 2 * BLOCK {
            let other = self.chars[*block as usize];
            *block = self.chars.len() as u32;
            self.chars.resize(self.chars.len() + BLOCK, other);
            self.spaced.resize(self.chars.len(), Char::default());
        }
        *block as usize + point % BLOCK
    }

    /// Notes of which characters a token has only the beginning, behind something that is not just a blank.
    fn reach_blocks(&mut self, token: &[u8]) {
        let Some(start) = token.iter().rposition(|byte| !is_inner(*byte)) else {
            return;
        };
        let begun = &token[start..];
        if begun.len() < char_len(begun[0]) && start > 0 && last_char(&token[..start]) != b" " {
            let mut char = begun.to_vec();
            char.resize(char_len(begun[0]), 0x80);
            let first = point(&char);
            // The bytes that are missing have six bits each.
            let beyond = first + (1 << (6 * (char.len() - begun.len())));
            for block in first / BLOCK..beyond.div_ceil(BLOCK) {
                match self.index.get_mut(block) {
                    Some(block) => *block = BLOCK as u32,
                    None => self.beyond = Char::ANY,
                }
            }
        }
    }

    fn put(&mut self, char: &[u8], figure: Char) {
        let place = self.block(char);
        self.chars[place] = Char(figure.0 | self.chars[place].0 & REACHED);
    }

    /// Sets a flag of this character, or when that is only a part of one, of all that have it.
    fn mark<'w>(&mut self, part: &[u8], flag: u32, of: impl Iterator<Item = &'w (&'w [u8], Merged)>) {
        if is_char(part) {
            if point(part) < POINTS {
                let place = self.block(part);
                self.chars[place].0 |= flag;
            } else {
                self.beyond = Char::ANY;
            }
            return;
        }
        for (char, _) in of {
            let place = self.block(char);
            self.chars[place].0 |= flag;
        }
    }

    /// Notes which characters of a token stand together in it.
    fn note_pairs(&mut self, token: &[u8]) {
        let mut at = token.iter().take_while(|byte| is_inner(**byte)).count();
        let mut last: Option<Char> = None;
        while at < token.len() && is_char(first_char(&token[at..])) {
            let char = first_char(&token[at..]);
            let (figure, end) = self.at(token, at);
            let behind = if last.is_some() { INSIDE } else { REACHED };
            let mut flags = if at > 0 { behind } else { 0 };
            flags |= if end < token.len() { INSIDE } else { 0 };
            if figure.0 & flags != flags {
                self.mark(char, flags, std::iter::empty());
            }
            if let Some(last) = last.filter(|last| last.is_token() && figure.is_token()) {
                let bit = bit(last, figure);
                self.together[bit / 64] |= 1 << (bit % 64);
            }
            (last, at) = (Some(figure), end);
        }
    }
}

#[inline(always)]
fn bit(left: Char, right: Char) -> usize {
    let key = u64::from(left.rank()) << 32 | u64::from(right.rank());
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - TOGETHER_BITS)) as usize
}

/// The number of this character.
#[inline(always)]
pub(crate) fn point(char: &[u8]) -> usize {
    let low = |byte: u8| usize::from(byte & 0x3f);
    match *char {
        [a] => usize::from(a),
        [a, b] => usize::from(a & 0x1f) << 6 | low(b),
        [a, b, c] => usize::from(a & 0xf) << 12 | low(b) << 6 | low(c),
        [a, b, c, d] => usize::from(a & 7) << 18 | low(b) << 12 | low(c) << 6 | low(d),
        _ => usize::MAX,
    }
}

/// Whether these bytes are one character.
fn is_char(bytes: &[u8]) -> bool {
    !is_inner(bytes[0]) && char_len(bytes[0]) == bytes.len()
}

/// The last character of these bytes, or as much of it as there is.
fn last_char(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().rposition(|byte| !is_inner(*byte)).unwrap_or(0)..]
}

/// The first character of these bytes, or as much of it as there is.
fn first_char(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(char_len(bytes[0]))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::Tables;
    use crate::vocabulary::Vocabulary;

    fn at(vocabulary: &Vocabulary, char: char) -> Char {
        let text = char.to_string();
        let (figure, end) = vocabulary.chars.at(text.as_bytes(), 0);
        assert_eq!(end, text.len());
        figure
    }

    #[test]
    fn most_characters_of_living_languages_are_tokens_and_others_are_not() {
        let vocabulary = Vocabulary::new(Tables::O200k);
        for char in ['x', ' ', 'é', 'я', 'ش', 'न', '字', '한', 'の', '，'] {
            assert!(at(&vocabulary, char).is_token(), "{char}");
        }
        for char in ['\u{85}', '\u{e000}', '𒀀', '\u{10ffff}'] {
            assert!(!at(&vocabulary, char).is_token(), "{char}");
        }
    }

    #[test]
    fn characters_meet_where_some_token_has_something_of_both() {
        let vocabulary = Vocabulary::new(Tables::O200k);
        let meets = |two: &str| {
            let mut two = two.chars().map(|char| at(&vocabulary, char));
            two.next()
                .zip(two.next())
                .is_some_and(|(left, right)| left.meets(right))
        };
        for two in ["中国", "он", " д", "ab", "é ", "กา"] {
            assert!(meets(two), "{two}");
        }
        for two in ["\u{e000}\u{e000}", "𒀀𒀀", "x\u{e000}", "\u{9fa0}\u{9fa1}"] {
            assert!(!meets(two), "{two}");
        }
        assert!(vocabulary.chars.apart_soon("\u{9fa0}\u{9fa1}".as_bytes()));
        assert!(!vocabulary.chars.apart_soon("\u{9fa0}".as_bytes()));
        assert!(!vocabulary.chars.apart_soon("中国".as_bytes()));
    }

    /// Whatever the figures say of two characters must be so of the tokens that merging their bytes makes.
    #[test]
    fn a_blank_before_a_character_is_taken_with_it_where_that_is_so() {
        let vocabulary = Vocabulary::new(Tables::O200k);
        let blank = at(&vocabulary, ' ');
        let mut spaced = 0;
        for char in ('\u{80}'..'\u{ffff}').filter(|char| at(&vocabulary, *char).torn_by_blank(blank)) {
            let figure = vocabulary.chars.spaced(char.to_string().as_bytes());
            if figure.is_token() {
                spaced += 1;
                let text = format!(" {char}");
                assert!(vocabulary.has(text.as_bytes(), 0, text.len()), "{text}");
            }
        }
        assert!(spaced > 1_000, "{spaced}");
    }
}
