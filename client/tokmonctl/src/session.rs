//! `tokmonctl session`: statistics of one session, the list of them, and starting a new one.

use clap::Subcommand;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokmon_client::Client;
use tokmon_client::v1::{
    GetSessionRequest, ListSessionsRequest, ResetSessionRequest, ResetSessionResponse, Session, TotalsRow,
};

use crate::context::Context;
use crate::dates::{self, Span};
use crate::failure::Failure;
use crate::filter::Only;
use crate::show::number::{count, counted, exact, instant, pico_or_zero};
use crate::show::report::cost;
use crate::show::table::{Look, Table, figures, id, path, text};
use crate::show::{self, Screen, json as to_json};
use crate::totals::{Sum, total};

/// Arguments of `session`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Statistics of one session [the default]
    Show {
        /// The session [default: the current one]
        #[arg(default_value = "", hide_default_value = true)]
        id: String,
        /// Whose session
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        agent: String,
    },
    /// Sessions, the one used last first
    List {
        #[command(flatten)]
        span: Span,
        #[command(flatten)]
        only: Box<Only>,
        /// How many
        #[arg(short = 'n', long, value_name = "N", default_value = "20", value_parser = crate::args::from_to::<u32>(1, 1000), allow_negative_numbers = true)]
        limit: u32,
        /// Where to go on, from the answer before
        #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
        page: String,
    },
    /// End the current session of an agent and start a new one; history stays
    Reset {
        /// Whose session
        #[arg(long, value_name = "NAME", default_value = "api")]
        agent: String,
    },
}

/// `tokmonctl session`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match &args.verb {
        None => show_one(&client, String::new(), String::new(), context).await,
        Some(Verb::Show { id, agent }) => show_one(&client, id.clone(), agent.clone(), context).await,
        Some(Verb::List {
            span,
            only,
            limit,
            page,
        }) => {
            let request = ListSessionsRequest {
                window: span.window(&client).await?,
                filter: only.filter(),
                page_size: *limit,
                page_token: page.clone(),
            };
            let zone = span.zone(&client).await?;
            list(&client, request, &zone, context).await
        }
        Some(Verb::Reset { agent }) => {
            let answer = client
                .reset_session(ResetSessionRequest { agent: agent.clone() })
                .await?;
            show::print(&if context.json {
                to_json::document(&reset_json(&answer))
            } else {
                reset_text(&answer)
            })
        }
    }
}

async fn show_one(client: &Client, id: String, agent: String, context: &Context) -> Result<(), Failure> {
    let session = client.get_session(GetSessionRequest { id, agent }).await?;
    if context.json {
        return show::print(&to_json::document(&as_json(&session)));
    }
    let zone = dates::daemon_zone(client).await?;
    show::print(&draw(&session, &zone, &context.screen()))
}

async fn list(
    client: &Client,
    request: ListSessionsRequest,
    zone: &TimeZone,
    context: &Context,
) -> Result<(), Failure> {
    let answer = client.list_sessions(request).await?;
    if context.json {
        let all: Vec<Value> = answer.sessions.iter().map(as_json).collect();
        return show::print(&to_json::document(
            &json!({"sessions": all, "next_page": answer.next_page_token}),
        ));
    }
    if answer.sessions.is_empty() {
        return show::print("No sessions in this span.\n");
    }
    let mut table = Table::new(vec![
        text("Last call", 1),
        text("Agent", 2),
        id("Session", 0),
        figures("Requests", 4),
        figures("Total tokens", 3),
        figures("Cost", 0),
        path("Project", 5),
    ]);
    for s in &answer.sessions {
        let sum = Sum::of(s.totals.as_ref());
        table.row(
            Look::Plain,
            vec![
                instant(s.last_ms, zone),
                s.agent.clone(),
                s.id.clone(),
                count(sum.requests),
                count(sum.total()),
                cost(&sum),
                s.project.clone(),
            ],
        );
    }
    let mut out = table.render(&context.screen());
    if !answer.next_page_token.is_empty() {
        out.push_str(&format!(
            "More sessions: repeat with --page {}\n",
            show::clean(&answer.next_page_token)
        ));
    }
    show::print(&out)
}

fn as_json(s: &Session) -> Value {
    json!({
        "session": s.id, "agent": s.agent, "project": s.project, "user": s.user,
        "first": to_json::time(s.first_ms), "last": to_json::time(s.last_ms),
        "totals": to_json::totals(s.totals.as_ref()),
        "by_tool": rows_json(&s.by_tool, "tool"), "by_model": rows_json(&s.by_model, "model"),
        "waste_events": s.waste_events, "wasted_tokens": s.wasted_tokens,
    })
}

fn rows_json(rows: &[TotalsRow], key: &str) -> Vec<Value> {
    rows.iter()
        .map(|row| {
            let mut value = to_json::totals(row.totals.as_ref());
            if let Value::Object(map) = &mut value {
                map.insert(
                    key.to_owned(),
                    row.keys.first().cloned().unwrap_or_default().into(),
                );
            }
            value
        })
        .collect()
}

fn draw(s: &Session, zone: &TimeZone, screen: &Screen) -> String {
    let sum = Sum::of(s.totals.as_ref());
    let mut out = format!(
        "{} {} of {}\nproject  {}\ntime     {} to {}\ntotals   {}, {}, ${}\nwaste    {}, {}\n",
        screen.bold("Session"),
        show::clean(&s.id),
        show::clean(&s.agent),
        show::clean(&s.project),
        instant(s.first_ms, zone),
        instant(s.last_ms, zone),
        counted(sum.requests, "call"),
        counted(sum.total(), "token"),
        exact(sum.cost),
        counted(s.waste_events, "finding"),
        counted(s.wasted_tokens, "token"),
    );
    for (title, rows) in [("Model", &s.by_model), ("Tool", &s.by_tool)] {
        if rows.is_empty() {
            continue;
        }
        let mut table = Table::new(vec![
            text(title, 0),
            figures("Requests", 1),
            figures("Input", 3),
            figures("Output", 3),
            figures("Cache write", 5),
            figures("Cache read", 4),
            figures("Cost", 0),
        ]);
        for row in rows {
            let sum = Sum::of(row.totals.as_ref());
            let name = row
                .keys
                .first()
                .filter(|k| !k.is_empty())
                .cloned()
                .unwrap_or_else(|| "(none)".to_owned());
            let figures = [
                sum.requests,
                sum.input(),
                sum.output(),
                sum.cache_write(),
                sum.tokens.cache_read,
            ];
            let cells = std::iter::once(name)
                .chain(figures.into_iter().map(count))
                .chain([cost(&sum)]);
            table.row(Look::Plain, cells.collect());
        }
        out.push('\n');
        out.push_str(&table.render(screen));
    }
    out
}

fn reset_json(r: &ResetSessionResponse) -> Value {
    let ended = r.ended.as_ref().filter(|e| !e.session.is_empty()).map(|e| {
        json!({
            "session": e.session, "requests": e.requests,
            "tokens": to_json::tokens(&e.tokens.unwrap_or_default()), "cost_usd": to_json::money(e.cost.as_ref()),
        })
    });
    json!({"ended": ended, "started": r.started})
}

fn reset_text(r: &ResetSessionResponse) -> String {
    let ended = match r.ended.as_ref().filter(|e| !e.session.is_empty()) {
        Some(e) => format!(
            "Ended session {} with {}, {}, ${}. History stays.\n",
            show::clean(&e.session),
            counted(e.requests, "call"),
            counted(e.tokens.map_or(0, |t| total(&t)), "token"),
            exact(pico_or_zero(e.cost.as_ref())),
        ),
        None => String::new(),
    };
    format!("{ended}Started session {}.\n", show::clean(&r.started))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::{SessionTotals, Totals};

    #[test]
    fn a_reset_names_both_sessions() {
        let ended = SessionTotals {
            session: "a".into(),
            requests: 3,
            ..SessionTotals::default()
        };
        let reset = ResetSessionResponse {
            ended: Some(ended),
            started: "b".into(),
        };
        assert_eq!(
            reset_text(&reset),
            "Ended session a with 3 calls, 0 tokens, $0. History stays.\nStarted session b.\n"
        );
        assert_eq!(reset_json(&reset)["started"], "b");
        let first = ResetSessionResponse {
            ended: None,
            started: "b".into(),
        };
        assert!(reset_json(&first)["ended"].is_null());
    }

    #[test]
    fn a_session_shows_its_models() {
        let row = TotalsRow {
            keys: vec!["gpt-5".into()],
            totals: Some(Totals {
                requests: 2,
                ..Totals::default()
            }),
            ..TotalsRow::default()
        };
        let session = Session {
            id: "s".into(),
            by_model: vec![row],
            ..Session::default()
        };
        assert_eq!(as_json(&session)["by_model"][0]["model"], "gpt-5");
        assert!(
            draw(
                &session,
                &TimeZone::UTC,
                &Screen {
                    width: Some(60),
                    colour: false
                }
            )
            .contains("gpt-5")
        );
    }
}
