//! The encodings, and where they live while somebody needs them.
//!
//! `tiktoken-rs` offers ready singletons, but those are never freed and one alone holds some 40 MB. Here each
//! encoding sits behind an `Arc` that is dropped once nobody has counted for a while.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tiktoken_rs::CoreBPE;

use crate::bpe::Vocabulary;
use crate::cut;
use crate::pieces::Pieces;

/// An encoding by its public name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// GPT-4o and later, o-series.
    O200kBase,
    /// gpt-oss. For ordinary text the same as `o200k_base`, whose tables it shares.
    O200kHarmony,
    /// GPT-4, GPT-3.5, embeddings.
    Cl100kBase,
    /// Codex models of 2021 and `text-davinci-002` and `-003`.
    P50kBase,
    /// The edit models. For ordinary text the same as `p50k_base`, whose tables it shares.
    P50kEdit,
    /// GPT-2 and GPT-3.
    R50kBase,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Encoding; 6] = [
        Encoding::O200kBase,
        Encoding::O200kHarmony,
        Encoding::Cl100kBase,
        Encoding::P50kBase,
        Encoding::P50kEdit,
        Encoding::R50kBase,
    ];

    /// The public name.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::O200kBase => "o200k_base",
            Encoding::O200kHarmony => "o200k_harmony",
            Encoding::Cl100kBase => "cl100k_base",
            Encoding::P50kBase => "p50k_base",
            Encoding::P50kEdit => "p50k_edit",
            Encoding::R50kBase => "r50k_base",
        }
    }

    /// The tables that count ordinary text in this encoding: variants differ in special tokens only.
    fn tables(self) -> Tables {
        match self {
            Encoding::O200kBase | Encoding::O200kHarmony => Tables::O200k,
            Encoding::Cl100kBase => Tables::Cl100k,
            Encoding::P50kBase | Encoding::P50kEdit => Tables::P50k,
            Encoding::R50kBase => Tables::R50k,
        }
    }
}

/// One set of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    O200k,
    Cl100k,
    P50k,
    R50k,
}

impl Tables {
    const COUNT: usize = 4;

    fn load(self) -> Counter {
        let built = match self {
            Tables::O200k => tiktoken_rs::o200k_base(),
            Tables::Cl100k => tiktoken_rs::cl100k_base(),
            Tables::P50k => tiktoken_rs::p50k_base(),
            Tables::R50k => tiktoken_rs::r50k_base(),
        };
        Counter {
            tables: self,
            bpe: built.expect("the tables are part of this program"),
            careful: OnceLock::new(),
        }
    }
}

/// Counts with one set of tables.
pub(crate) struct Counter {
    tables: Tables,
    bpe: CoreBPE,
    careful: OnceLock<Careful>,
}

/// What unbroken stretches need: made on the first of them, since most texts have none.
struct Careful {
    pieces: Pieces,
    vocabulary: Vocabulary,
}

impl Counter {
    /// Exact count of `text`, special tokens as text.
    pub(crate) fn count(&self, text: &str) -> u64 {
        let mut total = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let stretch = cut::next(rest);
            let (head, tail) = rest.split_at(stretch.len);
            total += if stretch.unbroken {
                self.count_unbroken(head)
            } else {
                self.bpe.count_ordinary(head) as u64
            };
            rest = tail;
        }
        total
    }

    /// Exact as well, slower on everyday text, but in bounded memory and without a stack that can overflow.
    pub(crate) fn count_unbroken(&self, text: &str) -> u64 {
        let careful = self.careful.get_or_init(|| Careful {
            pieces: Pieces::new(self.tables),
            vocabulary: Vocabulary::of(&self.bpe),
        });
        careful
            .pieces
            .split(text)
            .map(|piece| careful.vocabulary.count(piece.as_bytes()))
            .sum()
    }

    #[cfg(test)]
    pub(crate) fn oracle(&self, text: &str) -> u64 {
        self.bpe.count_ordinary(text) as u64
    }
}

struct Loaded {
    counter: Arc<Counter>,
    last_use: Instant,
}

/// A place for each set of tables. A place is locked while its tables load, so they load once.
#[derive(Default)]
pub(crate) struct Slots {
    places: [Mutex<Option<Loaded>>; Tables::COUNT],
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slots").field(&self.loaded()).finish()
    }
}

impl Slots {
    pub(crate) fn get(&self, encoding: Encoding) -> Arc<Counter> {
        let tables = encoding.tables();
        let mut place = self.places[tables as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let loaded = place.get_or_insert_with(|| Loaded {
            counter: Arc::new(tables.load()),
            last_use: now,
        });
        loaded.last_use = now;
        Arc::clone(&loaded.counter)
    }

    pub(crate) fn unload_idle(&self, idle: Duration) -> usize {
        let mut dropped = 0;
        for place in &self.places {
            let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
            // A long count keeps its own reference; freeing the place then would only load the tables twice.
            if place
                .as_ref()
                .is_some_and(|l| l.last_use.elapsed() >= idle && Arc::strong_count(&l.counter) == 1)
            {
                *place = None;
                dropped += 1;
            }
        }
        dropped
    }

    pub(crate) fn loaded(&self) -> Vec<Encoding> {
        Encoding::ALL
            .into_iter()
            .filter(|encoding| {
                let place = &self.places[encoding.tables() as usize];
                place.lock().unwrap_or_else(PoisonError::into_inner).is_some()
            })
            .collect()
    }
}
