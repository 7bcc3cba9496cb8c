//! `tokmonctl doctor`: everything that keeps figures from being whole, with what to do about it.
//!
//! [`checks`] are pure: what was learned of the daemon and the machine goes in, findings come out. A check that has
//! nothing to go by says so, never that all is well.

mod checks;
mod drift;
mod machine;

use serde_json::{Value, json};
use tokmon_client::v1::{
    ListHooksRequest, ListHooksResponse, ListStatuslinesRequest, StatusResponse, StatuslineSession,
    TotalsRequest, Window,
};
use tokmon_client::{Client, Error};

use crate::context::{Context, running};
use crate::failure::Failure;
use crate::show::{self, Screen, json as to_json};
use machine::Machine;

/// Models without a price are looked for in the calls of so many days.
const DAYS: i64 = 30;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 nothing needs you, 1 something does. It starts no daemon and changes nothing.")]
pub(crate) struct Args {
    /// Also list what is in order
    #[arg(long)]
    all: bool,
}

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// In order.
    Good,
    /// Worth knowing.
    Info,
    /// Nothing to go by.
    NoData,
    /// Figures may be incomplete.
    Warning,
    /// Figures are incomplete, or limits do not hold.
    Critical,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Good => "ok",
            Level::Info => "info",
            Level::NoData => "no_data",
            Level::Warning => "warning",
            Level::Critical => "critical",
        }
    }

    fn mark(self, screen: &Screen) -> String {
        match self {
            Level::Good => "ok       ".to_owned(),
            Level::Info => "note     ".to_owned(),
            Level::NoData => "no data  ".to_owned(),
            Level::Warning => screen.warning("warning  "),
            Level::Critical => screen.bold("CRITICAL "),
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) area: &'static str,
    pub(crate) level: Level,
    /// What was found, one sentence.
    pub(crate) message: String,
    /// What to do about it; may be empty.
    pub(crate) advice: String,
}

/// What the daemon says.
#[derive(Debug, Default)]
struct Known {
    status: StatusResponse,
    hooks: ListHooksResponse,
    statuslines: Vec<StatuslineSession>,
    unpriced: Vec<String>,
    /// What each witness shows of the sessions heard of last.
    witnesses: Vec<drift::Heard>,
}

/// `tokmonctl doctor`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let machine = Machine::now();
    let known = match running().await {
        Ok(client) => learn(&client, now_ms).await,
        Err(error) => Err(error),
    };
    let findings = checks::all(known.as_ref(), &machine, now_ms);
    let text = match context.json {
        true => to_json::document(&as_json(&findings)),
        false => draw(&findings, args.all, &context.screen()),
    };
    show::print(&text)?;
    match findings.iter().any(|f| f.level >= Level::Warning) {
        true => Err(Failure::Denied),
        false => Ok(()),
    }
}

async fn learn(client: &Client, now_ms: i64) -> Result<Known, Error> {
    let window = Window {
        from_ms: now_ms - DAYS * DAY_MS,
        to_ms: 0,
    };
    let totals = TotalsRequest {
        window: Some(window),
        ..TotalsRequest::default()
    };
    let statuslines = client.list_statuslines(ListStatuslinesRequest {}).await?.sessions;
    Ok(Known {
        witnesses: drift::learn(client, &statuslines).await,
        status: crate::status::ask(client).await?,
        hooks: client.list_hooks(ListHooksRequest {}).await?,
        statuslines,
        unpriced: client.totals(totals).await?.unpriced_models,
    })
}

fn as_json(findings: &[Finding]) -> Value {
    let one = |f: &Finding| json!({"area": f.area, "level": f.level.name(), "message": f.message, "advice": f.advice});
    let worst = findings.iter().map(|f| f.level).max().unwrap_or(Level::NoData);
    json!({"worst": worst.name(), "findings": findings.iter().map(one).collect::<Vec<_>>()})
}

fn draw(findings: &[Finding], all: bool, screen: &Screen) -> String {
    let mut sorted: Vec<&Finding> = findings
        .iter()
        .filter(|f| all || f.level != Level::Good)
        .collect();
    sorted.sort_by_key(|f| std::cmp::Reverse(f.level));
    let mut out = String::new();
    for f in &sorted {
        let line = format!("{}{}: {}", f.level.mark(screen), f.area, show::clean(&f.message));
        out.push_str(&screen.fold(&line, 9));
        out.push('\n');
        if !f.advice.is_empty() {
            out.push_str(&screen.fold(&format!("         → {}", show::clean(&f.advice)), 11));
            out.push('\n');
        }
    }
    let good = findings.iter().filter(|f| f.level == Level::Good).count();
    if !all && good > 0 {
        let more = if sorted.is_empty() {
            "Everything is in order"
        } else {
            "In order besides"
        };
        out.push_str(&format!(
            "{more}: {good} checks; `tokmonctl doctor --all` lists them.\n"
        ));
    }
    out
}
