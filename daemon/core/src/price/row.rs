//! One row of the price book, and what a row may say.

use serde::{Deserialize, Serialize};

use super::rate::{Factor, RATE_ALLOWED, Rate};
use crate::Name;
use crate::limits::{MAX_NAME_BYTES, MAX_PICO_PER_TOKEN, MAX_PRICE_TIERS};
use crate::money::{PICO_PER_USD, Pico};
use crate::refusal::Refusal;

/// What one model of one provider costs, from one day on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PriceRow {
    /// "anthropic", "openai", …; empty: whoever provides it.
    pub provider: Name,
    /// The model's name.
    pub model: Name,
    /// First day on which it holds, days since the epoch (UTC). `None`: always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_day: Option<i32>,
    /// Prices per token.
    pub rates: Rates,
    /// Other prices for the whole request when its prompt is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<TierRates>,
    /// Further tiers of the few models that have more than one, by rising threshold, all above `tier`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub higher_tiers: Vec<TierRates>,
    /// Fast mode. This and the next four: `None` when the price list does not name the offer; then the factor of a
    /// lower layer's row for the same model holds, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast: Option<Factor>,
    /// Priority processing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Factor>,
    /// Flex processing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flex: Option<Factor>,
    /// Batch processing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Factor>,
    /// Inference that stays in the US.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub us_region: Option<Factor>,
    /// Batch and flex leave cache reads at their list price (Google's Gemini 2.5 and later).
    pub cache_read_undiscounted: bool,
    /// Dearer at the hours when the provider is busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<Peak>,
    /// One web search by the provider. No multiplier touches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_search: Option<Pico>,
    /// Largest prompt and answer together, in tokens; 0: not known.
    pub context_window: u64,
    /// Largest answer, in tokens; 0: not known.
    pub max_output: u64,
    /// Whose row it is.
    pub origin: Origin,
    /// Where the figures come from.
    pub source: Name,
}

/// Prices per token. `None`: the price list does not name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of `Tokens`")]
pub struct Rates {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_audio: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_image: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_image: Option<Rate>,
}

impl Rates {
    /// Every price with its field's name, in the order of the fields.
    pub fn named(&self) -> [(&'static str, Option<Rate>); 9] {
        [
            ("input", self.input),
            ("output", self.output),
            ("cache_read", self.cache_read),
            ("cache_write_5m", self.cache_write_5m),
            ("cache_write_1h", self.cache_write_1h),
            ("input_audio", self.input_audio),
            ("output_audio", self.output_audio),
            ("input_image", self.input_image),
            ("output_image", self.output_image),
        ]
    }
}

/// Prices that hold for every token of a request, the answer's included, when its whole prompt is longer than
/// `above`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierRates {
    /// Tokens of the whole prompt, cached ones included; strictly more than this.
    pub above: u64,
    /// The tier's prices. One that is missing is the base price, raised as the input price is.
    pub rates: Rates,
}

/// Hours of the day at which everything is dearer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// How much dearer.
    pub factor: Factor,
    /// Hours of the day in UTC, the end not included: `(1, 4)` is 01:00 to 04:00.
    pub hours: Vec<(u8, u8)>,
    /// Monday to Friday only.
    pub weekdays: bool,
}

impl Peak {
    /// Whether an instant (milliseconds since the epoch) lies in the dear hours.
    pub fn holds_at(&self, at_ms: i64) -> bool {
        let day = at_ms.div_euclid(86_400_000);
        let hour = at_ms.rem_euclid(86_400_000) / 3_600_000;
        // The epoch was a Thursday: 0 is Monday after adding 3.
        let weekday = (day + 3).rem_euclid(7);
        (!self.weekdays || weekday < 5)
            && self
                .hours
                .iter()
                .any(|&(from, to)| (i64::from(from)..i64::from(to)).contains(&hour))
    }
}

/// Whose row it is: a user's own wins over an imported one, which wins over the bundled one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Shipped with the program.
    #[default]
    Bundled,
    /// From a price file that the user imported.
    Import,
    /// Set by the user.
    Override,
}

impl Origin {
    /// "bundled", "import" or "override".
    pub fn name(self) -> &'static str {
        match self {
            Origin::Bundled => "bundled",
            Origin::Import => "import",
            Origin::Override => "override",
        }
    }
}

impl PriceRow {
    /// Whether the row may stand in a book.
    ///
    /// # Errors
    /// Names the first field that is wrong and what is allowed.
    pub fn check(&self) -> Result<(), Refusal> {
        check_name("model", &self.model, false)?;
        check_name("provider", &self.provider, true)?;
        check_name("source", &self.source, true)?;
        if self.rates.input.is_none() && self.rates.output.is_none() {
            return Err(Refusal::invalid(
                "input",
                "no price at all",
                "a price for input, output or both",
            ));
        }
        check_rates(&self.rates)?;
        let mut below = 0;
        for tier in self.tiers() {
            if tier.above <= below {
                return Err(Refusal::invalid(
                    "tier_above_tokens",
                    format!("{} is not above {below}", tier.above),
                    "tiers by rising threshold, each greater than 0",
                ));
            }
            below = tier.above;
            if tier.rates.input.is_none() && tier.rates.output.is_none() {
                return Err(Refusal::invalid(
                    "tier_input",
                    "a tier without a price",
                    "tier_input, tier_output or both",
                ));
            }
            check_rates(&tier.rates)?;
        }
        if self.higher_tiers.len() >= MAX_PRICE_TIERS
            || (self.tier.is_none() && !self.higher_tiers.is_empty())
        {
            return Err(Refusal::invalid(
                "tier_above_tokens",
                "too many tiers, or higher ones without a first",
                format!("at most {MAX_PRICE_TIERS}, the lowest first"),
            ));
        }
        if self
            .web_search
            .is_some_and(|price| !(0..=PICO_PER_USD * 1_000).contains(&price.0))
        {
            return Err(Refusal::invalid(
                "web_search",
                "negative or too large",
                "dollars per search from 0 to 1000",
            ));
        }
        if self.peak.as_ref().is_some_and(|peak| peak.hours.len() > 24) {
            return Err(Refusal::invalid("peak", "too many spans of hours", "at most 24"));
        }
        Ok(())
    }

    /// This row with what it leaves out taken from another one of the same model: offers, the price of a search, the
    /// windows; single prices only where both agree on input and output, because otherwise they are of other lists.
    pub(super) fn filled_from(&self, other: &PriceRow) -> PriceRow {
        let offers = self.batch.is_none() && self.flex.is_none();
        let mut row = PriceRow {
            fast: self.fast.or(other.fast),
            priority: self.priority.or(other.priority),
            flex: self.flex.or(other.flex),
            batch: self.batch.or(other.batch),
            us_region: self.us_region.or(other.us_region),
            cache_read_undiscounted: self.cache_read_undiscounted
                || (offers && other.cache_read_undiscounted),
            web_search: self.web_search.or(other.web_search),
            context_window: if self.context_window == 0 {
                other.context_window
            } else {
                self.context_window
            },
            max_output: if self.max_output == 0 {
                other.max_output
            } else {
                self.max_output
            },
            ..self.clone()
        };
        if (self.rates.input, self.rates.output) == (other.rates.input, other.rates.output) {
            let (own, theirs) = (&mut row.rates, &other.rates);
            own.cache_read = own.cache_read.or(theirs.cache_read);
            own.cache_write_5m = own.cache_write_5m.or(theirs.cache_write_5m);
            own.cache_write_1h = own.cache_write_1h.or(theirs.cache_write_1h);
            own.input_audio = own.input_audio.or(theirs.input_audio);
            own.output_audio = own.output_audio.or(theirs.output_audio);
            own.input_image = own.input_image.or(theirs.input_image);
            own.output_image = own.output_image.or(theirs.output_image);
        }
        row
    }

    /// The tiers by rising threshold.
    pub fn tiers(&self) -> impl Iterator<Item = &TierRates> {
        self.tier.iter().chain(&self.higher_tiers)
    }
}

fn check_name(field: &'static str, name: &str, may_be_empty: bool) -> Result<(), Refusal> {
    let allowed = || format!("1 to {MAX_NAME_BYTES} bytes of printable text");
    if name.trim().is_empty() && !(may_be_empty && name.is_empty()) {
        return Err(Refusal::invalid(field, "empty", allowed()));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(Refusal::invalid(
            field,
            format!("{} bytes long", name.len()),
            allowed(),
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(Refusal::invalid(field, "contains control characters", allowed()));
    }
    Ok(())
}

fn check_rates(rates: &Rates) -> Result<(), Refusal> {
    for (field, rate) in rates.named() {
        if rate.is_some_and(|rate| !(0..=MAX_PICO_PER_TOKEN).contains(&rate.0)) {
            return Err(Refusal::invalid(field, "negative or too large", RATE_ALLOWED));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> PriceRow {
        PriceRow {
            model: "m".into(),
            rates: Rates {
                input: Some(Rate(1)),
                ..Rates::default()
            },
            ..PriceRow::default()
        }
    }

    #[test]
    fn a_wrong_row_is_refused_by_field() {
        assert_eq!(row().check(), Ok(()));
        let tier = |above| TierRates {
            above,
            rates: row().rates,
        };
        let cases: [(&str, PriceRow); 10] = [
            (
                "model",
                PriceRow {
                    model: "".into(),
                    ..row()
                },
            ),
            (
                "model",
                PriceRow {
                    model: "  ".into(),
                    ..row()
                },
            ),
            (
                "model",
                PriceRow {
                    model: "x".repeat(2000).into(),
                    ..row()
                },
            ),
            (
                "provider",
                PriceRow {
                    provider: "a\u{1b}b".into(),
                    ..row()
                },
            ),
            (
                "input",
                PriceRow {
                    rates: Rates::default(),
                    ..row()
                },
            ),
            (
                "cache_read",
                PriceRow {
                    rates: Rates {
                        cache_read: Some(Rate(-1)),
                        ..row().rates
                    },
                    ..row()
                },
            ),
            (
                "tier_above_tokens",
                PriceRow {
                    tier: Some(tier(0)),
                    ..row()
                },
            ),
            (
                "tier_above_tokens",
                PriceRow {
                    tier: Some(tier(5)),
                    higher_tiers: vec![tier(5)],
                    ..row()
                },
            ),
            (
                "tier_input",
                PriceRow {
                    tier: Some(TierRates {
                        above: 5,
                        rates: Rates::default(),
                    }),
                    ..row()
                },
            ),
            (
                "web_search",
                PriceRow {
                    web_search: Some(Pico(-1)),
                    ..row()
                },
            ),
        ];
        for (field, row) in cases {
            let error = row.check().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{field}: {error}");
        }
    }

    #[test]
    fn peak_hours_follow_the_clock_and_the_week() {
        let peak = Peak {
            factor: Factor::ONE,
            hours: vec![(1, 4), (6, 10)],
            weekdays: true,
        };
        // 2026-11-20 is a Friday, the 21st a Saturday.
        let friday = 1_795_132_800_000_i64;
        for (ms, inside) in [
            (friday, false),
            (friday + 3_600_000, true),
            (friday + 4 * 3_600_000 - 1, true),
            (friday + 4 * 3_600_000, false),
            (friday + 9 * 3_600_000, true),
            (friday + 25 * 3_600_000, false),
            (-1, false),
        ] {
            assert_eq!(peak.holds_at(ms), inside, "{ms}");
        }
    }
}
