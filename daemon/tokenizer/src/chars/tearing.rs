//! Which tokens could tear a character before it is whole: found when a vocabulary is laid out.

use std::collections::HashMap;

use crate::joins::APART;
use crate::seams::{char_len, is_inner};
use crate::vocabulary::Layout;

/// The lowest rank of the tokens with such a part.
pub(super) type Lowest = HashMap<&'static [u8], u32>;

/// The tokens that are joined where two characters meet, from a part that is not all of one.
#[derive(Default)]
pub(super) struct Rough {
    pub(super) all: Vec<(&'static [u8], &'static [u8], u32)>,
    /// By the second part, the beginning of a character.
    pub(super) begun: Lowest,
    /// Of these those with a blank before it.
    pub(super) begun_by_blank: Lowest,
    /// By the first part, the end of a character.
    pub(super) ended: Lowest,
}

impl Rough {
    pub(super) fn put(&mut self, (first, second): (&'static [u8], &'static [u8]), rank: u32) {
        if second.is_empty() || is_inner(second[0]) {
            return;
        }
        let begun = second.len() < char_len(second[0]);
        let ended = first.iter().all(|byte| is_inner(*byte));
        if begun || ended {
            self.all.push((first, second, rank));
        }
        // Ranks rise, so the first is the lowest.
        if begun && first == b" " {
            self.begun_by_blank.entry(second).or_insert(rank);
        } else if begun {
            self.begun.entry(second).or_insert(rank);
        }
        if ended {
            self.ended.entry(first).or_insert(rank);
        }
    }
}

/// The parts of characters that something outside may take: until which rank they can be had.
#[derive(Default)]
pub(super) struct Torn(HashMap<Vec<u8>, u32>);

impl Torn {
    /// Whether a token takes one of these parts before it is joined inside.
    pub(super) fn any(&mut self, parts: &[(Vec<u8>, u32)], lowest: &Lowest) -> bool {
        let mut any = false;
        for (part, until) in parts {
            if lowest.get(part.as_slice()).is_some_and(|rank| rank < until) {
                let most = self.0.entry(part.clone()).or_default();
                *most = (*most).max(*until);
                any = true;
            }
        }
        any
    }

    /// Whether a token of this rank takes this part of some character.
    pub(super) fn by(&self, part: &[u8], rank: u32) -> bool {
        self.0.get(part).is_some_and(|until| rank < *until)
    }
}

/// A few bytes that merge to one token.
pub(super) struct Merged {
    pub(super) rank: u32,
    /// What was first while they merged, and the rank that joined it to what is behind it.
    pub(super) first: Vec<(Vec<u8>, u32)>,
    /// What was last, and the rank that joined it to what is before it.
    pub(super) last: Vec<(Vec<u8>, u32)>,
}

impl Merged {
    pub(super) fn of(layout: &Layout, bytes: &[u8]) -> Option<Merged> {
        let mut merged = Merged {
            rank: APART,
            first: Vec::new(),
            last: Vec::new(),
        };
        let mut bounds: Vec<usize> = (0..=bytes.len()).collect();
        while bounds.len() > 2 {
            let ranks = bounds
                .windows(3)
                .map(|three| layout.rank(&bytes[three[0]..three[2]]));
            let (lowest, at) = ranks.zip(1..).min()?;
            if lowest == APART {
                return None;
            }
            let part = |at: usize| bytes[bounds[at]..bounds[at + 1]].to_vec();
            if at == 1 {
                merged.first.push((part(0), lowest));
            }
            if at == bounds.len() - 2 {
                merged.last.push((part(at), lowest));
            }
            merged.rank = lowest;
            bounds.remove(at);
        }
        Some(merged)
    }
}
