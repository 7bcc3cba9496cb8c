//! `tokmonctl`: the command line of tokmon. Every command is one question to the daemon and one way to show its answer.
//!
//! One file per noun; [`args`] lists the commands, [`show`] holds everything that is printed.

mod anonymize;
mod api;
mod args;
mod audit;
mod budget;
mod config;
mod context;
mod count;
mod daemon;
mod dates;
mod doctor;
mod embeddings;
mod explain;
mod export;
mod failure;
mod feed;
mod filter;
mod grpc_info;
mod hook;
mod ledger;
mod log;
mod price;
mod quota;
mod record;
mod report;
mod session;
mod setup;
mod shell;
mod show;
mod status;
mod statusline;
mod task;
mod tips;
mod totals;
mod up;
mod waste;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use tokmon_client::Kind;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::failure::Failure;

fn main() -> ExitCode {
    // One line instead of a trace, whatever RUST_BACKTRACE says.
    std::panic::set_hook(Box::new(|what| {
        let place = what.location().map(ToString::to_string).unwrap_or_default();
        show::note(&format!(
            "tokmonctl: this is a fault in tokmonctl itself, at {place}; please report it"
        ));
    }));
    // An agent waits for this one.
    if let Some(code) = hook::at_once(std::env::args_os()) {
        return code;
    }
    let cli = Cli::parse();
    let context = Context {
        json: cli.json,
        start: !cli.no_start,
    };
    if let Command::Hook(args) = &cli.command {
        return hook::run(args).unwrap_or_else(|failure| ExitCode::from(failure.tell()));
    }
    match std::panic::catch_unwind(|| run(&cli.command, &context)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => ExitCode::from(failure.tell()),
        Err(_) => ExitCode::from(Kind::Bug.exit_code()),
    }
}

fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    // What needs no daemon needs no runtime either.
    match command {
        Command::Completions(args) => return shell::completions(args),
        Command::Man(args) => return shell::man(args),
        Command::GrpcInfo => return grpc_info::run(context),
        Command::Setup(args) => return setup::run(args, context),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::io("start", "the runtime", &e))?;
    runtime.block_on(Box::pin(dispatch(command, context)))
}

async fn dispatch(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Up(args) => Box::pin(up::run(args, context)).await,
        Command::Report(args) => Box::pin(report::run(args, context)).await,
        Command::Status => Box::pin(status::run(context)).await,
        Command::Log(args) => Box::pin(log::run(args, context)).await,
        Command::Watch(args) => Box::pin(watch::run(args, context)).await,
        Command::Explain(args) => Box::pin(explain::run(args, context)).await,
        Command::Session(args) => Box::pin(session::run(args, context)).await,
        Command::Count(args) => Box::pin(count::run(args, context)).await,
        Command::Price(args) => Box::pin(price::run(args, context)).await,
        Command::Doctor(args) => Box::pin(doctor::run(args, context)).await,
        Command::Quota(args) => Box::pin(quota::run(args, context)).await,
        Command::Statusline(args) => Box::pin(statusline::run(args, context)).await,
        Command::Budget(args) => Box::pin(budget::run(args, context)).await,
        Command::Audit(args) => Box::pin(audit::run(args, context)).await,
        Command::Api(args) => Box::pin(api::run(args, context)).await,
        Command::Task(args) => Box::pin(task::run(args, context)).await,
        Command::Waste(args) => Box::pin(waste::run(args, context)).await,
        Command::Tips(args) => Box::pin(tips::run(args, context)).await,
        Command::Embeddings(args) => Box::pin(embeddings::run(args, context)).await,
        Command::Export(args) => Box::pin(export::run(args, context)).await,
        Command::Record(args) => Box::pin(record::run(args, context)).await,
        Command::Ledger(args) => Box::pin(ledger::run(args, context)).await,
        Command::Daemon(args) => Box::pin(daemon::run(args, context)).await,
        Command::Config(args) => Box::pin(config::run(args, context)).await,
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
        Command::GrpcInfo => grpc_info::run(context),
        Command::Hook(args) => hook::run(args).map(drop),
        Command::Setup(args) => setup::run(args, context),
    }
}
