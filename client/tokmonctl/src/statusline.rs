//! `tokmonctl statusline`: what an agent runs for the line below its prompt. It reads what the agent tells, hands that to
//! the daemon, and prints one line.
//!
//! An agent runs it every few seconds and cancels what is late: it starts no daemon, and when none answers in time it
//! shows what the agent itself told.

mod input;
mod line;

use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use tokmon_client::v1::{PushStatuslineRequest, PushStatuslineResponse};
use tokmon_client::{Client, Paths};

use crate::context::Context;
use crate::failure::{Failure, io_error};
use crate::show;
use input::Told;
use line::{Clock, Segment};

/// After so long the line is shown without the daemon's figures.
const DEADLINE: Duration = Duration::from_millis(250);
/// Most of what an agent tells, in bytes: some kilobytes are usual.
const MOST_BYTES: u64 = 1024 * 1024;

/// Arguments of `statusline`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Claude Code runs it when its settings say \"statusLine\": {\"type\": \"command\", \"command\": \"tokmonctl statusline\"}. \
The agent's JSON is read from standard input; without any, the line shows what the daemon knows. With --json it prints \
what the daemon answered.")]
pub(crate) struct Args {
    /// Whose line it is
    #[arg(long, value_name = "NAME", default_value = "claude-code")]
    agent: String,
    /// What to show, in this order
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "model,session,today,budget,context,quota,burn"
    )]
    show: Vec<Segment>,
    /// No colours; NO_COLOR does the same
    #[arg(long)]
    plain: bool,
}

/// `tokmonctl statusline`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let told = Told::parse(&read()?);
    let answer = ask(&args.agent, &told).await;
    if context.json {
        return show::print(&line::as_json(answer.as_ref(), &told));
    }
    // The agent is no terminal, and shows colours.
    let colour = !args.plain && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let drawn = line::draw(&args.show, &told, answer.as_ref(), Clock::now(), colour);
    show::print(&(drawn + "\n"))
}

fn read() -> Result<Vec<u8>, Failure> {
    let (stdin, mut bytes) = (std::io::stdin(), Vec::new());
    if !stdin.is_terminal() {
        let read = stdin.lock().take(MOST_BYTES).read_to_end(&mut bytes);
        read.map_err(|e| io_error("read", "standard input", &e))?;
    }
    Ok(bytes)
}

/// The daemon's answer, if there is one in time.
async fn ask(agent: &str, told: &Told) -> Option<PushStatuslineResponse> {
    let paths = Paths::from_env().ok()?;
    let request = PushStatuslineRequest {
        agent: agent.to_owned(),
        session: told.session.clone(),
        project: told.project.clone(),
        model: told.model.clone(),
        session_cost: told.cost,
        prompt_cache: told.cache,
        quotas: told.quotas(),
    };
    let question = async {
        let client = Client::open_at(&paths).await?;
        client.push_statusline(request).await
    };
    Client::within(DEADLINE, question).await.ok()
}
