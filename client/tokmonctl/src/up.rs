//! `tokmonctl up`: the first command of all. Starts the daemon, reads what is there, shows what was spent.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokmon_client::v1::{ImportProgress, ImportRequest, SourceStatus};
use tokmon_client::{Client, Error, Kind};

use crate::context::Context;
use crate::failure::Failure;
use crate::report::{self, By, Question};
use crate::show::number::{bytes, counted};
use crate::show::{self, json};
use crate::status;

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read what is there, print the totals and say no more; for scripts. The daemon stays up until `daemon stop`
    #[arg(long)]
    no_watch: bool,
}

/// `tokmonctl up`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let last = import(&client).await?;
    let report = report::fetch(&client, &Question::all(By::Daily)).await?;
    if context.json {
        return show::print(&json::report(&report, Some(&last.sources)));
    }
    let screen = context.screen();
    let mut out = String::new();
    if last.files_total == 0 && report.lines.is_empty() {
        out.push_str(&screen.fold(&nothing_found(&last.sources), 2));
        return show::print(&out);
    }
    out.push_str(&show::report::draw(&report, None, &screen));
    out.push('\n');
    out.push_str(&status::sources(&last.sources, &screen));
    if !args.no_watch {
        let text = "\nThe daemon keeps watching: new calls are booked as they happen. See them with `tokmonctl watch`, \
             explain a figure with `tokmonctl explain`, stop the daemon with `tokmonctl daemon stop`.\n";
        out.push_str(&screen.fold(text, 0));
    }
    show::print(&out)
}

/// Lets the daemon read everything that is there, with a progress bar on a terminal; yields the last message.
async fn import(client: &Client) -> Result<ImportProgress, Error> {
    let mut stream = client.import(ImportRequest {}).await?;
    let bar = bar();
    let mut last = ImportProgress::default();
    while let Some(progress) = stream.message().await? {
        // Before the files are found there is nothing to be done a part of.
        if progress.bytes_total > 0 {
            bar.set_length(progress.bytes_total.max(progress.bytes_done));
            bar.set_position(progress.bytes_done);
            bar.set_message(line(&progress));
        }
        last = progress;
        if last.done {
            break;
        }
    }
    bar.finish_and_clear();
    if last.done {
        Ok(last)
    } else {
        Err(Error::new(
            Kind::Unavailable,
            "the daemon ended the import before everything was read",
        )
        .with_hint("run `tokmonctl up` again: it goes on where it stopped"))
    }
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("Reading {wide_bar} {percent:>3} %  {msg}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn line(p: &ImportProgress) -> String {
    format!(
        "{} of {}, {}, {}",
        bytes(p.bytes_done),
        bytes(p.bytes_total),
        counted(p.files_done, "file"),
        counted(p.records, "record")
    )
}

/// What to do on a machine where no agent has written anything yet.
fn nothing_found(sources: &[SourceStatus]) -> String {
    let mut out = "The daemon runs, but no agent has written anything down yet.\n".to_owned();
    let present = sources.iter().filter(|s| s.state != "absent");
    for s in present {
        out.push_str(&format!(
            "  {:<12} {}  ({})\n",
            show::clean(&s.agent),
            show::clean(&s.path),
            show::clean(&s.state)
        ));
    }
    if sources.is_empty() {
        out.push_str("It looked nowhere: reading is switched off (`tokmonctl config get capture.enabled`)\n");
    } else {
        let absent = status::absent(sources).join(", ");
        let absent = show::clean(&absent);
        let places = "`tokmonctl status --json` names every place";
        out.push_str(&format!("Looked for and not here ({places}): {absent}\n"));
    }
    out.push_str(
        "What to do next:\n\
         - Use your agents as usual; calls show up by themselves. `tokmonctl watch` shows them live.\n\
         - If their files lie elsewhere, set the agent's own variable (CLAUDE_CONFIG_DIR, CODEX_HOME, …), or name \
         the directories with `tokmonctl config set capture.dirs '[\"codex=/DIR\"]'`, then run \
         `tokmonctl daemon restart` and `tokmonctl up`.\n\
         - Other programs record calls over gRPC (`tokmonctl grpc-info`), through the MCP server tokmon-mcp, \
         or with `tokmonctl record`.\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_files_it_says_where_it_looked_and_what_to_do() {
        let source = SourceStatus {
            agent: "codex".into(),
            path: "/h/.codex".into(),
            state: "absent".into(),
            ..SourceStatus::default()
        };
        let text = nothing_found(&[source]);
        for part in [
            "not here",
            "names every place): codex",
            "CODEX_HOME",
            "CLAUDE_CONFIG_DIR",
            "tokmonctl watch",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(nothing_found(&[]).contains("capture.enabled"));
    }

    #[test]
    fn progress_is_told_in_words() {
        let p = ImportProgress {
            bytes_done: 1_500_000,
            bytes_total: 3_000_000,
            files_done: 12,
            records: 3456,
            ..ImportProgress::default()
        };
        assert_eq!(line(&p), "1.5 MB of 3.0 MB, 12 files, 3,456 records");
    }
}
