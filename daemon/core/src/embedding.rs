//! The embedding tracker: requests, tokens, cache hits and cost by day, and the warnings that follow.

use std::ops::Range;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::money::Pico;
use crate::refusal::Refusal;
use crate::report::Report;
use crate::report::figures::{name, percent, share, thousands, usd};
use crate::rollup::Agg;
use crate::time::{Unit, date_of, day_window, key};

/// Days of a summary when none are asked for.
pub const DEFAULT_DAYS: u32 = 7;
/// Most days of a summary: ten years.
pub const MAX_DAYS: u32 = 3_660;
/// Days that the weekly budget covers.
const WEEK: usize = 7;

/// When the summary warns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingLimits {
    /// Tokens of one day from which on it warns.
    pub daily_tokens: u64,
    /// Dollars per week, in configuration a decimal number as text: "10" or "2.50".
    #[serde(
        rename = "weekly_budget_usd",
        serialize_with = "write_usd",
        deserialize_with = "read_usd"
    )]
    pub weekly_budget: Pico,
    /// Share of the weekly budget, percent, beyond which it warns.
    pub warn_percent: u32,
}

impl Default for EmbeddingLimits {
    fn default() -> Self {
        EmbeddingLimits {
            daily_tokens: 1_000_000,
            weekly_budget: Pico::from_split(10, 0),
            warn_percent: 80,
        }
    }
}

impl EmbeddingLimits {
    /// Checks the configuration.
    ///
    /// # Errors
    /// A threshold of 0, a budget that is not positive, or a share outside 1 to 100 percent.
    pub fn validate(&self) -> Result<(), Refusal> {
        if self.daily_tokens == 0 {
            return Err(Refusal::invalid("embeddings.daily_tokens", "0", "1 or more"));
        }
        if self.weekly_budget <= Pico::ZERO {
            return Err(Refusal::invalid(
                "embeddings.weekly_budget_usd",
                self.weekly_budget.to_string(),
                "more than 0 dollars",
            ));
        }
        if !(1..=100).contains(&self.warn_percent) {
            return Err(Refusal::invalid(
                "embeddings.warn_percent",
                self.warn_percent.to_string(),
                "1 to 100",
            ));
        }
        Ok(())
    }
}

/// The embeddings of one day, or of all days together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmbeddingDay {
    /// "2026-11-20"; empty for the sum.
    pub date: String,
    /// Requests; a cache hit is none.
    pub requests: u64,
    /// Tokens that were embedded.
    pub tokens: u64,
    /// Embeddings that the caller's cache answered.
    pub cache_hits: u64,
    /// What the requests cost.
    pub cost: Pico,
}

/// The embeddings of the last days.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingSummary {
    /// Every day, the oldest first; a day without embeddings is there with zeros.
    pub days: Vec<EmbeddingDay>,
    /// Their sum.
    pub total: EmbeddingDay,
    /// Hits / (hits + requests), percent; 0 when there is neither.
    pub cache_efficiency_percent: f64,
    /// Limits that were passed, as sentences, the oldest first.
    pub warnings: Vec<String>,
}

/// The window of the last `days` days (0 means [`DEFAULT_DAYS`]), today included, milliseconds.
///
/// # Errors
/// More than [`MAX_DAYS`].
pub fn embedding_window(days: u32, now_ms: i64, zone: &TimeZone) -> Result<Range<i64>, Refusal> {
    let days = match days {
        0 => DEFAULT_DAYS,
        days if days > MAX_DAYS => {
            return Err(Refusal::invalid(
                "days",
                days.to_string(),
                format!("1 to {MAX_DAYS}, or 0 for {DEFAULT_DAYS}"),
            ));
        }
        days => days,
    };
    let today = date_of(now_ms, zone);
    let first = today.saturating_sub(i64::from(days - 1).days());
    Ok(day_window(first, zone).start..day_window(today, zone).end)
}

/// Draws up the summary. `by_day` is the report by day alone over `window`, which [`embedding_window`] gave.
pub fn summarise(
    by_day: &Report,
    window: &Range<i64>,
    zone: &TimeZone,
    limits: &EmbeddingLimits,
) -> EmbeddingSummary {
    let mut days = Vec::new();
    let mut at_ms = window.start;
    while at_ms < window.end && days.len() < MAX_DAYS as usize {
        let date = key(Unit::Day, at_ms, zone);
        let row = by_day.rows.iter().find(|row| name(row) == date);
        days.push(row.map_or_else(
            || EmbeddingDay {
                date: date.clone(),
                ..Default::default()
            },
            |row| day(&date, &row.agg),
        ));
        at_ms = crate::time::window(Unit::Day, at_ms, zone).end;
    }
    let total = days.iter().fold(EmbeddingDay::default(), |mut sum, day| {
        sum.requests = sum.requests.saturating_add(day.requests);
        sum.tokens = sum.tokens.saturating_add(day.tokens);
        sum.cache_hits = sum.cache_hits.saturating_add(day.cache_hits);
        sum.cost += day.cost;
        sum
    });
    EmbeddingSummary {
        cache_efficiency_percent: percent(total.cache_hits, total.cache_hits.saturating_add(total.requests)),
        warnings: warnings(&days, limits),
        total,
        days,
    }
}

/// The sentence about a day whose embedding tokens reach the threshold; `None` below it.
pub fn daily_warning(day: &EmbeddingDay, limits: &EmbeddingLimits) -> Option<String> {
    (day.tokens >= limits.daily_tokens).then(|| {
        format!(
            "{}: {} embedding tokens ({}) reached the daily threshold of {} tokens",
            day.date,
            thousands(day.tokens),
            usd(day.cost),
            thousands(limits.daily_tokens)
        )
    })
}

fn day(date: &str, agg: &Agg) -> EmbeddingDay {
    EmbeddingDay {
        date: date.to_owned(),
        requests: agg.embedding_requests,
        tokens: agg.embedding_tokens,
        cache_hits: agg.cache_hits,
        cost: agg.embedding_cost,
    }
}

fn warnings(days: &[EmbeddingDay], limits: &EmbeddingLimits) -> Vec<String> {
    let mut warnings: Vec<String> = days.iter().filter_map(|day| daily_warning(day, limits)).collect();
    let week = &days[days.len().saturating_sub(WEEK)..];
    let cost: Pico = week.iter().map(|day| day.cost).sum();
    let threshold = share(limits.weekly_budget, limits.warn_percent.into(), 100);
    if cost > threshold {
        warnings.push(format!(
            "Embeddings cost {} in the last {WEEK} days, over {} % of the weekly budget of {}",
            usd(cost),
            limits.warn_percent,
            usd(limits.weekly_budget)
        ));
    }
    warnings
}

fn write_usd<S: Serializer>(amount: &Pico, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

fn read_usd<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pico, D::Error> {
    let text = String::deserialize(deserializer)?;
    Pico::parse_usd(&text).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "{text:?} is not an amount of dollars; allowed: a decimal number, e.g. \"10\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::report;

    /// 2026-11-20T12:00:00Z.
    const NOW: i64 = 1_795_176_000_000;

    fn agg(requests: u64, tokens: u64, hits: u64, usd: &str) -> Agg {
        Agg {
            // Other calls of that day do not count.
            requests: requests + 5,
            embedding_requests: requests,
            embedding_tokens: tokens,
            embedding_cost: Pico::parse_usd(usd).unwrap(),
            cache_hits: hits,
            ..Agg::empty()
        }
    }

    fn summary(days: u32, rows: &[(&[&str], Agg)]) -> EmbeddingSummary {
        let window = embedding_window(days, NOW, &TimeZone::UTC).unwrap();
        summarise(
            &report(rows),
            &window,
            &TimeZone::UTC,
            &EmbeddingLimits::default(),
        )
    }

    #[test]
    fn seven_days_with_empty_ones_and_a_real_cache_efficiency() {
        let summary = summary(
            0,
            &[
                (&["2026-11-15"], agg(3, 900, 1, "0.000018")),
                (&["2026-11-20"], agg(1, 100, 3, "0.000002")),
            ],
        );
        let days: Vec<_> = summary
            .days
            .iter()
            .map(|d| (d.date.as_str(), d.requests, d.cache_hits))
            .collect();
        assert_eq!(
            days,
            [
                ("2026-11-14", 0, 0),
                ("2026-11-15", 3, 1),
                ("2026-11-16", 0, 0),
                ("2026-11-17", 0, 0),
                ("2026-11-18", 0, 0),
                ("2026-11-19", 0, 0),
                ("2026-11-20", 1, 3),
            ]
        );
        let total = &summary.total;
        assert_eq!((total.requests, total.tokens, total.cache_hits), (4, 1_000, 4));
        // A thousand tokens at 0.02 dollars per million.
        assert_eq!(total.cost, Pico(20_000_000));
        assert!((summary.cache_efficiency_percent - 50.0).abs() < 1e-9);
        assert!(summary.warnings.is_empty());
    }

    #[test]
    fn a_day_that_reaches_the_threshold_is_told_with_its_figures() {
        let summary = summary(1, &[(&["2026-11-20"], agg(3, 1_000_000, 1, "0.02"))]);
        assert_eq!(
            summary.warnings,
            [
                "2026-11-20: 1,000,000 embedding tokens ($0.02) reached the daily threshold of 1,000,000 tokens"
            ]
        );
        assert!(
            self::summary(1, &[(&["2026-11-20"], agg(3, 999_999, 1, "0.02"))])
                .warnings
                .is_empty()
        );
    }

    #[test]
    fn a_week_beyond_four_fifths_of_its_budget_is_told() {
        let over = summary(
            30,
            &[
                (&["2026-11-01"], agg(1, 9, 0, "5")),
                (&["2026-11-14"], agg(1, 9, 0, "8.01")),
            ],
        );
        assert_eq!(
            over.warnings,
            ["Embeddings cost $8.01 in the last 7 days, over 80 % of the weekly budget of $10.00"]
        );
        // Exactly four fifths, and more before the last seven days, is within it.
        let within = summary(
            30,
            &[
                (&["2026-11-13"], agg(1, 9, 0, "5")),
                (&["2026-11-14"], agg(1, 9, 0, "8")),
            ],
        );
        assert!(within.warnings.is_empty());
    }

    #[test]
    fn days_and_limits_are_bounded() {
        assert!(embedding_window(MAX_DAYS + 1, NOW, &TimeZone::UTC).is_err());
        let havana = TimeZone::get("America/Havana").unwrap();
        let window = embedding_window(MAX_DAYS, NOW, &havana).unwrap();
        let summary = summarise(&report(&[]), &window, &havana, &EmbeddingLimits::default());
        assert_eq!(summary.days.len(), MAX_DAYS as usize);
        assert_eq!(summary.cache_efficiency_percent, 0.0);
    }

    #[test]
    fn limits_are_read_from_configuration() {
        let limits: EmbeddingLimits = serde_json::from_str(r#"{"weekly_budget_usd": "2.50"}"#).unwrap();
        assert_eq!(limits.weekly_budget, Pico::parse_usd("2.5").unwrap());
        assert_eq!((limits.daily_tokens, limits.warn_percent), (1_000_000, 80));
        assert_eq!(limits.validate(), Ok(()));
        let written = serde_json::to_string(&limits).unwrap();
        assert_eq!(serde_json::from_str::<EmbeddingLimits>(&written).unwrap(), limits);
        for (text, word) in [
            (r#"{"weekly_budget_usd": "ten"}"#, "decimal number"),
            (r#"{"weekly": 1}"#, "unknown field"),
        ] {
            let error = serde_json::from_str::<EmbeddingLimits>(text)
                .unwrap_err()
                .to_string();
            assert!(error.contains(word), "{error}");
        }
        for (text, field) in [
            (r#"{"weekly_budget_usd": "0"}"#, "weekly_budget_usd"),
            (r#"{"daily_tokens": 0}"#, "daily_tokens"),
            (r#"{"warn_percent": 101}"#, "warn_percent"),
        ] {
            let limits: EmbeddingLimits = serde_json::from_str(text).unwrap();
            assert!(limits.validate().unwrap_err().to_string().contains(field));
        }
    }
}
