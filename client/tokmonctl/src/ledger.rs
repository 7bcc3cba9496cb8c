//! `tokmonctl ledger`: care of the ledger. Nothing here ever throws data away without a copy or a confirmation.

mod restore;

use std::io::{BufRead, IsTerminal, stdin};
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use tokmon_client::v1::{
    BackupRequest, CompactRequest, PurgeRequest, ResetLedgerRequest, RestoreRequest, VerifyRequest,
    VerifyResponse,
};
use tokmon_client::{Client, Error, Kind};

use crate::context::Context;
use crate::dates::{self, Day};
use crate::failure::{Failure, invalid, io_error};
use crate::show::number::{bytes, counted, instant};
use crate::show::{self, json as to_json};

/// What must be typed, and what the contract asks for.
const CONFIRM: &str = "reset all data";

/// Arguments of `ledger`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a consistent copy while the daemon runs
    Backup {
        /// The new file; it must not exist
        file: PathBuf,
    },
    /// Put a backup in the ledger's place; the present ledger is kept aside
    Restore {
        /// The backup
        file: PathBuf,
        /// Do not ask; without a terminal nobody is asked
        #[arg(long)]
        yes: bool,
    },
    /// Check pages, checksums, the hash chain and the totals
    Verify {
        /// A backup to check [default: the ledger]
        file: Option<PathBuf>,
    },
    /// Give free space in the ledger's file back to the system
    Compact,
    /// Remove old records; their totals stay
    Purge {
        /// Records before this day go [default: as retention.days says]
        #[arg(
            long,
            value_name = "DAY",
            conflicts_with = "older_than",
            allow_negative_numbers = true
        )]
        before: Option<Day>,
        /// Records older than so many days go
        #[arg(long, value_name = "DAYS", value_parser = crate::args::from_to::<u32>(1, 100_000), allow_negative_numbers = true)]
        older_than: Option<u32>,
        /// Only say how many
        #[arg(long)]
        dry_run: bool,
    },
    /// Start with an empty ledger; the present one is kept aside
    Reset {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// `tokmonctl ledger`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.verb {
        Verb::Backup { file } => {
            let path = absolute(file)?;
            let a = context.client().await?.backup(BackupRequest { path }).await?;
            let value = json!({"path": a.path, "bytes": a.bytes, "last_seq": a.last_seq});
            let text = format!(
                "Wrote {} to {}, up to entry {}.\n",
                bytes(a.bytes),
                show::clean(&a.path),
                a.last_seq
            );
            tell(context, &value, &text)
        }
        Verb::Restore { file, yes } => {
            std::fs::metadata(file).map_err(|e| io_error("read", file.display(), &e))?;
            if !yes && stdin().is_terminal() {
                confirm("This puts the backup in the ledger's place", "restore")?;
            }
            let done = restore::run(context, &absolute(file)?, |client, path| async move {
                let a = client.restore(RestoreRequest { path }).await?;
                Ok((Some(a.entries), a.set_aside))
            })
            .await?;
            let text = match done.entries {
                Some(entries) => format!(
                    "Restored {}. The former ledger is {}.\n",
                    counted(entries, "entry"),
                    show::clean(&done.set_aside)
                ),
                None => format!(
                    "Restored. The former ledger is {}.\n",
                    show::clean(&done.set_aside)
                ),
            };
            tell(
                context,
                &json!({"entries": done.entries, "set_aside": done.set_aside}),
                &text,
            )
        }
        Verb::Verify { file } => {
            let path = file
                .as_ref()
                .map(|f| absolute(f))
                .transpose()?
                .unwrap_or_default();
            verify(&context.client().await?, path, context).await
        }
        Verb::Compact => {
            let a = context.client().await?.compact(CompactRequest {}).await?;
            let value = json!({"bytes_before": a.bytes_before, "bytes_after": a.bytes_after});
            tell(
                context,
                &value,
                &format!(
                    "{} before, {} after.\n",
                    bytes(a.bytes_before),
                    bytes(a.bytes_after)
                ),
            )
        }
        Verb::Purge {
            before,
            older_than,
            dry_run,
        } => {
            // "Older than 30 days" ends where the last 30 days begin.
            let day = before.or(older_than.map(|days| Day::Ago(days - 1)));
            purge(&context.client().await?, day, *dry_run, context).await
        }
        Verb::Reset { yes } => reset(*yes, context).await,
    }
}

fn tell(context: &Context, value: &Value, text: &str) -> Result<(), Failure> {
    show::print(&if context.json {
        to_json::document(value)
    } else {
        text.to_owned()
    })
}

/// The daemon has another working directory, so it is told absolute paths.
fn absolute(file: &std::path::Path) -> Result<String, Error> {
    let path = std::path::absolute(file).map_err(|e| io_error("find", file.display(), &e))?;
    path.into_os_string().into_string().map_err(|p| {
        invalid(format!(
            "{} is not valid UTF-8, so it cannot be sent",
            PathBuf::from(p).display()
        ))
    })
}

pub(crate) async fn verify(client: &Client, path: String, context: &Context) -> Result<(), Failure> {
    let answer = client.verify(VerifyRequest { path }).await?;
    let value = json!({
        "ok": answer.ok, "entries_checked": answer.entries_checked,
        "findings": answer.findings, "chain_head": answer.chain_head,
    });
    tell(context, &value, &verified(&answer))?;
    if answer.ok {
        return Ok(());
    }
    let problem = Error::new(
        Kind::Damaged,
        format!(
            "the ledger is damaged: {}",
            counted(answer.findings.len() as u64, "finding")
        ),
    );
    Err(problem
        .with_hint("restore a backup with `tokmonctl ledger restore FILE`")
        .into())
}

fn verified(a: &VerifyResponse) -> String {
    let mut out = format!(
        "{} checked, chain ends in {}.\n",
        counted(a.entries_checked, "entry"),
        show::clean(&a.chain_head)
    );
    if a.ok {
        out.push_str("Everything is in order.\n");
    }
    for finding in &a.findings {
        out.push_str(&format!("  {}\n", show::clean(finding)));
    }
    out
}

async fn purge(client: &Client, day: Option<Day>, dry_run: bool, context: &Context) -> Result<(), Failure> {
    let zone = dates::daemon_zone(client).await?;
    let before_ms = match day {
        Some(day) => {
            let now = jiff::Timestamp::now();
            let begins = dates::window(Some(day), None, &zone, now)?.from_ms;
            if begins > now.as_millisecond() {
                return Err(invalid("--before must be a day that has begun").into());
            }
            begins
        }
        None => 0,
    };
    let a = client.purge(PurgeRequest { before_ms, dry_run }).await?;
    let verb = if dry_run { "Would remove" } else { "Removed" };
    let text = format!(
        "{verb} {} before {}; totals stay.\n",
        counted(a.records, "record"),
        instant(a.horizon_ms, &zone)
    );
    tell(
        context,
        &json!({"records": a.records, "horizon": to_json::time(a.horizon_ms), "dry_run": dry_run}),
        &text,
    )
}

async fn reset(yes: bool, context: &Context) -> Result<(), Failure> {
    if !yes {
        if !stdin().is_terminal() {
            let unasked = invalid("this starts with an empty ledger and must be confirmed");
            return Err(unasked.with_hint("--yes confirms it in scripts").into());
        }
        confirm("This starts with an empty ledger", CONFIRM)?;
    }
    let client = context.client().await?;
    let a = client
        .reset_ledger(ResetLedgerRequest {
            confirm: CONFIRM.to_owned(),
        })
        .await?;
    let text = format!(
        "The ledger is empty. The former one is {}.\n",
        show::clean(&a.set_aside)
    );
    tell(context, &json!({"set_aside": a.set_aside}), &text)
}

/// Asks the person at the terminal to type a word.
fn confirm(what: &str, word: &str) -> Result<(), Error> {
    show::note(&format!(
        "{what}; the present one is kept aside. Type `{word}` to go on:"
    ));
    let mut line = String::new();
    stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|e| io_error("read", "standard input", &e))?;
    if line.trim() == word {
        Ok(())
    } else {
        Err(invalid("not confirmed; nothing was changed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_listed() {
        let answer = VerifyResponse {
            ok: false,
            entries_checked: 5,
            findings: vec!["entry 3: checksum".into()],
            chain_head: "ab".into(),
        };
        let text = verified(&answer);
        assert!(
            text.contains("entry 3: checksum") && !text.contains("in order"),
            "{text}"
        );
        assert!(
            verified(&VerifyResponse {
                ok: true,
                ..VerifyResponse::default()
            })
            .contains("in order")
        );
    }

    #[test]
    fn paths_are_sent_absolute() {
        assert!(absolute(std::path::Path::new("x.redb")).unwrap().starts_with('/'));
    }
}
