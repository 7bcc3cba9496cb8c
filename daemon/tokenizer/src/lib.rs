//! Counting text in tokens: exact where the model's encoding is public, an estimate that says so elsewhere.
//!
//! The vocabularies are those of `tiktoken-rs`, and its counts are the reference that all of ours are tested
//! against. This crate adds what a daemon needs: tables that come and go, linear time and bounded
//! memory for any input up to [`MAX_TEXT_BYTES`], and a list of model names that knows what it does not know.

mod blocks;
mod bpe;
mod chars;
mod classes;
mod counter;
mod encoding;
#[cfg(test)]
mod exactness;
mod joins;
mod keys;
mod label;
mod layout;
mod memo;
mod model;
mod request;
mod scan;
mod seams;
mod stream;
mod vocabulary;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

pub use counter::Counter;
pub use encoding::Encoding;
use encoding::Slots;
pub use label::Label;
pub use model::{Basis, profile};
pub use request::{Api, BadRequest, Part, PartKind, RequestCount, count_request, image_tokens};
pub use stream::Stream;

/// Largest text that is counted, in bytes (64 MiB): the largest message that the daemon takes holds it.
pub const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;

/// A number of tokens, and how sure it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The tokens of the text alone, without what a provider adds around a message.
    pub tokens: u64,
    /// What the encoding itself makes of the text: the same when exact, what an estimate goes by else.
    pub counted: u64,
    /// The encoding that was used, e.g. `o200k_base`.
    pub encoding: &'static str,
    /// Whether it is the model's own encoding.
    pub exact: bool,
    /// Lower bound of the true figure; equals `tokens` when exact.
    pub low: u64,
    /// Upper bound of the true figure; equals `tokens` when exact.
    pub high: u64,
    /// For estimates: why it is one, and how it was made.
    pub note: Option<String>,
}

impl Count {
    /// What the figure rests on.
    pub fn label(&self) -> Label {
        match self.exact {
            true => Label::Exact,
            false => Label::prior(self.tokens, self.low, self.high),
        }
    }
}

/// A text that is not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the text has {bytes} bytes; at most {MAX_TEXT_BYTES} (64 MiB) are counted at once: split it")]
pub struct TooLarge {
    /// Size of the refused text.
    pub bytes: usize,
}

/// Counts text. Cheap to make: what an encoding needs is made when it is first used.
///
/// Counting is work for a processor: call it where blocking is allowed.
#[derive(Debug, Default)]
pub struct Tokenizer {
    slots: Slots,
}

impl Tokenizer {
    /// A tokenizer with nothing loaded.
    pub fn new() -> Tokenizer {
        Tokenizer::default()
    }

    /// Counts `text` for `model`; an empty model stands for `gpt-5`.
    ///
    /// Invalid UTF-8 counts as replacement characters; special tokens such as `<|endoftext|>` count as the
    /// text that they are. Errors: [`TooLarge`].
    pub fn count(&self, text: &[u8], model: &str) -> Result<Count, TooLarge> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TooLarge { bytes: text.len() });
        }
        let profile = profile(model);
        let text: Cow<'_, str> = String::from_utf8_lossy(text);
        let raw = self.slots.get(profile.encoding).count(&text);
        Ok(profile.judge(raw))
    }

    /// Counts every text for the same model, in order. Errors: [`TooLarge`] for the first that is.
    pub fn count_many<T: AsRef<[u8]>>(&self, texts: &[T], model: &str) -> Result<Vec<Count>, TooLarge> {
        if let Some(text) = texts.iter().find(|text| text.as_ref().len() > MAX_TEXT_BYTES) {
            return Err(TooLarge {
                bytes: text.as_ref().len(),
            });
        }
        let profile = profile(model);
        let texts: Vec<Cow<'_, str>> = texts
            .iter()
            .map(|text| String::from_utf8_lossy(text.as_ref()))
            .collect();
        let counts = self.slots.get(profile.encoding).count_batch(&texts);
        Ok(counts.into_iter().map(|raw| profile.judge(raw)).collect())
    }

    /// The counter of an encoding, shared with everybody who counts in it.
    pub fn counter(&self, encoding: Encoding) -> Arc<Counter> {
        self.slots.get(encoding)
    }

    /// Counts a text that grows.
    pub fn stream(&self, encoding: Encoding) -> Stream {
        Stream::new(self.counter(encoding))
    }

    /// Frees what was made for encodings that were not used for `idle`, and says how many that were.
    pub fn unload_idle(&self, idle: Duration) -> usize {
        self.slots.unload_idle(idle)
    }

    /// The encodings that are in memory.
    pub fn loaded(&self) -> Vec<Encoding> {
        self.slots.loaded()
    }
}
