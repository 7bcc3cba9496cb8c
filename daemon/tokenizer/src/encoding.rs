//! The encodings, and where they live while somebody needs them.
//!
//! The vocabularies are part of the program and cost no memory of their own. What counting remembers does, so it is
//! made when it is first needed, and dropped once nobody has counted for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::Counter;

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
    pub(crate) fn tables(self) -> Tables {
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

    /// The encoding that names these tables.
    fn encoding(self) -> Encoding {
        match self {
            Tables::O200k => Encoding::O200kBase,
            Tables::Cl100k => Encoding::Cl100kBase,
            Tables::P50k => Encoding::P50kBase,
            Tables::R50k => Encoding::R50kBase,
        }
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
            counter: Arc::new(Counter::new(tables.encoding())),
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
