//! What a tool answers: one short text, and the same as a small object.
//!
//! Every character is read by a model and paid for, so there are no empty fields and no long lists.

use serde_json::{Map, Value, json};
use tokmon_client::v1::{Money, Tokens, Totals};

use crate::money;

/// Most rows of a breakdown.
pub(crate) const MAX_ROWS: usize = 5;

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For clients that show text.
    pub(crate) text: String,
    /// For clients that take objects; `None` where the text is a document of its own.
    pub(crate) object: Option<Value>,
}

impl Answer {
    pub(crate) fn new(text: impl Into<String>, object: Value) -> Answer {
        Answer {
            text: text.into(),
            object: Some(object),
        }
    }
}

/// All tokens of all buckets; `reasoning` is part of `output`.
pub(crate) fn total_tokens(tokens: &Tokens) -> u64 {
    [
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.cache_write_5m,
        tokens.cache_write_1h,
        tokens.input_audio,
        tokens.output_audio,
        tokens.input_image,
        tokens.output_image,
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An amount for people: exact.
pub(crate) fn dollars(amount: Option<&Money>) -> String {
    let text = money::decimal(amount);
    match text.strip_prefix('-') {
        Some(positive) => format!("-${positive}"),
        None => format!("${text}"),
    }
}

/// Totals in one line: `3 requests, 4,500 tokens (in 1,500, out 3,000), $0.0495`.
pub(crate) fn totals_line(totals: &Totals) -> String {
    let tokens = totals.tokens.unwrap_or_default();
    let written = tokens.cache_write_5m.saturating_add(tokens.cache_write_1h);
    let parts: Vec<String> = [
        ("in", tokens.input),
        ("out", tokens.output),
        ("cache read", tokens.cache_read),
        ("cache write", written),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(name, count)| format!("{name} {}", grouped(count)))
    .collect();
    let mut line = format!(
        "{}, {} tokens",
        requests(totals.requests),
        grouped(total_tokens(&tokens))
    );
    if !parts.is_empty() {
        line.push_str(&format!(" ({})", parts.join(", ")));
    }
    line.push_str(&format!(", {}", dollars(totals.cost.as_ref())));
    if totals.unpriced_requests > 0 {
        line.push_str(&format!(
            " without {} of unknown price",
            requests(totals.unpriced_requests)
        ));
    }
    line
}

pub(crate) fn requests(count: u64) -> String {
    counted(count, "request")
}

/// `1 request`, `2 requests`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", grouped(count)),
    }
}

/// Totals as an object without empty fields.
pub(crate) fn totals_object(totals: &Totals) -> Map<String, Value> {
    let tokens = totals.tokens.unwrap_or_default();
    let mut object = Map::new();
    object.insert("requests".to_owned(), json!(totals.requests));
    object.insert("total_tokens".to_owned(), json!(total_tokens(&tokens)));
    for (name, count) in [
        ("input_tokens", tokens.input),
        ("output_tokens", tokens.output),
        ("cache_read_tokens", tokens.cache_read),
        (
            "cache_write_tokens",
            tokens.cache_write_5m.saturating_add(tokens.cache_write_1h),
        ),
        ("unpriced_requests", totals.unpriced_requests),
        ("failed_requests", totals.failed_requests),
    ] {
        if count > 0 {
            object.insert(name.to_owned(), json!(count));
        }
    }
    object.insert("cost_usd".to_owned(), json!(money::decimal(totals.cost.as_ref())));
    object
}

/// One row of a breakdown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
    pub(crate) cost: Option<Money>,
}

/// `Top tools: Read 1,200, Grep 300`, or nothing when there are no names.
pub(crate) fn rows_line(title: &str, rows: &[Row]) -> String {
    let named: Vec<String> = rows
        .iter()
        .take(MAX_ROWS)
        .map(|row| format!("{} {}", label(&row.name), grouped(row.tokens)))
        .collect();
    match named.is_empty() {
        true => String::new(),
        false => format!("\n{title}: {}", named.join(", ")),
    }
}

/// The rows as objects; the ones beyond [`MAX_ROWS`] are left out.
pub(crate) fn rows_object(rows: &[Row]) -> Value {
    rows.iter()
        .take(MAX_ROWS)
        .map(|row| {
            json!({
                "name": label(&row.name),
                "requests": row.requests,
                "tokens": row.tokens,
                "cost_usd": money::decimal(row.cost.as_ref()),
            })
        })
        .collect()
}

/// A name for people, who see nothing where there is none.
pub(crate) fn label(name: &str) -> &str {
    if name.is_empty() { "(none)" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn totals_name_what_there_is() {
        let totals = Totals {
            requests: 1,
            tokens: Some(Tokens {
                input: 1500,
                output: 800,
                reasoning: 300,
                ..Tokens::default()
            }),
            cost: Some(Money {
                usd: 0,
                pico: 16_500_000_000,
            }),
            unpriced_requests: 1,
            ..Totals::default()
        };
        assert_eq!(
            totals_line(&totals),
            "1 request, 2,300 tokens (in 1,500, out 800), $0.0165 without 1 request of unknown price"
        );
        let expected = json!({"requests": 1, "total_tokens": 2300, "input_tokens": 1500, "output_tokens": 800,
            "unpriced_requests": 1, "cost_usd": "0.0165"});
        assert_eq!(Value::Object(totals_object(&totals)), expected);
        assert_eq!(totals_line(&Totals::default()), "0 requests, 0 tokens, $0");
    }

    #[test]
    fn breakdowns_are_short() {
        let row = |name: &str| Row {
            name: name.to_owned(),
            requests: 1,
            tokens: 1000,
            cost: None,
        };
        let rows: Vec<Row> = ["a", "", "c", "d", "e", "f"].map(row).into();
        assert_eq!(
            rows_line("Tools", &rows),
            "\nTools: a 1,000, (none) 1,000, c 1,000, d 1,000, e 1,000"
        );
        assert_eq!(rows_object(&rows).as_array().unwrap().len(), MAX_ROWS);
        assert_eq!(rows_line("Tools", &[]), "");
    }
}
