//! The bundled price book, read from its table.

use csv::{ReaderBuilder, StringRecord};

use super::rate::{Factor, Rate};
use super::row::{Origin, Peak, PriceRow, Rates, TierRates};
use crate::money::Pico;

const TABLE: &str = include_str!("book.csv");

/// The day whose prices the table has.
pub(super) fn date() -> &'static str {
    TABLE
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("# Prices as of "))
        .unwrap_or_default()
}

/// The rows with the other names of their models. A line that cannot be read is left out; a test sees to it that
/// there is none.
pub(super) fn rows() -> Vec<(PriceRow, Vec<String>)> {
    lines()
        .filter_map(|line| line.and_then(|line| read(&line)))
        .collect()
}

fn lines() -> impl Iterator<Item = Option<StringRecord>> {
    ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(TABLE.as_bytes())
        .into_records()
        .map(Result::ok)
}

/// The columns are those of the table's head. A tier is `above:input:output:cache_read:write_5m:write_1h`, several
/// are parted by blanks; prices are dollars per million tokens, a search costs dollars, `peak` is `factor hours…`
/// in UTC, Monday to Friday.
fn read(line: &StringRecord) -> Option<(PriceRow, Vec<String>)> {
    let text = |at: usize| line.get(at).unwrap_or_default();
    let rate = |at: usize| Rate::from_field("price", text(at)).ok();
    let factor = |at: usize| Factor::from_field("factor", text(at)).ok();
    let number = |at: usize| {
        if text(at).is_empty() {
            Some(0)
        } else {
            text(at).parse::<u64>().ok()
        }
    };
    let mut tiers = text(9)
        .split_whitespace()
        .map(read_tier)
        .collect::<Option<Vec<_>>>()?
        .into_iter();
    let row = PriceRow {
        provider: text(0).into(),
        model: text(1).into(),
        from_day: if text(3).is_empty() {
            None
        } else {
            Some(day(text(3))?)
        },
        rates: Rates {
            input: rate(4)?,
            output: rate(5)?,
            cache_read: rate(6)?,
            cache_write_5m: rate(7)?,
            cache_write_1h: rate(8)?,
            input_audio: rate(19)?,
            output_audio: rate(20)?,
            ..Rates::default()
        },
        tier: tiers.next(),
        higher_tiers: tiers.collect(),
        fast: factor(10)?,
        priority: factor(11)?,
        flex: factor(12)?,
        batch: factor(13)?,
        us_region: factor(14)?,
        cache_read_undiscounted: text(15) == "list",
        web_search: if text(16).is_empty() {
            None
        } else {
            Some(Pico::parse_usd(text(16))?)
        },
        context_window: number(17)?,
        max_output: number(18)?,
        peak: if text(21).is_empty() {
            None
        } else {
            Some(read_peak(text(21))?)
        },
        origin: Origin::Bundled,
        source: text(22).into(),
    };
    row.check().ok()?;
    Some((row, text(2).split_whitespace().map(str::to_owned).collect()))
}

fn read_tier(text: &str) -> Option<TierRates> {
    let mut parts = text.split(':');
    let above = parts.next()?.parse().ok()?;
    let mut rate = || Rate::from_field("tier", parts.next().unwrap_or_default()).ok();
    let rates = Rates {
        input: rate()?,
        output: rate()?,
        cache_read: rate()?,
        cache_write_5m: rate()?,
        cache_write_1h: rate()?,
        ..Rates::default()
    };
    Some(TierRates { above, rates })
}

fn read_peak(text: &str) -> Option<Peak> {
    let mut parts = text.split_whitespace();
    let factor = Factor::parse(parts.next()?)?;
    let hours = parts
        .map(|span| {
            let (from, to) = span.split_once('-')?;
            Some((from.parse().ok()?, to.parse().ok()?))
        })
        .collect::<Option<Vec<(u8, u8)>>>()?;
    Some(Peak {
        factor,
        hours,
        weekdays: true,
    })
}

/// Days since the epoch of "2026-01-31".
pub(super) fn day(text: &str) -> Option<i32> {
    let date: jiff::civil::Date = text.parse().ok()?;
    let days = date
        .since((jiff::Unit::Day, jiff::civil::date(1970, 1, 1)))
        .ok()?
        .get_days();
    Some(days)
}
