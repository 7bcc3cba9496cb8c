//! Sums over calls, and the report that is made of them: what every way of showing it starts from.

use tokmon_client::v1::{Tokens, Totals};

use crate::show::number::pico_or_zero;

/// A sum over calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) requests: u64,
    pub(crate) tokens: Tokens,
    /// Pico-dollars.
    pub(crate) cost: i128,
    pub(crate) unpriced_requests: u64,
}

impl Sum {
    /// From the wire.
    pub(crate) fn of(totals: Option<&Totals>) -> Sum {
        totals.map_or_else(Sum::default, |t| Sum {
            requests: t.requests,
            tokens: t.tokens.unwrap_or_default(),
            cost: pico_or_zero(t.cost.as_ref()),
            unpriced_requests: t.unpriced_requests,
        })
    }

    /// Adds another sum.
    pub(crate) fn add(&mut self, other: &Sum) {
        self.requests = self.requests.saturating_add(other.requests);
        self.cost = self.cost.saturating_add(other.cost);
        self.unpriced_requests = self.unpriced_requests.saturating_add(other.unpriced_requests);
        let (into, from) = (&mut self.tokens, &other.tokens);
        for (into, from) in [
            (&mut into.input, from.input),
            (&mut into.output, from.output),
            (&mut into.reasoning, from.reasoning),
            (&mut into.cache_read, from.cache_read),
            (&mut into.cache_write_5m, from.cache_write_5m),
            (&mut into.cache_write_1h, from.cache_write_1h),
            (&mut into.input_audio, from.input_audio),
            (&mut into.output_audio, from.output_audio),
            (&mut into.input_image, from.input_image),
            (&mut into.output_image, from.output_image),
            (&mut into.web_searches, from.web_searches),
        ] {
            *into = into.saturating_add(from);
        }
    }

    /// Prompt tokens outside of the cache, of every kind.
    pub(crate) fn input(&self) -> u64 {
        input(&self.tokens)
    }

    /// Answer tokens of every kind, reasoning included.
    pub(crate) fn output(&self) -> u64 {
        output(&self.tokens)
    }

    /// Tokens written to the cache, short and long life together.
    pub(crate) fn cache_write(&self) -> u64 {
        cache_write(&self.tokens)
    }

    /// All tokens.
    pub(crate) fn total(&self) -> u64 {
        total(&self.tokens)
    }
}

/// Prompt tokens outside of the cache: text, audio and images.
pub(crate) fn input(t: &Tokens) -> u64 {
    t.input
        .saturating_add(t.input_audio)
        .saturating_add(t.input_image)
}

/// Answer tokens: text (reasoning included), audio and images.
pub(crate) fn output(t: &Tokens) -> u64 {
    t.output
        .saturating_add(t.output_audio)
        .saturating_add(t.output_image)
}

/// Tokens written to the cache.
pub(crate) fn cache_write(t: &Tokens) -> u64 {
    t.cache_write_5m.saturating_add(t.cache_write_1h)
}

/// All tokens; the buckets are disjoint.
pub(crate) fn total(t: &Tokens) -> u64 {
    input(t)
        .saturating_add(output(t))
        .saturating_add(t.cache_read)
        .saturating_add(cache_write(t))
}

/// What one model adds to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelPart {
    pub(crate) model: String,
    pub(crate) provider: String,
    pub(crate) sum: Sum,
}

/// One line of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// One value per key of the report.
    pub(crate) keys: Vec<String>,
    pub(crate) sum: Sum,
    /// First and last call.
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    /// By model; empty unless asked for.
    pub(crate) models: Vec<ModelPart>,
}

/// Totals by some grouping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Names of the keys, e.g. "date".
    pub(crate) keys: Vec<&'static str>,
    pub(crate) lines: Vec<Line>,
    pub(crate) totals: Sum,
    /// "provider/model" of calls without a known price.
    pub(crate) unpriced_models: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// Whether lines carry their models.
    pub(crate) breakdown: bool,
}

#[cfg(test)]
pub(crate) mod samples {
    //! One small report that the tests of all ways to show it share.

    use super::*;

    /// 1,500 input and 800 output tokens: $0.0165.
    pub(crate) fn sum() -> Sum {
        Sum {
            requests: 1,
            tokens: Tokens {
                input: 1500,
                output: 800,
                reasoning: 5,
                cache_read: 7,
                cache_write_5m: 11,
                cache_write_1h: 13,
                ..Tokens::default()
            },
            cost: 16_500_000_000,
            unpriced_requests: 0,
        }
    }

    /// One day with one model whose name needs quoting in CSV.
    pub(crate) fn report() -> Report {
        let part = ModelPart {
            model: "odd, \"model\"".into(),
            provider: "anthropic".into(),
            sum: sum(),
        };
        Report {
            keys: vec!["date"],
            lines: vec![Line {
                keys: vec!["2026-11-20".into()],
                sum: sum(),
                first_ms: 1,
                last_ms: 2,
                models: vec![part],
            }],
            totals: sum(),
            unpriced_models: vec!["x/y".into()],
            warnings: vec!["w".into()],
            breakdown: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let mut sum = samples::sum();
        sum.add(&samples::sum());
        assert_eq!(
            (sum.requests, sum.input(), sum.output(), sum.cache_write()),
            (2, 3000, 1600, 48)
        );
        assert_eq!(sum.total(), 3000 + 1600 + 48 + 14);
        assert_eq!(sum.cost, 33_000_000_000);
    }

    #[test]
    fn sums_stop_at_the_largest_number() {
        let mut sum = Sum {
            tokens: Tokens {
                input: u64::MAX,
                input_audio: 1,
                ..Tokens::default()
            },
            ..Sum::default()
        };
        sum.add(&samples::sum());
        assert_eq!(sum.total(), u64::MAX);
    }
}
