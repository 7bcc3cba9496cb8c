//! `tokmonctl hook AGENT`: what an agent's hook runs. It reads the agent's message, asks the daemon one question and
//! answers in the agent's own words; when the agent may go on it says nothing.
//!
//! It stands in the agent's way, so it is quick and never late: it parses no command line, starts no daemon, and when
//! the answer does not come in time the budgets' policy for an unreachable daemon decides.

mod agent;
mod input;
mod reply;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokmon_client::v1::{AskHookRequest, AskHookResponse};
use tokmon_client::{Client, Kind, Paths, policy};

pub(crate) use agent::Agent;
use agent::Point;
use input::Message;
use reply::{Reply, Verdict};

use crate::failure::Failure;

/// Overrides [`DEADLINE`], in milliseconds.
const DEADLINE_VAR: &str = "TOKMON_HOOK_DEADLINE_MS";
/// After so long the agent has its answer, whatever it is.
const DEADLINE: Duration = Duration::from_millis(300);
/// The longest deadline that may be set: agents give up on a hook after five seconds and more.
const LONGEST_DEADLINE_MS: u64 = 60_000;

/// Arguments of `hook`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The agent's message is read from standard input. `tokmonctl setup AGENT` installs this command into the agent's own \
configuration. When the agent may go on nothing is printed; when a budget with action deny has nothing left, the \
agent's own way of refusing is. TOKMON_HOOK_DEADLINE_MS [default: 300] limits the time; when the daemon cannot be \
asked in it, `--unreachable` of the budgets decides.")]
pub(crate) struct Args {
    /// claude-code, codex, gemini-cli, copilot-cli, qwen-code, cursor or opencode
    agent: String,
}

/// The short way for the one command line that agents use, `tokmonctl hook AGENT`. `None`: it is another one.
pub(crate) fn at_once(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let (_, verb, name, more) = (args.next(), args.next()?, args.next()?, args.next());
    let agent = Agent::parse(name.to_str()?)?;
    (verb == "hook" && more.is_none()).then(|| ExitCode::from(answer(agent)))
}

/// `tokmonctl hook` in any other form of the command line.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    Ok(ExitCode::from(answer(Agent::named(&args.agent)?)))
}

/// Reads, asks, answers.
fn answer(agent: Agent) -> u8 {
    let deadline = Instant::now() + deadline();
    let stdin = input::Reader::start();
    let message = stdin.message(agent, deadline);
    let point = agent.point(&message);
    let reply = match ask(agent, &message, point, deadline) {
        Some(answer) => agent.reply(&message, Verdict::of(&answer.verdict), &answer.reason),
        None if point == Point::Signal => Reply::silent(),
        None => by_policy(agent, &message),
    };
    stdin.drain(deadline);
    tell(&reply)
}

fn deadline() -> Duration {
    let set = std::env::var(DEADLINE_VAR).ok().and_then(|v| v.parse().ok());
    let allowed = set.filter(|ms| (1..=LONGEST_DEADLINE_MS).contains(ms));
    allowed.map_or(DEADLINE, Duration::from_millis)
}

/// The daemon's answer, if there is one in time.
fn ask(agent: Agent, message: &Message, point: Point, deadline: Instant) -> Option<AskHookResponse> {
    let paths = Paths::from_env().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    // A part of the time is kept for the answer itself.
    let patience = deadline.saturating_duration_since(Instant::now()) / 3 * 2;
    let request = AskHookRequest {
        agent: agent.name().to_owned(),
        event: message.event.clone(),
        point: point.name().to_owned(),
        session: message.session.clone(),
        project: message.project.clone(),
        model: message.model.clone(),
        provider: message.provider.clone(),
        garbled: !message.is_understood(),
        transcript: message.transcript.clone(),
        tool_use: message.tool_use.clone(),
        subagent: message.subagent.clone(),
        patience_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
    };
    let question = async {
        let client = Client::open_at(&paths).await?;
        client.ask_hook(request).await
    };
    let left = deadline.saturating_duration_since(Instant::now());
    runtime.block_on(Client::within(left, question)).ok()
}

/// The reply when the daemon cannot be asked.
fn by_policy(agent: Agent, message: &Message) -> Reply {
    let Ok(paths) = Paths::from_env() else {
        return Reply::silent();
    };
    let caller = policy::Caller {
        agent: agent.name().to_owned(),
        session: message.session.clone(),
        project: message.project.clone(),
        provider: message.provider.clone(),
        model: message.model.clone(),
        ..policy::Caller::default()
    };
    match policy::when_unreachable(&paths, &caller) {
        policy::Verdict::Allow => Reply::silent(),
        policy::Verdict::Deny { reason, .. } => agent.reply(message, Verdict::Deny, &reason),
    }
}

/// Writes the reply; its exit code. A reader that is gone wants none.
fn tell(reply: &Reply) -> u8 {
    let written = std::io::stdout().write_all(reply.stdout.as_bytes());
    let told = std::io::stderr().write_all(reply.stderr.as_bytes());
    match written.and(told) {
        Ok(()) => reply.code,
        Err(_) if reply.code != 0 => reply.code,
        Err(_) => Kind::Unavailable.exit_code(),
    }
}
