//! The command line: every command and the flags that all of them share.

use clap::{Parser, Subcommand};

/// See what AI coding agents on this machine spend, right to the token.
///
/// Every command talks to the daemon `tokmond` of your user and starts it when it is not running.
#[derive(Debug, Parser)]
#[command(name = "tokmonctl", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 2 wrong command line, 64 invalid request, 65 damaged data, 66 not found, \
    69 unavailable, 70 fault in tokmon, 73 conflict, 75 busy, 76 incompatible, 77 forbidden, 78 bad configuration."
)]
pub(crate) struct Cli {
    /// Print JSON for programs
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// Fail when the daemon is not running instead of starting it
    #[arg(long, global = true, display_order = 901)]
    pub(crate) no_start: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Reads a whole number from `low` to `high`, and says so when it is none.
pub(crate) fn from_to<T: TryFrom<u64>>(
    low: u64,
    high: u64,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|n| (low..=high).contains(n));
        number.and_then(|n| T::try_from(n).ok()).ok_or_else(|| {
            if high == u64::MAX {
                format!("allowed is a whole number from {low} on")
            } else {
                format!("allowed is a whole number from {low} to {high}")
            }
        })
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the daemon, read what agents wrote down so far and show what was spent
    Up(crate::up::Args),
    /// Totals by day, week, month, session, model, project and more
    Report(crate::report::Args),
    /// How the daemon is, what it has and where it reads
    Status,
    /// Single records, the newest last
    Log(crate::log::Args),
    /// Totals of today, live
    Watch(crate::watch::Args),
    /// Which records make a figure, what was dropped as a duplicate and which price applied
    Explain(crate::explain::Args),
    /// Sessions: show one, list them, start a new one
    Session(crate::session::Args),
    /// Count the tokens of files or of standard input
    Count(crate::count::Args),
    /// Prices: list, look up, set, import
    Price(crate::price::Args),
    /// Budgets: set, list, apply a file; reserve before spending, settle after
    Budget(crate::budget::Args),
    /// Who did or decided what, when and why; check that nothing was changed afterwards
    Audit(crate::audit::Args),
    /// APIs: calls and tokens a minute, what providers' headers said, where to go instead
    Api(crate::api::Args),
    /// Tasks: keep a share of a session's budgets for each until it is complete
    Task(crate::task::Args),
    /// What the waste rules found
    Waste(crate::waste::Args),
    /// Advice drawn from your own records
    Tips(crate::tips::Args),
    /// Embedding requests by day
    Embeddings(crate::embeddings::Args),
    /// An analysis as a JSON, CSV or HTML document
    Export(crate::export::Args),
    /// Record one call by hand or from a script
    Record(crate::record::Args),
    /// Care of the ledger: back up, restore, verify, compact, purge, reset
    Ledger(crate::ledger::Args),
    /// The daemon: start, stop, restart, logs, install as a service
    Daemon(crate::daemon::Args),
    /// Configuration: list every key, get, set
    Config(crate::config::Args),
    /// Put hooks, statusline, telemetry and the MCP server into agents' own configuration, or take them out
    Setup(crate::setup::Args),
    /// What keeps figures from being whole, and what to do about it
    Doctor(crate::doctor::Args),
    /// Limits of subscriptions over all agents, with pace and time left
    Quota(crate::quota::Args),
    /// The line below an agent's prompt
    Statusline(crate::statusline::Args),
    /// What agents' hooks run: whether an agent may go on
    Hook(crate::hook::Args),
    /// Print a completion script for a shell
    Completions(crate::shell::CompletionsArgs),
    /// Print the manual page, or write all of them to a directory
    Man(crate::shell::ManArgs),
    /// How other programs reach the daemon over gRPC
    GrpcInfo,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, error::ErrorKind};

    #[test]
    fn numbers_that_are_none_are_refused_in_plain_words() {
        for line in [
            "report blocks --hours -1",
            "report blocks --hours x",
            "report --until -5",
            "log -n -1",
            "log -n 0",
            "session list -n 1001",
            "embeddings --days 1.5",
            "budget set b --tokens -1",
            "daemon logs -n -4",
            "record --model m --at 2026-02-30",
            "record --model m --at -1",
        ] {
            let words = std::iter::once("tokmonctl").chain(line.split(' '));
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}: {error}");
            let text = error.to_string();
            assert!(
                text.contains("allowed is") || text.contains("a day is"),
                "{line}: {text}"
            );
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_its_line_of_help() {
        fn check(command: &clap::Command) {
            assert!(
                command.get_about().is_some(),
                "{} has no help",
                command.get_name()
            );
            for arg in command.get_arguments() {
                assert!(
                    arg.get_help().is_some(),
                    "{} {} has no help",
                    command.get_name(),
                    arg.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn the_promised_commands_are_there() {
        for line in [
            "up --no-watch --json",
            "report daily --since 2026-11-01 --until 2026-11-20 --timezone Europe/Berlin --json",
            "report session --csv --agent codex --model m --project /p --session s --tool t",
            "report blocks --hours 5 --active",
            "--json status",
            "log -n 5 --follow",
            "watch",
            "explain 7",
            "explain --date 2026-11-20 --model m",
            "session reset --agent codex",
            "count - --model gpt-5",
            "price set claude-x --input 3 --output 15",
            "price import prices.json --dry-run",
            "price reprice --dry-run",
            "budget set day --usd 20 --window day --action warn --scope agent=codex --timezone UTC",
            "audit --since 7d --budget day --session s --agent codex --decision granted -n 5",
            "audit verify",
            "audit export --anonymize --key-file k --budget day --output x.jsonl",
            "export --format csv --anonymize",
            "waste last_7_days",
            "tips",
            "embeddings --days 30",
            "export --format html --period today --output x.html",
            "record --model m --input 1500 --output 800",
            "ledger purge --older-than 30 --dry-run",
            "ledger reset --yes",
            "ledger restore backup.redb --yes",
            "daemon logs -f",
            "daemon install --dry-run",
            "config set retention.days 60",
            "completions bash",
            "man",
            "grpc-info",
            "hook claude-code",
            "setup codex --dry-run --undo --yes",
        ] {
            let words = std::iter::once("tokmonctl").chain(line.split(' '));
            let parsed = Cli::try_parse_from(words);
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn wrong_values_are_usage_errors_that_name_them() {
        for (line, part) in [
            ("report yearly", "yearly"),
            ("report daily --since 2026-02-30", "2026-02-30"),
            ("report daily --json --csv", "--csv"),
            ("record --model m --input -5", "-5"),
            ("record --model m --input NaN", "NaN"),
            (
                "record --model m --input 99999999999999999999",
                "99999999999999999999",
            ),
            ("waste fortnight", "fortnight"),
            ("export --format pdf", "pdf"),
            ("budget set x --usd -1 --window day", "-1"),
            (
                "budget set x --scope colour=red --tokens 5 --window day",
                "colour",
            ),
        ] {
            let words = std::iter::once("tokmonctl").chain(line.split(' '));
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert_ne!(error.kind(), ErrorKind::DisplayHelp, "{line}");
            assert!(error.to_string().contains(part), "{line}: {error}");
        }
    }
}
