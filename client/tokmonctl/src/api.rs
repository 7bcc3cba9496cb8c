//! `tokmonctl api`: limits of external APIs, asked before a call and told what came of it.

use clap::Subcommand;
use serde_json::{Value, json};
use tokmon_client::v1::{
    AcquireRequest, AcquireResponse, Api, ApiState, GetApiRequest, Header, ListApisRequest, RemoveApiRequest,
    ReportApiRequest, SetApiRequest,
};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{NONE, count, iso};
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// Arguments of `api`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Set how many calls and tokens a minute an API takes, and where to go instead
    Set(Limits),
    /// Every API that is set or was asked for lately, as it stands now
    List,
    /// One API as it stands now
    Show {
        /// A provider (anthropic), or provider and model (openai/gpt-5)
        name: String,
    },
    /// Forget what was set for an API
    Remove {
        /// The API
        name: String,
    },
    /// Whether a call may be made now, which then counts: exit code 0, or 1 when it has to wait
    Acquire {
        /// A provider (anthropic), or provider and model (openai/gpt-5)
        name: String,
        /// Tokens that the call will use
        #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
        tokens: u64,
    },
    /// Tell what came of a call: its status and the headers of its answer
    Report(Told),
}

#[derive(Debug, clap::Args)]
struct Limits {
    /// A provider (anthropic), or provider and model (openai/gpt-5)
    name: String,
    /// Most calls in any minute; 0: no limit
    #[arg(long, value_name = "N", default_value = "60", allow_negative_numbers = true)]
    requests_per_minute: u64,
    /// Most tokens in any minute; 0: no limit
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    tokens_per_minute: u64,
    /// Where to go instead; may be repeated, the first one first
    #[arg(long, value_name = "NAME")]
    fallback: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Told {
    /// The API
    name: String,
    /// The answer's HTTP status; 0: there was no answer
    #[arg(
        long,
        value_name = "CODE",
        default_value = "200",
        allow_negative_numbers = true
    )]
    status: u32,
    /// A header of the answer; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<Header>,
    /// Tokens that were used beyond those it was acquired for
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    tokens: u64,
}

fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| "allowed is NAME: VALUE, e.g. \"retry-after: 20\"".to_owned())?;
    Ok(Header {
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
    })
}

/// `tokmonctl api`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let states = match &args.verb {
        Verb::Set(limits) => {
            let api = Api {
                name: limits.name.clone(),
                requests_per_minute: limits.requests_per_minute,
                tokens_per_minute: limits.tokens_per_minute,
                fallback: limits.fallback.clone(),
            };
            vec![client.set_api(SetApiRequest { api: Some(api) }).await?]
        }
        Verb::Show { name } => vec![client.get_api(GetApiRequest { name: name.clone() }).await?],
        Verb::List => client.list_apis(ListApisRequest {}).await?.apis,
        Verb::Remove { name } => {
            client.remove_api(RemoveApiRequest { name: name.clone() }).await?;
            if context.json {
                return show::print(&to_json::document(&json!({ "removed": name })));
            }
            return show::print(&format!("Nothing is set for {} any more.\n", show::clean(name)));
        }
        Verb::Acquire { name, tokens } => {
            let request = AcquireRequest {
                name: name.clone(),
                tokens: *tokens,
            };
            return tell(&client.acquire_api(request).await?, context);
        }
        Verb::Report(told) => {
            let request = ReportApiRequest {
                name: told.name.clone(),
                status: told.status,
                headers: told.header.clone(),
                tokens: told.tokens,
            };
            let answer = client.report_api(request).await?;
            for name in &answer.ignored {
                show::note(&format!("the value of {} cannot be read", show::clean(name)));
            }
            answer.api.into_iter().collect()
        }
    };
    if context.json {
        let all: Vec<Value> = states.iter().map(as_json).collect();
        let value = match args.verb {
            Verb::List => json!({ "apis": all }),
            _ => all.into_iter().next().unwrap_or_default(),
        };
        return show::print(&to_json::document(&value));
    }
    show::print(&draw(&states, &context.screen()))
}

/// Prints whether a call may be made; that it has to wait is told by the exit code too.
fn tell(answer: &AcquireResponse, context: &Context) -> Result<(), Failure> {
    if context.json {
        show::print(&to_json::document(&now_json(answer)))?;
    } else {
        show::print(&sentence(answer))?;
    }
    if answer.allowed {
        Ok(())
    } else {
        Err(Failure::Denied)
    }
}

fn sentence(answer: &AcquireResponse) -> String {
    let wait = format!("{:.1} s", answer.wait_ms as f64 / 1e3);
    let mut text = match answer.reason.as_str() {
        "" => "Go ahead.".to_owned(),
        "too_large" => "A minute never has as many tokens.".to_owned(),
        "integration_error" => format!("It failed several times in a row: try again in {wait}."),
        _ => format!("The minute is used up: try again in {wait}."),
    };
    if !answer.next.is_empty() {
        text.push_str(&format!(" {} has room.", show::clean(&answer.next)));
    }
    text.push('\n');
    text
}

fn now_json(a: &AcquireResponse) -> Value {
    json!({
        "allowed": a.allowed, "wait_ms": a.wait_ms,
        "reason": Some(&a.reason).filter(|reason| !reason.is_empty()),
        "requests_left": a.requests_limited.then_some(a.requests_left),
        "tokens_left": a.tokens_limited.then_some(a.tokens_left),
        "resets_at": to_json::time(a.resets_at_ms),
        "next": Some(&a.next).filter(|next| !next.is_empty()),
        "retries_left": a.retries_left, "backoff_ms": a.backoff_ms, "timeout_ms": a.timeout_ms,
    })
}

fn as_json(state: &ApiState) -> Value {
    let api = state.api.clone().unwrap_or_default();
    json!({
        "name": api.name, "set": state.is_set, "requests_per_minute": api.requests_per_minute,
        "tokens_per_minute": api.tokens_per_minute, "fallback": api.fallback,
        "now": now_json(&state.now.clone().unwrap_or_default()),
    })
}

fn draw(states: &[ApiState], screen: &Screen) -> String {
    if states.is_empty() {
        return "No APIs yet. Set one with `tokmonctl api set anthropic --requests-per-minute 50`.\n"
            .to_owned();
    }
    let mut table = Table::new(vec![
        text("API", 0),
        text("Now", 0),
        figures("Calls left", 0),
        figures("Tokens left", 1),
        text("Resets", 3),
        text("Instead", 2),
    ]);
    for state in states {
        let api = state.api.clone().unwrap_or_default();
        let now = state.now.clone().unwrap_or_default();
        let left = |limited: bool, left: u64, limit: u64| match (limited, limit) {
            (false, _) => NONE.to_owned(),
            (true, 0) => count(left),
            (true, limit) => format!("{} of {}", count(left), count(limit)),
        };
        let (look, word) = match now.reason.as_str() {
            "" => (Look::Good, "free".to_owned()),
            "integration_error" => (Look::Critical, format!("failing, {} s", now.wait_ms / 1_000)),
            _ => (Look::Warning, format!("full, {} s", now.wait_ms / 1_000)),
        };
        let resets = iso(now.resets_at_ms).filter(|_| now.resets_at_ms > 0);
        let cells = vec![
            api.name.clone(),
            word,
            left(now.requests_limited, now.requests_left, api.requests_per_minute),
            left(now.tokens_limited, now.tokens_left, api.tokens_per_minute),
            resets.unwrap_or_else(|| NONE.to_owned()),
            api.fallback.join(", "),
        ];
        table.row(look, cells);
    }
    table.render(screen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let read = header("Retry-After:  20 ").unwrap();
        assert_eq!((read.name.as_str(), read.value.as_str()), ("Retry-After", "20"));
        assert!(header("retry-after 20").is_err());
    }

    #[test]
    fn the_answer_says_when_and_where() {
        let answer = AcquireResponse {
            wait_ms: 1_500,
            reason: "quota_exceeded".to_owned(),
            next: "openai".to_owned(),
            ..AcquireResponse::default()
        };
        assert_eq!(
            sentence(&answer),
            "The minute is used up: try again in 1.5 s. openai has room.\n"
        );
    }
}
