//! Token buckets: disjoint, so that they can be added up and priced one by one.

/// The tokens of one call, or a sum of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Tokens {
    /// Prompt tokens at the full price: neither read from nor written to a cache.
    pub input: u64,
    /// Answer tokens, reasoning included.
    pub output: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read: u64,
    /// Prompt tokens written to the cache for 5 minutes, or for a time not stated.
    pub cache_write_5m: u64,
    /// Prompt tokens written to the cache for an hour or longer.
    pub cache_write_1h: u64,
    /// Audio tokens of the prompt.
    pub input_audio: u64,
    /// Audio tokens of the answer.
    pub output_audio: u64,
    /// Image tokens of the prompt.
    pub input_image: u64,
    /// Image tokens of the answer.
    pub output_image: u64,
    /// Web searches made by the provider: requests, not tokens.
    pub web_searches: u64,
}

impl Tokens {
    /// Everything that was sent: what long-context tiers compare with their threshold.
    pub fn prompt(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.input_audio)
            .saturating_add(self.input_image)
    }

    /// Everything that was answered.
    pub fn answer(&self) -> u64 {
        self.output
            .saturating_add(self.output_audio)
            .saturating_add(self.output_image)
    }

    /// Prompt and answer.
    pub fn total(&self) -> u64 {
        self.prompt().saturating_add(self.answer())
    }

    /// The buckets in their fixed order, for codecs and tests.
    pub fn to_array(self) -> [u64; 11] {
        [
            self.input,
            self.output,
            self.reasoning,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
            self.input_audio,
            self.output_audio,
            self.input_image,
            self.output_image,
            self.web_searches,
        ]
    }

    /// The inverse of [`Tokens::to_array`].
    pub fn from_array(a: [u64; 11]) -> Tokens {
        Tokens {
            input: a[0],
            output: a[1],
            reasoning: a[2],
            cache_read: a[3],
            cache_write_5m: a[4],
            cache_write_1h: a[5],
            input_audio: a[6],
            output_audio: a[7],
            input_image: a[8],
            output_image: a[9],
            web_searches: a[10],
        }
    }

    /// Adds bucket by bucket; saturates.
    pub fn add(&mut self, other: &Tokens) {
        let (mut a, b) = (self.to_array(), other.to_array());
        for (x, y) in a.iter_mut().zip(b) {
            *x = x.saturating_add(y);
        }
        *self = Tokens::from_array(a);
    }

    /// Subtracts bucket by bucket; stops at zero.
    pub fn sub(&mut self, other: &Tokens) {
        let (mut a, b) = (self.to_array(), other.to_array());
        for (x, y) in a.iter_mut().zip(b) {
            *x = x.saturating_sub(y);
        }
        *self = Tokens::from_array(a);
    }
}
