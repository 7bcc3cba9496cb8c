//! `tokmond`: one meter, ledger and budget for every AI coding agent on a machine.
//!
//! This file reads the command line; [`app`] is the daemon.

mod anonymize;
mod app;
mod calibration;
mod clock;
mod config;
mod context;
mod error;
mod health;
mod hooks;
mod instance;
mod listener;
mod logging;
mod memory;
mod otlp;
mod parts;
mod process;
mod retention;
mod rpc;
mod statuslines;
mod usage_log;

use std::any::Any;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokmon_ledger::LedgerError;
use tokmon_ledger::store::RedbStore;
use tokmon_proto::paths::Paths;

use crate::config::{Config, KEYS, Layers};
use crate::error::Failure;

/// One meter, ledger and budget for every AI coding agent on this machine.
#[derive(Debug, Parser)]
#[command(name = "tokmond", version, about)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run in the foreground (what systemd, launchd and tokmonctl do).
    Run(Run),
    /// Save what is readable of a damaged ledger into a new file. The daemon must not be running.
    Salvage {
        /// The new file; it must not exist.
        to: PathBuf,
    },
    /// Check the configuration and say what is wrong with it.
    CheckConfig {
        #[command(flatten)]
        run: Run,
        /// Also list every key with its value, origin and help.
        #[arg(long)]
        list: bool,
    },
}

#[derive(Debug, Default, clap::Args)]
struct Run {
    /// Set a configuration key for this run; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Another configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    // A damaged file makes the database's library panic, and the ledger makes an error of that. People read the
    // error; the place is for the log, and a trace is for nobody.
    std::panic::set_hook(Box::new(|what| {
        let place = what.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "stopped by a fault: {}", said(what.payload()));
    }));
    let args = Args::parse();
    let obeyed = std::panic::catch_unwind(AssertUnwindSafe(|| obey(args)));
    let done = obeyed.unwrap_or_else(|fault| Err(Failure::bug(said(&*fault))));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let hint = failure.hint().map(|hint| format!("hint: {hint}\n"));
            let text = format!("tokmond: {failure}\n{}", hint.unwrap_or_default());
            // On a full disk nobody can be told; the exit code remains.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn obey(args: Args) -> Result<(), Failure> {
    match args.command.unwrap_or(Command::Run(Run::default())) {
        Command::Run(run) => {
            memory::few_arenas();
            load(run).and_then(|(paths, layers, config)| app::run(paths, layers, config))
        }
        Command::Salvage { to } => salvage(&to),
        Command::CheckConfig { run, list } => {
            load(run).map(|(paths, layers, config)| check(&paths, &layers, &config, list))
        }
    }
}

/// What a panic said.
fn said(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

fn load(run: Run) -> Result<(Paths, Layers, Config), Failure> {
    let paths = Paths::from_env().map_err(|e| Failure::config(e.to_string()))?;
    let file = run.config.unwrap_or_else(|| paths.config_file());
    let layers = Layers::from_env(file, run.set).map_err(Failure::config)?;
    let config = Config::load(&layers).map_err(Failure::config)?;
    Ok((paths, layers, config))
}

fn check(paths: &Paths, layers: &Layers, config: &Config, list: bool) {
    let mut text = format!("{}: ok\n", paths.config_file().display());
    for doubt in layers.doubts() {
        text.push_str(&format!("warning: {doubt}\n"));
    }
    for (setting, key) in config.settings.iter().zip(KEYS).filter(|_| list) {
        text.push_str(&format!(
            "\n{} = {}   ({})\n    {} Allowed: {}. Default: {}.\n",
            key.name,
            setting.value,
            setting.origin.name(),
            key.help,
            key.allowed.describe(),
            key.default
        ));
    }
    print(&text);
}

/// A reader who went away is a quiet end.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn salvage(to: &std::path::Path) -> Result<(), Failure> {
    let paths = Paths::from_env().map_err(|e| Failure::config(e.to_string()))?;
    let _instance = instance::Instance::acquire(&paths.lock_file())?;
    let ledger = paths.ledger_file();
    let saved =
        RedbStore::salvage(&ledger, to).map_err(|e| Failure::ledger(&ledger, &LedgerError::Store(e)))?;
    print(&format!(
        "{}: {} entries saved, {} missing (purged before, or lost). Put it in place with `tokmonctl ledger restore {}`.\n",
        to.display(),
        saved.entries,
        saved.missing,
        to.display()
    ));
    Ok(())
}
