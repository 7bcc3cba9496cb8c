//! `tokmonctl watch`: today's totals on the terminal, drawn again whenever the ledger grows. Without a terminal
//! every new record is a line.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokmon_client::v1::follow_response::Entry;
use tokmon_client::{Client, Error, Kind};

use crate::context::Context;
use crate::dates::{Day, Span, window};
use crate::failure::Failure;
use crate::feed::Feed;
use crate::filter::Only;
use crate::report::{self, By, Question};
use crate::show::number::instant;
use crate::show::{self, Screen};
use crate::{log, status};

/// Records shown below the totals.
const LATEST: u64 = 10;
/// New records are gathered for so long before the screen is drawn again.
const GATHER: Duration = Duration::from_millis(200);
/// The screen is drawn at least so often: a new day begins without a record too.
const REFRESH: Duration = Duration::from_secs(30);
/// The other screen of the terminal, cursor hidden; and back.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
/// To the upper left corner, and clear what follows.
const HOME: &str = "\u{1b}[H\u{1b}[J";

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to group today's totals by
    #[arg(value_enum, default_value = "model")]
    by: By,
    /// Time zone of the day, e.g. Europe/Berlin [default: the daemon's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Only budgets' alerts, one per line
    #[arg(long)]
    alerts: bool,
    /// With --alerts: begin after this entry instead of now; 0 is the first that is kept
    #[arg(long, value_name = "SEQ", requires = "alerts")]
    after: Option<u64>,
    #[command(flatten)]
    only: Only,
}

/// `tokmonctl watch`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.by == By::Blocks {
        return Err(crate::failure::invalid(
            "blocks cannot be watched; use `tokmonctl report blocks --active`",
        )
        .into());
    }
    let client = context.client().await?;
    let span = Span {
        timezone: args.timezone.clone(),
        ..Span::default()
    };
    let zone = span.zone(&client).await?;
    let seen = log::last_seq(&client).await?;
    if args.alerts {
        let mut feed = Feed::alerts(&client, args.after.unwrap_or(seen)).await?;
        return alerts(&mut feed, &zone, context.json).await;
    }
    let mut feed = Feed::after(&client, seen, args.only.filter()).await?;
    if context.json || !stdout().is_terminal() {
        return lines(&mut feed, &zone, context.json).await;
    }
    show::print(ENTER)?;
    let done = tokio::select! {
        done = live(&client, &mut feed, args, &zone) => done,
        // Ctrl-C is how one leaves.
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    show::print(LEAVE)?;
    done
}

async fn lines(feed: &mut Feed, zone: &TimeZone, json: bool) -> Result<(), Failure> {
    loop {
        if let Some(Entry::Record(record)) = feed.next().await?.entry {
            show::print(&log::line(&record, zone, json))?;
        }
    }
}

async fn alerts(feed: &mut Feed, zone: &TimeZone, json: bool) -> Result<(), Failure> {
    loop {
        let entry = feed.next().await?;
        let Some(Entry::Alert(alert)) = entry.entry else {
            continue;
        };
        let line = if json {
            show::json::line(&json!({
                "seq": entry.seq, "at": show::json::time(alert.at_ms), "kind": alert.kind, "budget": alert.budget,
                "agent": alert.agent, "session": alert.session, "sign": alert.sign,
                "threshold": alert.threshold, "percent": alert.percent,
                "window_start": show::json::time(alert.window_start_ms), "message": alert.message,
            }))
        } else {
            let text = format!(
                "{}  #{}  {}",
                instant(alert.at_ms, zone),
                entry.seq,
                alert.message
            );
            format!("{}\n", show::clean(&text))
        };
        show::print(&line)?;
    }
}

async fn live(client: &Client, feed: &mut Feed, args: &Args, zone: &TimeZone) -> Result<(), Failure> {
    loop {
        match frame(client, args, zone, &Screen::of_stdout()).await {
            Ok(frame) => show::print(&format!("{HOME}{frame}"))?,
            // The daemon is being restarted: the feed waits for it, then there is a new picture.
            Err(error) if error.kind() == Kind::Unavailable => {}
            Err(error) => return Err(error.into()),
        }
        let next = Instant::now() + REFRESH;
        match timeout_at(next, feed.next()).await {
            Err(_) => continue,
            Ok(entry) => entry?,
        };
        // More will follow in a moment: draw once for all of them.
        let gathered = Instant::now() + GATHER;
        while let Ok(entry) = timeout_at(gathered, feed.next()).await {
            entry?;
        }
        sleep_until(gathered).await;
    }
}

async fn frame(client: &Client, args: &Args, zone: &TimeZone, screen: &Screen) -> Result<String, Error> {
    let today = Some(Day::Ago(0));
    let now = Timestamp::now();
    let question = Question {
        window: Some(window(today, today, zone, now)?),
        timezone: args.timezone.clone().unwrap_or_default(),
        filter: args.only.filter(),
        ..Question::all(args.by)
    };
    let report = report::fetch(client, &question).await?;
    let mut latest = log::newest(client, question.window, &args.only, LATEST).await?;
    latest.reverse();
    let state = status::ask(client).await?.state;
    let clock = now.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S");
    let mut out = format!(
        "{}  {clock}  ({state}; Ctrl-C leaves)\n\n",
        screen.bold("tokmon, today")
    );
    out.push_str(&show::report::draw(&report, None, screen));
    out.push('\n');
    let rows = terminal_size::terminal_size().map(|(_, height)| usize::from(height.0));
    let records = |most: usize| log::draw(&latest[latest.len().saturating_sub(most)..], zone, screen);
    Ok(fitted(out, records, rows))
}

/// Totals and as many of the newest records as the terminal has rows for. What is higher would scroll away at its
/// top, where the totals are.
fn fitted(totals: String, records: impl Fn(usize) -> String, rows: Option<usize>) -> String {
    let all = records(usize::MAX);
    // The cursor stands below the last line.
    let Some(rows) = rows.map(|r| r.saturating_sub(1)) else {
        return totals + &all;
    };
    let (upper, lower) = (totals.lines().count(), all.lines().count());
    if upper + lower <= rows {
        return totals + &all;
    }
    // The records' own head is two lines.
    let room = rows.saturating_sub(upper + 2);
    if room > 0 {
        return totals + &records(room);
    }
    let kept = rows.saturating_sub(1);
    if upper <= kept {
        return totals;
    }
    let mut cut: String = totals.lines().take(kept).flat_map(|line| [line, "\n"]).collect();
    cut.push_str("… the terminal is too low for the rest\n");
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_terminal_keeps_the_totals() {
        let totals = || "title\n\na\nb\nc\n".to_owned();
        let records = |most: usize| {
            let lines = (0..10.min(most)).map(|n| format!("{n}\n")).collect::<String>();
            format!("head\nrule\n{lines}")
        };
        for (rows, lines, last) in [
            (None, 17, "9"),
            (Some(50), 17, "9"),
            (Some(12), 11, "3"),
            (Some(7), 5, "c"),
            (Some(4), 3, "… the terminal is too low for the rest"),
        ] {
            let drawn = fitted(totals(), records, rows);
            assert_eq!(drawn.lines().count(), lines, "{rows:?}:\n{drawn}");
            assert_eq!(drawn.lines().last(), Some(last), "{rows:?}");
        }
    }
}
