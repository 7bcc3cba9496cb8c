//! `tokmonctl daemon`: start, stop and restart it, see how it is, read its logs, install it as a service.

mod install;
mod logs;

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokmon_client::v1::{StatusResponse, StopRequest};
use tokmon_client::{Client, Error, Kind};

use crate::context::{self, Context};
use crate::failure::Failure;
use crate::show::{self, json as to_json};
use crate::status;

pub(crate) use install::is_installed;

/// How long a daemon may take to drain and end. Its own deadline is 5 s unless it is configured otherwise.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Arguments of `daemon`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start it when it is not running
    Start,
    /// Let it drain and end; returns when its process is gone
    Stop,
    /// Stop and start it
    Restart,
    /// How it is; does not start it
    Status,
    /// Its logs
    Logs(logs::Args),
    /// Let systemd or launchd run it for your user from now on
    Install {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Take back what install did
    Uninstall {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

/// `tokmonctl daemon`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.verb {
        Verb::Start => start(context).await,
        Verb::Stop => {
            let stopped = stop().await?;
            let text = match stopped {
                Some(pid) => format!("Stopped, process {pid}.\n"),
                None => "The daemon was not running.\n".to_owned(),
            };
            say(
                context,
                &json!({"stopped": stopped.is_some(), "pid": stopped}),
                &text,
            )
        }
        Verb::Restart => {
            stop().await?;
            start(context).await
        }
        Verb::Status => status::show(&context::running().await?, context).await,
        Verb::Logs(args) => logs::run(args).await,
        Verb::Install { dry_run } => install::install(*dry_run).await,
        Verb::Uninstall { dry_run } => install::uninstall(*dry_run).await,
    }
}

fn say(context: &Context, value: &serde_json::Value, text: &str) -> Result<(), Failure> {
    show::print(&if context.json {
        to_json::document(value)
    } else {
        text.to_owned()
    })
}

async fn start(context: &Context) -> Result<(), Failure> {
    // Whoever says start means it, also with --no-start.
    let client = Context {
        start: true,
        ..*context
    }
    .client()
    .await?;
    let s: StatusResponse = status::ask(&client).await?;
    let value = json!({"pid": s.pid, "socket": s.socket, "version": s.version, "state": s.state});
    say(
        context,
        &value,
        &format!("Running, process {}, socket {}.\n", s.pid, show::clean(&s.socket)),
    )
}

/// Stops a running daemon and waits until its process is gone. `None` when none was running.
pub(crate) async fn stop() -> Result<Option<u32>, Error> {
    let client = match context::running().await {
        Ok(client) => client,
        Err(error) if error.kind() == Kind::Unavailable => return Ok(None),
        Err(error) => return Err(error),
    };
    let pid = status::ask(&client).await?.pid;
    ask_to_stop(&client).await?;
    drop(client);
    let deadline = Instant::now() + STOP_LIMIT;
    let mut pause = FIRST_PAUSE;
    while is_alive(pid) {
        if Instant::now() >= deadline {
            let late = Error::new(
                Kind::Unavailable,
                format!("process {pid} did not end within {STOP_LIMIT:?}"),
            );
            return Err(late.with_hint("see `tokmonctl daemon logs`"));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(Some(pid))
}

async fn ask_to_stop(client: &Client) -> Result<(), Error> {
    match client.stop(StopRequest {}).await {
        // It may be gone before its answer has left.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == Kind::Unavailable => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a process still runs. One that has ended and only waits for its parent does not.
#[cfg(target_os = "linux")]
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // "pid (name) state …"; the name may hold anything, also parentheses.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

#[cfg(not(target_os = "linux"))]
fn is_alive(pid: u32) -> bool {
    let state = std::process::Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output();
    state.is_ok_and(|s| s.stdout.iter().any(|b| !b.is_ascii_whitespace()) && !s.stdout.starts_with(b"Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_processes_are_told_from_running_ones() {
        assert!(is_alive(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(!is_alive(pid));
    }
}
