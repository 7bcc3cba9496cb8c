//! `tokmonctl embeddings`: embedding requests of the last days, with the real efficiency of the cache.

use serde_json::{Value, json};
use tokmon_client::v1::{EmbeddingsDay, EmbeddingsRequest, EmbeddingsResponse};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{count, dollars_or_none, percent};
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// Arguments of `embeddings`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many days, today included
    #[arg(long, value_name = "N", default_value = "7", value_parser = crate::args::from_to::<u32>(1, 3660), allow_negative_numbers = true)]
    days: u32,
    /// Time zone of days, e.g. Europe/Berlin [default: the daemon's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

/// `tokmonctl embeddings`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = EmbeddingsRequest {
        days: args.days,
        timezone: args.timezone.clone().unwrap_or_default(),
    };
    let answer = client.embeddings(request).await?;
    if context.json {
        return show::print(&to_json::document(&as_json(&answer)));
    }
    show::print(&draw(&answer, &context.screen()))
}

fn day(d: &EmbeddingsDay) -> Value {
    json!({
        "date": d.date, "requests": d.requests, "tokens": d.tokens, "cache_hits": d.cache_hits,
        "cost_usd": to_json::money(d.cost.as_ref()),
    })
}

fn as_json(answer: &EmbeddingsResponse) -> Value {
    json!({
        "days": answer.days.iter().map(day).collect::<Vec<_>>(),
        "total": day(&answer.total.clone().unwrap_or_default()),
        "cache_efficiency_percent": answer.cache_efficiency_percent,
        "warnings": answer.warnings,
    })
}

fn draw(answer: &EmbeddingsResponse, screen: &Screen) -> String {
    let mut table = Table::new(vec![
        text("Date", 0),
        figures("Requests", 0),
        figures("Tokens", 0),
        figures("Cache hits", 1),
        figures("Cost", 0),
    ]);
    let cells = |name: String, d: &EmbeddingsDay| {
        vec![
            name,
            count(d.requests),
            count(d.tokens),
            count(d.cache_hits),
            dollars_or_none(d.cost.as_ref()),
        ]
    };
    for d in &answer.days {
        table.row(Look::Plain, cells(d.date.clone(), d));
    }
    let total = answer.total.clone().unwrap_or_default();
    table.row(Look::Total, cells("Total".to_owned(), &total));
    let mut out = table.render(screen);
    out.push_str(&format!(
        "Cache efficiency: {}\n",
        percent(answer.cache_efficiency_percent)
    ));
    for warning in &answer.warnings {
        out.push_str(&format!("{}\n", screen.warning(&show::clean(warning))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_totals_and_warnings_are_shown() {
        let one = EmbeddingsDay {
            date: "2026-11-20".into(),
            requests: 2,
            tokens: 1_000_000,
            cache_hits: 6,
            cost: None,
        };
        let total = EmbeddingsDay {
            date: String::new(),
            ..one.clone()
        };
        let answer = EmbeddingsResponse {
            days: vec![one],
            total: Some(total),
            cache_efficiency_percent: 75.0,
            warnings: vec!["too much".into()],
        };
        let text = draw(
            &answer,
            &Screen {
                width: Some(60),
                colour: false,
            },
        );
        for part in ["2026-11-20", "1,000,000", "75.0 %", "too much", "Total"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(as_json(&answer)["days"][0]["cache_hits"], 6);
    }
}
