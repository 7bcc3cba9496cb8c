//! `get_daily_report`: one day by tool, by model and by hour.
//!
//! Days are the daemon's, in its time zone, which this program does not know. So it asks for somewhat more than
//! the day, grouped by hour, tool and model, and keeps the hours whose name begins with the date: one call, and
//! all three breakdowns come from the same rows.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use rmcp::model::JsonObject;
use serde_json::{Value, json};
use tokmon_client::v1::{Grouping, Money, Tokens, Totals, TotalsRequest, TotalsResponse, TotalsRow, Window};

use super::{Context, Failure};
use crate::answer::{Answer, Row, rows_line, rows_object, total_tokens, totals_line, totals_object};
use crate::arguments::Arguments;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How far before its day in UTC a day can begin, and how long after it end: zones reach from +14 to -12 hours.
const EARLIEST_MS: i64 = 14 * HOUR_MS;
const LATEST_MS: i64 = 12 * HOUR_MS;
/// Pico-dollars of a dollar.
const PICO: i64 = 1_000_000_000_000;

pub(super) async fn get_daily_report(
    context: &Context<'_>,
    given: Option<JsonObject>,
) -> Result<Answer, Failure> {
    let arguments = Arguments::new(given, &["date"])?;
    let asked = arguments.day("date")?;
    let now_ms = now_ms();
    let request = TotalsRequest {
        group_by: vec![
            Grouping::Hour.into(),
            Grouping::Tool.into(),
            Grouping::Model.into(),
        ],
        window: Some(window(asked.unwrap_or(now_ms.div_euclid(DAY_MS)))),
        ..TotalsRequest::default()
    };
    let found = context
        .daemon
        .call(async |client| client.totals(request.clone()).await)
        .await?;
    let date = match asked {
        Some(day) => date_of(day),
        None => today(&found.rows, now_ms),
    };
    Ok(report(&date, &found))
}

/// Milliseconds since the epoch; 0 when the clock is before it.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What contains the day in every zone. Today in a zone may be yesterday or tomorrow in UTC, and is in it too.
fn window(day: i64) -> Window {
    let from_ms = day * DAY_MS;
    Window {
        from_ms: from_ms - DAY_MS - EARLIEST_MS,
        to_ms: from_ms + 2 * DAY_MS + LATEST_MS,
    }
}

/// Today's date in the daemon's zone, whose offset the latest hour tells. Without any, the day is empty anyway.
fn today(rows: &[TotalsRow], now_ms: i64) -> String {
    let offset = rows
        .iter()
        .max_by_key(|row| row.last_ms)
        .and_then(|row| offset_ms(row.keys.first()?));
    date_of((now_ms + offset.unwrap_or(0)).div_euclid(DAY_MS))
}

/// The offset in an hour's name, e.g. of `2026-11-20T14:00+01:00`.
fn offset_ms(hour: &str) -> Option<i64> {
    let offset = hour.get(16..)?;
    let (sign, clock) = match offset.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?) * 60_000)
}

fn report(date: &str, found: &TotalsResponse) -> Answer {
    let mut sum = Totals::default();
    let mut tools = BTreeMap::new();
    let mut models = BTreeMap::new();
    let mut hours = BTreeMap::new();
    for row in &found.rows {
        let [hour, tool, model] = row.keys.as_slice() else {
            continue;
        };
        let (Some(day), Some(clock), Some(totals)) = (hour.get(..10), hour.get(11..13), &row.totals) else {
            continue;
        };
        if day != date {
            continue;
        }
        add(&mut sum, totals);
        add(tools.entry(tool.as_str()).or_default(), totals);
        add(models.entry(model.as_str()).or_default(), totals);
        add(hours.entry(clock).or_default(), totals);
    }
    if sum.requests == 0 {
        return Answer::new(
            format!("No usage recorded on {date}."),
            json!({"date": date, "requests": 0}),
        );
    }
    let (tools, models, hours) = (largest(&tools), largest(&models), largest(&hours));
    let text = format!(
        "{date}: {}.{}{}{}",
        totals_line(&sum),
        rows_line("Tools", &tools),
        rows_line("Models", &models),
        rows_line("Busiest hours", &hours),
    );
    let mut object = totals_object(&sum);
    object.insert("date".to_owned(), json!(date));
    object.insert("timezone".to_owned(), json!(found.timezone));
    object.insert("by_tool".to_owned(), rows_object(&tools));
    object.insert("by_model".to_owned(), rows_object(&models));
    object.insert("by_hour".to_owned(), rows_object(&hours));
    Answer::new(text, Value::Object(object))
}

/// Rows by tokens, the most first.
fn largest(groups: &BTreeMap<&str, Totals>) -> Vec<Row> {
    let mut rows: Vec<Row> = groups
        .iter()
        .map(|(name, totals)| Row {
            name: (*name).to_owned(),
            requests: totals.requests,
            tokens: total_tokens(&totals.tokens.unwrap_or_default()),
            cost: totals.cost,
        })
        .collect();
    rows.sort_by(|a, b| b.tokens.cmp(&a.tokens).then_with(|| a.name.cmp(&b.name)));
    rows
}

/// Adds what a report shows.
fn add(sum: &mut Totals, more: &Totals) {
    sum.requests = sum.requests.saturating_add(more.requests);
    sum.unpriced_requests = sum.unpriced_requests.saturating_add(more.unpriced_requests);
    sum.failed_requests = sum.failed_requests.saturating_add(more.failed_requests);
    sum.cost = add_money(sum.cost, more.cost);
    let tokens = sum.tokens.get_or_insert_default();
    let Some(more) = more.tokens else {
        return;
    };
    let parts = |t: &Tokens| {
        [
            t.input,
            t.output,
            t.reasoning,
            t.cache_read,
            t.cache_write_5m,
            t.cache_write_1h,
            t.input_audio,
            t.output_audio,
            t.input_image,
            t.output_image,
            t.web_searches,
        ]
    };
    let (a, b) = (parts(tokens), parts(&more));
    let both: [u64; 11] = std::array::from_fn(|i| a[i].saturating_add(b[i]));
    let [
        input,
        output,
        reasoning,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        rest @ ..,
    ] = both;
    let [input_audio, output_audio, input_image, output_image, web_searches] = rest;
    *tokens = Tokens {
        input,
        output,
        reasoning,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        input_audio,
        output_audio,
        input_image,
        output_image,
        web_searches,
    };
}

fn add_money(a: Option<Money>, b: Option<Money>) -> Option<Money> {
    let (Some(x), Some(y)) = (a, b) else {
        return a.or(b);
    };
    let pico = x.pico + y.pico;
    Some(Money {
        usd: x.usd.saturating_add(y.usd).saturating_add(pico / PICO),
        pico: pico % PICO,
    })
}

/// Days since 1970-01-01 of a date that exists, `2026-01-31`, from 2015 to 2999.
pub(crate) fn day_number(date: &str) -> Option<i64> {
    let bytes = date.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        let digits = date.get(range)?;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse::<i64>().ok())?
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if !(2015..=2999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Counted from the first of March, so that the leap day is the last one of its year.
    let (year_of_march, month_of_march) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_year = (153 * month_of_march + 2) / 5 + day - 1;
    let days = year_of_march * 365 + year_of_march / 4 - year_of_march / 100 + year_of_march / 400 + of_year
        - 719_468;
    (date_of(days) == date).then_some(days)
}

/// The date of a day since 1970-01-01.
fn date_of(day: i64) -> String {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_of_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_of_march + 2) / 5 + 1;
    let month = if month_of_march < 10 {
        month_of_march + 3
    } else {
        month_of_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hour: &str, tool: &str, model: &str, input: u64, last_ms: i64) -> TotalsRow {
        TotalsRow {
            keys: vec![hour.to_owned(), tool.to_owned(), model.to_owned()],
            totals: Some(Totals {
                requests: 1,
                tokens: Some(Tokens {
                    input,
                    ..Tokens::default()
                }),
                cost: Some(Money {
                    usd: 0,
                    pico: 600_000_000_000,
                }),
                ..Totals::default()
            }),
            first_ms: last_ms,
            last_ms,
        }
    }

    /// A6: by tool, by model, by hour of day.
    #[test]
    fn a_day_is_folded_three_ways() {
        let rows = vec![
            row("2026-11-19T23:00+01:00", "Read", "a", 999, 1),
            row("2026-11-20T00:00+01:00", "Read", "a", 100, 2),
            row("2026-11-20T14:00+01:00", "Read", "b", 200, 3),
            row("2026-11-20T14:00+01:00", "Grep", "a", 50, 4),
            row("2026-11-21T00:00+01:00", "Read", "a", 999, 5),
        ];
        let found = TotalsResponse {
            rows,
            timezone: "Europe/Berlin".to_owned(),
            ..TotalsResponse::default()
        };
        let told = report("2026-11-20", &found);
        assert_eq!(
            told.text,
            "2026-11-20: 3 requests, 350 tokens (in 350), $1.8.\nTools: Read 300, Grep 50\nModels: b 200, a 150\n\
             Busiest hours: 14 250, 00 100"
        );
        let object = told.object.unwrap();
        assert_eq!(
            (&object["by_hour"][0]["requests"], &object["cost_usd"]),
            (&json!(2), &json!("1.8"))
        );
        assert_eq!(
            report("2026-11-22", &found).text,
            "No usage recorded on 2026-11-22."
        );
    }

    #[test]
    fn today_is_the_daemons() {
        let noon = 20_777 * DAY_MS + 12 * HOUR_MS;
        let cases = [
            ("+13:00", "2026-11-21"),
            ("-12:00", "2026-11-20"),
            ("-12:30", "2026-11-19"),
            ("+01:00", "2026-11-20"),
        ];
        for (offset, date) in cases {
            let rows = [row(&format!("2026-11-20T03:00{offset}"), "", "a", 1, 1)];
            assert_eq!(today(&rows, noon), date, "{offset}");
        }
        assert_eq!(today(&[], noon), "2026-11-20");
        assert_eq!(today(&[row("nonsense", "", "a", 1, 1)], noon), "2026-11-20");
    }

    #[test]
    fn dates_go_both_ways() {
        for day in [16_436, 19_781, 19_782, 19_783, 20_777, 30_000] {
            assert_eq!(day_number(&date_of(day)), Some(day));
        }
        assert_eq!(date_of(20_777), "2026-11-20");
        for wrong in [
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-11-31",
            "2014-12-31",
            "26-11-20",
            "2026-1-020",
            "+026-11-20",
            "",
        ] {
            assert_eq!(day_number(wrong), None, "{wrong}");
        }
    }
}
