//! `tokmonctl price`: the price book. Prices are dollars per million tokens, as exact decimals.

mod reprice;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use tokmon_client::v1::{
    GetPriceRequest, ImportPricesRequest, ImportPricesResponse, ListPricesRequest, Price, RemovePriceRequest,
    SetPriceRequest,
};
use tokmon_client::{Client, Error};

use crate::context::Context;
use crate::dates::{self, Day};
use crate::failure::{Failure, invalid, io_error};
use crate::show::number::{NONE, count};
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// Largest price file that the daemon takes, in bytes.
const MAX_FILE: u64 = 32 * 1024 * 1024;

/// What a row may say, in the order in which people want to know it.
const FACTS: [&str; 28] = [
    "provider",
    "model",
    "from_date",
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "tier_above_tokens",
    "tier_input",
    "tier_output",
    "tier_cache_read",
    "tier_cache_write_5m",
    "tier_cache_write_1h",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
    "web_search",
    "fast_multiplier",
    "priority_multiplier",
    "flex_multiplier",
    "batch_multiplier",
    "us_region_multiplier",
    "context_window",
    "max_output",
    "origin",
    "source",
];

/// Arguments of `price`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The rows of the price book, your own first
    List {
        /// Only providers and models that contain this
        #[arg(default_value = "", hide_default_value = true)]
        contains: String,
    },
    /// The price that applies to a model
    Get {
        /// The model
        model: String,
        /// The provider [default: any]
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        provider: String,
        /// On which day [default: today]
        #[arg(long, value_name = "DAY", allow_negative_numbers = true)]
        date: Option<Day>,
    },
    /// Add or replace your own price for a model
    Set(Box<Own>),
    /// Remove your own price for a model
    Remove {
        /// The model
        model: String,
        /// The provider that the price was set for [default: any]
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        provider: String,
    },
    /// Take prices from a LiteLLM price file
    Import {
        /// The file; - means standard input
        file: PathBuf,
        /// Only say what would be taken
        #[arg(long)]
        dry_run: bool,
    },
    /// Compute the cost of every kept record again with today's book
    Reprice {
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
    },
}

/// A price of one's own. Amounts are dollars per million tokens.
#[derive(Debug, clap::Args)]
struct Own {
    /// The model
    model: String,
    /// The provider [default: any]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    provider: String,
    /// First day it holds [default: always]
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<jiff::civil::Date>,
    /// Prompt tokens
    #[arg(long, value_name = "USD", value_parser = amount, allow_negative_numbers = true)]
    input: String,
    /// Answer tokens
    #[arg(long, value_name = "USD", value_parser = amount, allow_negative_numbers = true)]
    output: String,
    /// Tokens read from the cache
    #[arg(long, value_name = "USD", value_parser = amount, allow_negative_numbers = true)]
    cache_read: Option<String>,
    /// Tokens written to the cache for 5 minutes
    #[arg(long, value_name = "USD", value_parser = amount, allow_negative_numbers = true)]
    cache_write_5m: Option<String>,
    /// Tokens written to the cache for 1 hour
    #[arg(long, value_name = "USD", value_parser = amount, allow_negative_numbers = true)]
    cache_write_1h: Option<String>,
    /// One web search
    #[arg(long, value_name = "USD", value_parser = amount, allow_negative_numbers = true)]
    web_search: Option<String>,
    /// Prompts larger than this pay the tier's prices
    #[arg(long, value_name = "TOKENS", requires_all = ["tier_input", "tier_output"])]
    tier_above: Option<u64>,
    /// Prompt tokens above the tier
    #[arg(long, value_name = "USD", value_parser = amount, requires = "tier_above", allow_negative_numbers = true)]
    tier_input: Option<String>,
    /// Answer tokens above the tier
    #[arg(long, value_name = "USD", value_parser = amount, requires = "tier_above", allow_negative_numbers = true)]
    tier_output: Option<String>,
    /// Tokens read from the cache above the tier
    #[arg(long, value_name = "USD", value_parser = amount, requires = "tier_above", allow_negative_numbers = true)]
    tier_cache_read: Option<String>,
    /// Factor for batch calls, e.g. 0.5
    #[arg(long, value_name = "FACTOR", value_parser = amount, allow_negative_numbers = true)]
    batch: Option<String>,
    /// Factor for the fast mode
    #[arg(long, value_name = "FACTOR", value_parser = amount, allow_negative_numbers = true)]
    fast: Option<String>,
    /// Factor for priority calls
    #[arg(long, value_name = "FACTOR", value_parser = amount, allow_negative_numbers = true)]
    priority: Option<String>,
    /// Factor for flex calls
    #[arg(long, value_name = "FACTOR", value_parser = amount, allow_negative_numbers = true)]
    flex: Option<String>,
}

/// An amount of dollars that is sent on as it was written.
fn amount(text: &str) -> Result<String, String> {
    show::number::parse_dollars(text)?;
    Ok(text.trim_start_matches('$').to_owned())
}

/// `tokmonctl price`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match &args.verb {
        Verb::List { contains } => list(&client, contains, context).await,
        Verb::Get {
            model,
            provider,
            date,
        } => {
            let request = GetPriceRequest {
                provider: provider.clone(),
                model: model.clone(),
                at_ms: at(*date, &client).await?,
            };
            one(&client.get_price(request).await?, context)
        }
        Verb::Set(own) => one(
            &client
                .set_price(SetPriceRequest {
                    price: Some(price(own)),
                })
                .await?,
            context,
        ),
        Verb::Remove { model, provider } => {
            let request = RemovePriceRequest {
                provider: provider.clone(),
                model: model.clone(),
            };
            client.remove_price(request).await?;
            done(
                context,
                &json!({"removed": model}),
                &format!("Removed your price for {}.\n", show::clean(model)),
            )
        }
        Verb::Import { file, dry_run } => {
            let request = ImportPricesRequest {
                litellm_json: read(file)?,
                dry_run: *dry_run,
            };
            let answer = client.import_prices(request).await?;
            let value = json!({"imported": answer.imported, "skipped": answer.skipped, "notes": answer.notes, "dry_run": dry_run});
            done(context, &value, &imported(&answer, *dry_run))
        }
        Verb::Reprice { dry_run } => reprice::run(&client, *dry_run, context).await,
    }
}

fn done(context: &Context, value: &Value, text: &str) -> Result<(), Failure> {
    show::print(&if context.json {
        to_json::document(value)
    } else {
        text.to_owned()
    })
}

async fn at(date: Option<Day>, client: &Client) -> Result<i64, Error> {
    match date {
        None => Ok(0),
        Some(day) => {
            let zone = dates::daemon_zone(client).await?;
            Ok(dates::window(Some(day), None, &zone, jiff::Timestamp::now())?.from_ms)
        }
    }
}

async fn list(client: &Client, contains: &str, context: &Context) -> Result<(), Failure> {
    let answer = client
        .list_prices(ListPricesRequest {
            contains: contains.to_owned(),
        })
        .await?;
    if context.json {
        let prices: Vec<Value> = answer.prices.iter().map(as_json).collect();
        return show::print(&to_json::document(
            &json!({"bundled_date": answer.bundled_date, "prices": prices}),
        ));
    }
    let mut out = draw(&answer.prices, &context.screen());
    out.push_str(&format!(
        "{} prices, dollars per million tokens. Bundled book of {}.\n",
        count(answer.prices.len() as u64),
        show::clean(&answer.bundled_date)
    ));
    show::print(&out)
}

fn draw(prices: &[Price], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        text("Model", 0),
        text("Provider", 3),
        figures("Input", 0),
        figures("Output", 0),
        figures("Cache read", 1),
        figures("Write 5 min", 5),
        figures("Write 1 h", 6),
        text("From", 3),
        text("Long context", 8),
        text("Origin", 2),
    ]);
    let or_none = |s: &str| {
        if s.is_empty() {
            NONE.to_owned()
        } else {
            s.to_owned()
        }
    };
    for p in prices {
        let tier = match p.tier_above_tokens {
            0 => String::new(),
            above => format!(
                "over {}: {} / {}",
                count(above),
                or_none(&p.tier_input),
                or_none(&p.tier_output)
            ),
        };
        let look = if p.origin == "override" {
            Look::Good
        } else {
            Look::Plain
        };
        table.row(
            look,
            vec![
                p.model.clone(),
                p.provider.clone(),
                or_none(&p.input),
                or_none(&p.output),
                or_none(&p.cache_read),
                or_none(&p.cache_write_5m),
                or_none(&p.cache_write_1h),
                p.from_date.clone(),
                tier,
                p.origin.clone(),
            ],
        );
    }
    table.render(screen)
}

/// Everything that a row says, one fact per line; what it does not say is left out.
fn one(price: &Price, context: &Context) -> Result<(), Failure> {
    let value = as_json(price);
    if context.json {
        return show::print(&to_json::document(&value));
    }
    let mut out = String::new();
    for key in FACTS {
        let fact = match &value[key] {
            Value::String(s) if !s.is_empty() => s.clone(),
            Value::Number(n) if n.as_u64() != Some(0) => n.to_string(),
            _ => continue,
        };
        out.push_str(&format!("{:<22} {}\n", key.replace('_', " "), show::clean(&fact)));
    }
    show::print(&out)
}

fn as_json(p: &Price) -> Value {
    json!({
        "provider": p.provider, "model": p.model, "from_date": p.from_date, "input": p.input, "output": p.output,
        "cache_read": p.cache_read, "cache_write_5m": p.cache_write_5m, "cache_write_1h": p.cache_write_1h,
        "tier_above_tokens": p.tier_above_tokens, "tier_input": p.tier_input, "tier_output": p.tier_output,
        "tier_cache_read": p.tier_cache_read, "tier_cache_write_5m": p.tier_cache_write_5m,
        "tier_cache_write_1h": p.tier_cache_write_1h, "fast_multiplier": p.fast_multiplier,
        "priority_multiplier": p.priority_multiplier, "flex_multiplier": p.flex_multiplier,
        "batch_multiplier": p.batch_multiplier, "us_region_multiplier": p.us_region_multiplier,
        "web_search": p.web_search, "input_audio": p.input_audio, "output_audio": p.output_audio,
        "input_image": p.input_image, "output_image": p.output_image, "context_window": p.context_window,
        "max_output": p.max_output, "origin": p.origin, "source": p.source,
    })
}

fn price(own: &Own) -> Price {
    let or_empty = |s: &Option<String>| s.clone().unwrap_or_default();
    Price {
        provider: own.provider.clone(),
        model: own.model.clone(),
        from_date: own.from.map(|d| d.to_string()).unwrap_or_default(),
        input: own.input.clone(),
        output: own.output.clone(),
        cache_read: or_empty(&own.cache_read),
        cache_write_5m: or_empty(&own.cache_write_5m),
        cache_write_1h: or_empty(&own.cache_write_1h),
        web_search: or_empty(&own.web_search),
        tier_above_tokens: own.tier_above.unwrap_or_default(),
        tier_input: or_empty(&own.tier_input),
        tier_output: or_empty(&own.tier_output),
        tier_cache_read: or_empty(&own.tier_cache_read),
        batch_multiplier: or_empty(&own.batch),
        fast_multiplier: or_empty(&own.fast),
        priority_multiplier: or_empty(&own.priority),
        flex_multiplier: or_empty(&own.flex),
        ..Price::default()
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(MAX_FILE + 1).read_to_end(&mut bytes))
    };
    read.map_err(|e| io_error("read", file.display(), &e))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(invalid(format!(
            "{} has more than 32 MiB, the most that a price file may have",
            file.display()
        )));
    }
    Ok(bytes)
}

fn imported(answer: &ImportPricesResponse, dry_run: bool) -> String {
    let verb = if dry_run { "Would take" } else { "Took" };
    let mut out = format!(
        "{verb} {} prices, left out {}.\n",
        count(answer.imported),
        count(answer.skipped)
    );
    for note in &answer.notes {
        out.push_str(&format!("  {}\n", show::clean(note)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_sent_as_they_were_written() {
        assert_eq!(amount("0.30"), Ok("0.30".to_owned()));
        assert_eq!(amount("$3"), Ok("3".to_owned()));
        for text in ["-1", "NaN", "1e3", ""] {
            assert!(amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_fact_of_a_row_is_shown() {
        let Value::Object(row) = as_json(&Price::default()) else {
            panic!("a row is an object")
        };
        let mut facts = FACTS.to_vec();
        facts.sort_unstable();
        assert_eq!(row.keys().collect::<Vec<_>>(), facts);
    }

    #[test]
    fn the_table_fits_and_marks_what_is_not_known() {
        let price = Price {
            model: "claude-sonnet-4-5".into(),
            input: "3".into(),
            tier_above_tokens: 200_000,
            ..Price::default()
        };
        for width in [60, 80, 120] {
            let text = draw(
                std::slice::from_ref(&price),
                &Screen {
                    width: Some(width),
                    colour: false,
                },
            );
            assert!(
                text.lines().all(|l| l.chars().count() <= usize::from(width)),
                "{text}"
            );
            assert!(
                text.contains("claude-sonnet-4-5") && text.contains(NONE),
                "{text}"
            );
        }
    }
}
