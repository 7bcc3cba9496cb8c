//! Import of LiteLLM's price file, `model_prices_and_context_window.json`: one JSON object, model name → facts.
//!
//! Numbers keep their text until they are decimal integers, so that `5.0000000000000004E-8` becomes what was meant
//! and no price passes through a float. An entry that cannot be used is skipped with its reason; it never fails the
//! file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::rate::{Factor, Rate};
use super::row::{Origin, PriceRow, Rates, TierRates};
use crate::limits::{MAX_IMPORT_NOTES, MAX_PRICE_FILE_BYTES, MAX_PRICE_ROWS, MAX_PRICE_TIERS};
use crate::model::{canonical_provider, is_local};
use crate::money::Pico;
use crate::refusal::Refusal;

/// What a price file held.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Rows that can go into a book, without a first day.
    pub rows: Vec<PriceRow>,
    /// Entries that were left out.
    pub skipped: u64,
    /// Why, and what was left out of the rows: at most [`MAX_IMPORT_NOTES`] sentences.
    pub notes: Vec<String>,
}

/// One level of an object, its values unread. Keys may hold escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Object<'a>(#[serde(borrow)] BTreeMap<Key<'a>, &'a RawValue>);

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Object<'_> {
    fn raw(&self, key: &str) -> Option<&str> {
        self.0
            .get(&Key(Cow::Borrowed(key)))
            .map(|value| value.get())
            .filter(|text| *text != "null")
    }

    /// A text value; `None` when it is missing or something else.
    fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    /// A number's own text, also when it stands in quotes.
    fn number(&self, key: &str) -> Option<String> {
        let raw = self.raw(key)?;
        if raw.starts_with('"') {
            serde_json::from_str(raw).ok()
        } else {
            Some(raw.to_owned())
        }
    }

    fn object(&self, key: &str) -> Option<Object<'_>> {
        serde_json::from_str(self.raw(key)?).ok()
    }
}

/// Why an entry, or a part of one, was left out. The order is that of the notes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// A price that cannot be read: the key and its value.
    Wrong(String, String),
    NotAnObject,
    NoProvider,
    Refused(String),
    /// A multiplier that is not the same for input and output.
    Uneven(&'static str),
    /// Cheaper hours, in a form that the book does not have.
    OffPeak,
    TooMany,
    NoTokenPrice,
    Mode(String),
    Free,
    Local,
}

impl Reason {
    fn sentence(&self, count: u64, example: &str) -> String {
        let who = if count == 1 {
            format!("{example}: ")
        } else {
            format!("{count} entries such as {example}: ")
        };
        let what = match self {
            Reason::Wrong(key, value) => format!("skipped, {key} is {value}, which is not a price"),
            Reason::NotAnObject => "skipped, the value is not an object".to_owned(),
            Reason::NoProvider => "skipped, litellm_provider is missing or not a text".to_owned(),
            Reason::Refused(why) => format!("skipped, {why}"),
            Reason::Uneven(offer) => {
                format!("{offer} price left out, its discount is not the same for input and output")
            }
            Reason::OffPeak => {
                "off-peak price left out, the price of the dear hours is taken for the whole day".to_owned()
            }
            Reason::TooMany => format!("skipped, more than {MAX_PRICE_ROWS} rows"),
            Reason::NoTokenPrice => "skipped, no price per token".to_owned(),
            Reason::Mode(mode) => format!("skipped, mode {mode} is not paid by the token"),
            Reason::Free => "skipped, a price of 0 would hide what is not known".to_owned(),
            Reason::Local => "skipped, runs on the user's own machine".to_owned(),
        };
        who + &what
    }
}

/// Reads a price file.
///
/// # Errors
/// Names `litellm_json` when the file is too large or is not one JSON object. Wrong entries are skipped instead.
pub fn parse_litellm(json: &[u8]) -> Result<Imported, Refusal> {
    const ALLOWED: &str =
        "one JSON object, model name to prices, as in LiteLLM's model_prices_and_context_window.json";
    if json.len() > MAX_PRICE_FILE_BYTES {
        let problem = format!("{} bytes", json.len());
        return Err(Refusal::invalid(
            "litellm_json",
            problem,
            format!("at most {MAX_PRICE_FILE_BYTES} bytes"),
        ));
    }
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let file: Object<'_> = serde_json::from_slice(json)
        .map_err(|error| Refusal::invalid("litellm_json", format!("cannot be read: {error}"), ALLOWED))?;
    let mut rows = Vec::new();
    let mut skipped = 0;
    let mut reasons: BTreeMap<Reason, (u64, String)> = BTreeMap::new();
    let mut note = |reason: Reason, name: &str| {
        let example = || name.chars().take(80).collect();
        reasons.entry(reason).or_insert_with(|| (0, example())).0 += 1;
    };
    for (Key(name), value) in &file.0 {
        // The file's own explanation of its keys.
        if name == "sample_spec" {
            continue;
        }
        let mut partly = Vec::new();
        let read = match serde_json::from_str::<Object<'_>>(value.get()) {
            Ok(_) if rows.len() >= MAX_PRICE_ROWS => Err(Reason::TooMany),
            Ok(entry) => read_entry(name, &entry, &mut partly),
            Err(_) => Err(Reason::NotAnObject),
        };
        match read {
            Ok(row) => {
                rows.push(row);
                partly.into_iter().for_each(|reason| note(reason, name));
            }
            Err(reason) => {
                skipped += 1;
                note(reason, name);
            }
        }
    }
    let mut notes: Vec<String> = reasons
        .iter()
        .map(|(reason, (count, example))| reason.sentence(*count, example))
        .collect();
    if notes.len() > MAX_IMPORT_NOTES {
        let more = notes.len() - (MAX_IMPORT_NOTES - 1);
        notes.truncate(MAX_IMPORT_NOTES - 1);
        notes.push(format!("and {more} more reasons"));
    }
    Ok(Imported { rows, skipped, notes })
}

fn read_entry(name: &str, entry: &Object<'_>, partly: &mut Vec<Reason>) -> Result<PriceRow, Reason> {
    let provider = entry.text("litellm_provider").ok_or(Reason::NoProvider)?;
    if is_local(&provider) {
        return Err(Reason::Local);
    }
    let mode = entry.text("mode");
    if let Some(mode) = mode.as_deref()
        && !matches!(mode, "chat" | "completion" | "responses" | "embedding")
    {
        return Err(Reason::Mode(mode.chars().take(40).collect()));
    }
    let mut rates = read_rates(entry, "")?;
    let mut tiers = read_tiers(entry)?;
    if rates.input.is_none()
        && rates.output.is_none()
        && let Some((first, higher)) = read_tier_list(entry)?
    {
        (rates, tiers) = (first, higher);
    }
    if mode.as_deref() == Some("embedding") && rates.input.is_some() {
        rates.output = rates.output.or(Some(Rate::ZERO));
    }
    if rates.input.is_none() && rates.output.is_none() {
        return Err(Reason::NoTokenPrice);
    }
    if rates
        .named()
        .iter()
        .all(|(_, rate)| rate.is_none_or(|rate| rate == Rate::ZERO))
    {
        return Err(Reason::Free);
    }
    // A write price of nothing stands for "caches by itself": such tokens cost what plain ones cost.
    rates.cache_write_5m = rates.cache_write_5m.filter(|rate| *rate != Rate::ZERO);
    let mut offer = |suffix, offer| match read_factor(entry, &rates, suffix) {
        Ok(factor) => factor,
        Err(()) => {
            partly.push(Reason::Uneven(offer));
            None
        }
    };
    let (priority, flex, batch) = (
        offer("_priority", "priority"),
        offer("_flex", "flex"),
        offer("_batches", "batch"),
    );
    if entry.raw("off_peak_pricing").is_some() {
        partly.push(Reason::OffPeak);
    }
    let extra = entry.object("provider_specific_entry");
    let extra_factor = |key| {
        extra
            .as_ref()
            .and_then(|extra| Factor::parse(&extra.number(key)?))
    };
    let uplift = || Factor::parse(&entry.number("regional_processing_uplift_multiplier_us")?);
    let read_at =
        |suffix: &str| Rate::parse_per_token(&entry.number(&format!("cache_read_input_token_cost{suffix}"))?);
    let undiscounted = |factor: Option<Factor>, suffix| {
        factor.is_some_and(|f| f != Factor::ONE)
            && rates.cache_read.is_some()
            && read_at(suffix) == rates.cache_read
    };
    let mut tiers = tiers.into_iter();
    let row = PriceRow {
        model: strip_provider(name, &provider).into(),
        provider: canonical_provider(&provider).into(),
        from_day: None,
        rates,
        tier: tiers.next(),
        higher_tiers: tiers.collect(),
        // A provider's fast mode is its priority tier unless the file says more.
        fast: extra_factor("fast"),
        cache_read_undiscounted: undiscounted(batch, "_batches") || undiscounted(flex, "_flex"),
        priority,
        flex,
        batch,
        us_region: extra_factor("us").or_else(uplift),
        peak: None,
        web_search: entry
            .object("search_context_cost_per_query")
            .and_then(|costs| Pico::parse_usd(&costs.number("search_context_size_medium")?))
            .filter(|price| price.0 >= 0),
        context_window: read_count(entry, "max_input_tokens"),
        max_output: read_count(entry, "max_output_tokens"),
        origin: Origin::Import,
        source: "LiteLLM price file".into(),
    };
    match row.check() {
        Ok(()) => Ok(row),
        Err(refusal) => Err(Reason::Refused(refusal.to_string())),
    }
}

/// `gemini/gemini-2.5-pro` of provider gemini → `gemini-2.5-pro`; other parts of a path stay.
fn strip_provider<'a>(name: &'a str, provider: &str) -> &'a str {
    match name.split_once('/') {
        Some((first, rest)) if canonical_provider(first) == canonical_provider(provider) => rest,
        _ => name,
    }
}

/// A price of the entry. `Ok(None)`: not named.
fn read_rate(entry: &Object<'_>, key: &str) -> Result<Option<Rate>, Reason> {
    let Some(raw) = entry.raw(key) else {
        return Ok(None);
    };
    match entry.number(key).and_then(|text| Rate::parse_per_token(&text)) {
        Some(rate) => Ok(Some(rate)),
        None => Err(Reason::Wrong(key.to_owned(), raw.chars().take(40).collect())),
    }
}

/// The prices whose keys end in `suffix`: "", or "_above_200k_tokens".
fn read_rates(entry: &Object<'_>, suffix: &str) -> Result<Rates, Reason> {
    let rate = |key: &str| read_rate(entry, &format!("{key}{suffix}"));
    let long_write = match rate("cache_creation_input_token_cost_above_1hr")? {
        Some(rate) => Some(rate),
        None => rate("cache_creation_input_token_cost_above_12hr")?,
    };
    Ok(Rates {
        input: rate("input_cost_per_token")?,
        output: rate("output_cost_per_token")?,
        cache_read: rate("cache_read_input_token_cost")?,
        cache_write_5m: rate("cache_creation_input_token_cost")?,
        cache_write_1h: long_write,
        input_audio: rate("input_cost_per_audio_token")?,
        output_audio: rate("output_cost_per_audio_token")?,
        input_image: rate("input_cost_per_image_token")?,
        output_image: rate("output_cost_per_image_token")?,
    })
}

/// The tiers that stand in keys such as `input_cost_per_token_above_272k_tokens`, by rising threshold.
fn read_tiers(entry: &Object<'_>) -> Result<Vec<TierRates>, Reason> {
    let mut above: Vec<u64> = entry
        .0
        .keys()
        .filter_map(|Key(key)| {
            let thousands = key
                .strip_prefix("input_cost_per_token_above_")?
                .strip_suffix("k_tokens")?;
            thousands.parse::<u64>().ok()?.checked_mul(1_000)
        })
        .collect();
    above.sort_unstable();
    above.dedup();
    above.truncate(MAX_PRICE_TIERS);
    above
        .into_iter()
        .map(|above| {
            let rates = read_rates(entry, &format!("_above_{}k_tokens", above / 1_000))?;
            Ok(TierRates { above, rates })
        })
        .collect()
}

/// The other form of tiers: a list of ranges. The first range gives the base prices.
fn read_tier_list(entry: &Object<'_>) -> Result<Option<(Rates, Vec<TierRates>)>, Reason> {
    let Some(raw) = entry.raw("tiered_pricing") else {
        return Ok(None);
    };
    let wrong = || Reason::Wrong("tiered_pricing".to_owned(), raw.chars().take(40).collect());
    let list: Vec<Object<'_>> = serde_json::from_str(raw).map_err(|_| wrong())?;
    let mut tiers = Vec::new();
    for tier in list.iter().take(MAX_PRICE_TIERS) {
        let range: Vec<&RawValue> = tier
            .raw("range")
            .and_then(|raw| serde_json::from_str(raw).ok())
            .unwrap_or_default();
        let start = range
            .first()
            .and_then(|start| read_whole(start.get()))
            .ok_or_else(wrong)?;
        tiers.push(TierRates {
            above: start,
            rates: read_rates(tier, "")?,
        });
    }
    tiers.sort_by_key(|tier| tier.above);
    let mut tiers = tiers.into_iter();
    match tiers.next() {
        Some(first) if first.above == 0 => Ok(Some((first.rates, tiers.collect()))),
        _ => Err(wrong()),
    }
}

/// The multiplier of an offer: its price over the list price, when it is the same for input and output.
fn read_factor(entry: &Object<'_>, rates: &Rates, suffix: &str) -> Result<Option<Factor>, ()> {
    let ratio = |key: &str, list: Option<Rate>| -> Option<Factor> {
        let offer = Rate::parse_per_token(&entry.number(&format!("{key}{suffix}"))?)?;
        Factor::ratio(i128::from(offer.0), i128::from(list?.0))
    };
    match (
        ratio("input_cost_per_token", rates.input),
        ratio("output_cost_per_token", rates.output),
    ) {
        (Some(input), Some(output)) if input != output => Err(()),
        (input, output) => Ok(input.or(output)),
    }
}

/// A whole number, also when it is written as `128000.0`.
fn read_whole(text: &str) -> Option<u64> {
    u64::try_from(crate::money::parse_scaled(text, 0)?).ok()
}

fn read_count(entry: &Object<'_>, key: &str) -> u64 {
    entry.number(key).and_then(|text| read_whole(&text)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
