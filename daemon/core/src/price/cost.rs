//! What one call costs: tokens times prices times factors, exact to the pico-dollar.
//!
//! Each line item (one bucket of tokens) is computed in 128-bit integers and rounded half to even once, after all
//! factors. The parts are sums of line items and the total is the sum of the parts, so they always agree.

use std::fmt::Write as _;
use std::sync::Arc;

use super::rate::{Factor, Rate, Scale};
use super::row::{PriceRow, Rates};
use crate::model;
use crate::money::Pico;
use crate::observation::{CallKind, Observation, Tier};
use crate::tokens::Tokens;

/// A call's cost and the price that made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Costing {
    /// The sum of the parts.
    pub total: Pico,
    /// The total by kind.
    pub parts: Parts,
    /// The price that was applied.
    pub row: Arc<PriceRow>,
    call: Call,
}

/// A cost by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// Prompt tokens at the full price, of text, sound and pictures.
    pub input: Pico,
    /// Answer tokens of every kind, reasoning included.
    pub output: Pico,
    /// Tokens read from the cache.
    pub cache_read: Pico,
    /// Tokens written to the cache.
    pub cache_write: Pico,
    /// What is not tokens: web searches.
    pub other: Pico,
}

impl Parts {
    /// The sum.
    pub fn total(&self) -> Pico {
        self.input + self.output + self.cache_read + self.cache_write + self.other
    }
}

/// Everything about a call that its cost depends on, apart from the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Call {
    pub(super) at_ms: i64,
    pub(super) tokens: Tokens,
    pub(super) tier: Tier,
    pub(super) fast: bool,
    pub(super) us_region: bool,
    /// See [`CallKind::Several`].
    pub(super) several: bool,
}

impl Call {
    /// The length of prompt that long-context prices go by: of several calls none is known to be long.
    fn prompt(&self) -> u64 {
        if self.several { 0 } else { self.tokens.prompt() }
    }

    pub(super) fn of(seen: &Observation) -> Call {
        Call {
            at_ms: seen.at_ms,
            // A cache of the caller answered: nothing was sent.
            tokens: if seen.kind == CallKind::CacheHit {
                Tokens::default()
            } else {
                seen.tokens
            },
            tier: seen.tier,
            fast: seen.fast,
            us_region: seen.us_region,
            several: seen.kind == CallKind::Several,
        }
    }
}

const INPUT: usize = 0;
const OUTPUT: usize = 1;
const CACHE_READ: usize = 2;
const WRITE_5M: usize = 3;
const WRITE_1H: usize = 4;
const INPUT_AUDIO: usize = 5;
const OUTPUT_AUDIO: usize = 6;
const INPUT_IMAGE: usize = 7;
const OUTPUT_IMAGE: usize = 8;

/// A price per bucket, with the gaps of the price list filled. `None`: nothing to fill it with.
type Table = [Option<Rate>; 9];

/// A row made ready for computing.
#[derive(Debug)]
pub(super) struct Priced {
    pub(super) row: Arc<PriceRow>,
    base: Table,
    /// By rising threshold.
    tiers: Vec<(u64, Table)>,
    us_region: Option<Factor>,
    web_search: Option<Pico>,
}

impl Priced {
    pub(super) fn new(row: Arc<PriceRow>) -> Priced {
        let anthropic = is_anthropic(&row);
        let base = fill(&row.rates, anthropic);
        let tiers = row
            .tiers()
            .map(|tier| (tier.above, fill_tier(&tier.rates, &row.rates, &base, anthropic)))
            .collect();
        Priced {
            base,
            tiers,
            us_region: row.us_region.or(anthropic.then_some(Factor::ANTHROPIC_US)),
            web_search: row.web_search.or(anthropic.then_some(ANTHROPIC_SEARCH)),
            row,
        }
    }

    /// The cost of a call. `None`: tokens of a kind for which there is no price.
    pub(super) fn cost(&self, call: Call) -> Option<Costing> {
        let (_, table) = self.table(call.prompt());
        let scale = self.scale(&call);
        let read_scale = if self.row.cache_read_undiscounted {
            self.read_scale(&call)
        } else {
            scale
        };
        let t = &call.tokens;
        let item = |bucket: usize, tokens: u64, scale: Scale| -> Option<Pico> {
            if tokens == 0 {
                return Some(Pico::ZERO);
            }
            let amount = i128::from(tokens).saturating_mul(i128::from(table[bucket]?.0));
            Some(Pico(scale.apply(amount)))
        };
        let parts = Parts {
            input: item(INPUT, t.input, scale)?
                + item(INPUT_AUDIO, t.input_audio, scale)?
                + item(INPUT_IMAGE, t.input_image, scale)?,
            output: item(OUTPUT, t.output, scale)?
                + item(OUTPUT_AUDIO, t.output_audio, scale)?
                + item(OUTPUT_IMAGE, t.output_image, scale)?,
            cache_read: item(CACHE_READ, t.cache_read, read_scale)?,
            cache_write: item(WRITE_5M, t.cache_write_5m, scale)? + item(WRITE_1H, t.cache_write_1h, scale)?,
            other: match self.web_search {
                Some(price) => Pico(price.0.saturating_mul(i128::from(t.web_searches))),
                None => Pico::ZERO,
            },
        };
        Some(Costing {
            total: parts.total(),
            parts,
            row: Arc::clone(&self.row),
            call,
        })
    }

    fn table(&self, prompt: u64) -> (u64, &Table) {
        match self.tiers.iter().rev().find(|(above, _)| prompt > *above) {
            Some((above, table)) => (*above, table),
            None => (0, &self.base),
        }
    }

    /// Every factor of the call with its name. `None`: the call asks for it, the price list does not offer it.
    fn factors(&self, call: &Call) -> [Option<(&'static str, Option<Factor>)>; 4] {
        let row = &self.row;
        let fast = call.fast.then_some(("fast", row.fast.or(row.priority)));
        let tier = match call.tier {
            Tier::Standard => None,
            // A vendor's fast mode and its priority tier are one offer: never charged twice.
            Tier::Priority if call.fast => None,
            Tier::Priority => Some(("priority", row.priority)),
            Tier::Flex => Some(("flex", row.flex)),
            Tier::Batch => Some(("batch", row.batch)),
        };
        let us = call.us_region.then_some(("US region", self.us_region));
        let peak = row.peak.as_ref().filter(|peak| peak.holds_at(call.at_ms));
        [fast, tier, us, peak.map(|peak| ("peak hours", Some(peak.factor)))]
    }

    fn scale(&self, call: &Call) -> Scale {
        if call.tier == Tier::Standard && !call.fast && !call.us_region && self.row.peak.is_none() {
            return Scale::ONE;
        }
        let factors = self.factors(call);
        factors
            .into_iter()
            .flatten()
            .filter_map(|(_, factor)| factor)
            .fold(Scale::ONE, Scale::times)
    }

    fn read_scale(&self, call: &Call) -> Scale {
        let tier = match call.tier {
            Tier::Flex | Tier::Batch => Tier::Standard,
            tier => tier,
        };
        self.scale(&Call { tier, ..*call })
    }
}

/// $10 per thousand.
const ANTHROPIC_SEARCH: Pico = Pico(10_000_000_000);

fn is_anthropic(row: &PriceRow) -> bool {
    let provider = model::canonical_provider(&row.provider);
    match model::vendor(&provider) {
        Some(vendor) => vendor == "anthropic",
        // Whoever passes the model on: the rules are those of its maker.
        None => !model::is_local(&provider) && model::guess_provider(&row.model) == Some("anthropic"),
    }
}

/// Fills the gaps of a price list. Anthropic's own convention for its cache (writes 1.25 and 2 times, reads a tenth
/// of the input price) holds for Anthropic only; with everyone else a cached token costs what a plain one costs.
fn fill(rates: &Rates, anthropic: bool) -> Table {
    let input = rates.input;
    let of_input = |num: i64, den: i64| {
        let rate = input?;
        if !anthropic {
            return Some(rate);
        }
        let factor = Factor::ratio(i128::from(num), i128::from(den))?;
        i64::try_from(Scale::ONE.times(factor).apply(i128::from(rate.0)))
            .ok()
            .map(Rate)
    };
    let write_5m = rates.cache_write_5m.or_else(|| of_input(5, 4));
    let write_1h = rates
        .cache_write_1h
        .or_else(|| if anthropic { of_input(2, 1) } else { write_5m });
    [
        input,
        rates.output,
        rates.cache_read.or_else(|| of_input(1, 10)),
        write_5m,
        write_1h,
        rates.input_audio.or(input),
        rates.output_audio.or(rates.output),
        rates.input_image.or(input),
        rates.output_image.or(rates.output),
    ]
}

/// Fills a tier's gaps: a price that the list names for short prompts only is raised as the input price is.
fn fill_tier(tier: &Rates, list: &Rates, base: &Table, anthropic: bool) -> Table {
    let raise = match (tier.input, base[INPUT]) {
        (Some(high), Some(low)) => Factor::ratio(i128::from(high.0), i128::from(low.0)),
        _ => None,
    };
    let raised = |own: Option<Rate>, low: Option<Rate>| {
        own.or_else(|| {
            let low = low?;
            let scale = raise.map_or(Scale::ONE, |factor| Scale::ONE.times(factor));
            i64::try_from(scale.apply(i128::from(low.0))).ok().map(Rate)
        })
    };
    let rates = Rates {
        input: tier.input.or(base[INPUT]),
        output: tier.output.or(base[OUTPUT]),
        cache_read: raised(tier.cache_read, list.cache_read),
        cache_write_5m: raised(tier.cache_write_5m, list.cache_write_5m),
        cache_write_1h: raised(tier.cache_write_1h, list.cache_write_1h),
        input_audio: raised(tier.input_audio, list.input_audio),
        output_audio: tier.output_audio.or(list.output_audio),
        input_image: raised(tier.input_image, list.input_image),
        output_image: tier.output_image.or(list.output_image),
    };
    fill(&rates, anthropic)
}

impl Costing {
    /// One line for people: each price per million tokens, the tier, every factor, and what had to be assumed.
    pub fn detail(&self) -> String {
        let priced = Priced::new(Arc::clone(&self.row));
        let t = &self.call.tokens;
        let (above, table) = priced.table(self.call.prompt());
        let listed = priced
            .row
            .tiers()
            .find(|tier| tier.above == above)
            .map_or(&priced.row.rates, |tier| &tier.rates);
        let listed = listed.named();
        let buckets = [
            ("input", INPUT, t.input),
            ("output", OUTPUT, t.output),
            ("cache read", CACHE_READ, t.cache_read),
            ("cache write 5m", WRITE_5M, t.cache_write_5m),
            ("cache write 1h", WRITE_1H, t.cache_write_1h),
            ("audio input", INPUT_AUDIO, t.input_audio),
            ("audio output", OUTPUT_AUDIO, t.output_audio),
            ("image input", INPUT_IMAGE, t.input_image),
            ("image output", OUTPUT_IMAGE, t.output_image),
        ];
        let mut items: Vec<String> = Vec::new();
        for (name, bucket, tokens) in buckets {
            if let Some(rate) = table[bucket].filter(|_| tokens > 0) {
                let assumed = if listed[bucket].1.is_none() {
                    " (assumed: not in the price list)"
                } else {
                    ""
                };
                items.push(format!("{tokens} {name} at ${rate}/M{assumed}"));
            }
        }
        match priced.web_search {
            Some(price) if t.web_searches > 0 => {
                items.push(format!("{} web searches at ${price}", t.web_searches))
            }
            None if t.web_searches > 0 => items.push(format!("{} web searches not priced", t.web_searches)),
            _ => {}
        }
        let mut text = if items.is_empty() {
            "nothing to pay for".to_owned()
        } else {
            items.join(" + ")
        };
        if above > 0 {
            let _ = write!(
                text,
                "; whole prompt of {} is above {above}: long-context prices for all of it",
                t.prompt()
            );
        }
        for (name, factor) in priced.factors(&self.call).into_iter().flatten() {
            let _ = match factor {
                Some(factor) => write!(text, "; {name} ×{factor}"),
                None => write!(
                    text,
                    "; {name}: no such offer in the price list, list price taken"
                ),
            };
        }
        if priced.row.cache_read_undiscounted && matches!(self.call.tier, Tier::Flex | Tier::Batch) {
            text.push_str("; cache reads are not discounted");
        }
        let row = &self.row;
        let slash = if row.provider.is_empty() { "" } else { "/" };
        let _ = write!(
            text,
            "; {} price of {}{slash}{}",
            row.origin.name(),
            row.provider,
            row.model
        );
        if !row.source.is_empty() {
            let _ = write!(text, " ({})", row.source);
        }
        let _ = write!(text, " = ${}", self.total);
        text
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
