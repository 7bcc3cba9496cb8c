//! `tokmonctl setup [AGENT]`: puts hooks, statusline, telemetry and the MCP server into the agents' own configuration,
//! and takes them out again. Every file of an agent is planned before any is written; what is not ours is never touched.

mod agents;
mod edit;
mod editors;
mod file;
mod job;
mod json;
mod kept;
mod overview;
mod piece;
mod step;
mod target;
mod telemetry;
mod toml;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde_json::json as document;
use tokmon_client::{Error, Kind, Paths};

use crate::context::Context;
use crate::failure::{Failure, invalid, io_error};
use crate::hook::Agent;
use crate::show::{self, json as to_json};
use agents::Machine;
use job::Job;
use piece::Piece;
use target::Target;
use telemetry::Telemetry;

/// Arguments of `setup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a name: every agent and editor that is on this machine, in one go. It writes into their own files: hooks that \
stop an agent when a budget with action deny has nothing left; the statusline of Claude Code; where to send telemetry \
(Claude Code, Codex, Gemini CLI, Qwen Code), for which it sets otlp.enabled in tokmon's own configuration; and \
tokmon's MCP server, whose definitions cost a model fewer than 450 tokens (--only hooks,statusline,telemetry leaves it \
out). Comments and everything else in the files stay, and so does what somebody else has put in our place.\n\n\
On a terminal it shows what it would do and asks first. Otherwise nothing is done without --yes (exit 77). Running it \
again changes nothing; --undo gives back each file that nobody has changed since to the byte. A file that cannot be \
read as what it should be stops its own agent's set-up only.")]
pub(crate) struct Args {
    /// One of claude-code, codex, gemini-cli, copilot-cli, qwen-code, cursor, opencode, vscode, windsurf, zed,
    /// claude-desktop, cline, roo-code, kilo-code [default: all that are here]
    agent: Option<String>,
    /// Only these pieces
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PIECES", hide_default_value = true,
          default_values_t = Piece::ALL)]
    only: Vec<Piece>,
    /// Show what would change, as a diff; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take out what is ours
    #[arg(long)]
    undo: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// `tokmonctl setup`.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let one = args.agent.as_deref().map(Target::named).transpose()?;
    let paths = Paths::from_env().map_err(|e| invalid(e.to_string()))?;
    let mut notes = Vec::new();
    let machine = machine(&paths, args.undo, &mut notes)?;
    let mut jobs = plan(one, args, &paths, &machine);
    if let (
        Some(_),
        [
            ..,
            Job {
                steps: Err(error), ..
            },
        ],
    ) = (one, jobs.as_slice())
    {
        return Err(error.clone().into());
    }
    let changes = jobs.iter().any(Job::changes);
    notes.extend(remarks(&jobs, args, &machine));
    let token = machine.telemetry.as_ref().and_then(Telemetry::token);
    let diffs: String = jobs.iter().map(|job| job.diff(token)).collect();
    let mut agreed = !args.dry_run && changes && args.yes;
    let silent = context.json || !io::stdin().is_terminal();
    if !context.json && (one.is_none() || args.dry_run || changes && !args.yes) {
        if one.is_none() {
            // What a dry run prints is a diff and nothing else.
            let table = overview::draw(&jobs, args.undo, &telemetry::Own::read(&paths), &context.screen());
            if args.dry_run {
                show::note(table.trim_end());
            } else {
                show::print(&table)?;
            }
        }
        if args.dry_run || one.is_some() {
            show::print(if changes {
                &diffs
            } else {
                "Nothing would change.\n"
            })?;
        }
    }
    if !args.dry_run && changes && !args.yes && !silent {
        agreed = ask()?;
        if !agreed {
            return show::print("Nothing was changed.\n");
        }
    }
    if agreed {
        carry_out(&mut jobs, &machine)?;
    }
    let unasked = changes && !agreed && !args.dry_run;
    if context.json {
        show::print(&to_json::document(&answer(one, args, &jobs, &notes, agreed)))?;
    } else {
        tell(args, one.is_some(), &jobs, &notes, agreed, context)?;
    }
    if unasked {
        let error = Error::new(
            Kind::Forbidden,
            "nothing was changed: there is no terminal to ask at",
        );
        return Err(error
            .with_hint("--yes does it without asking, --dry-run shows the changes")
            .into());
    }
    let failed = || {
        jobs.iter()
            .filter_map(|job| Some((job.name, job.steps.as_ref().err()?)))
    };
    let Some((_, first)) = failed().next() else {
        return Ok(());
    };
    if one.is_some() {
        return Err(first.clone().into());
    }
    let names: Vec<&str> = failed().map(|(name, _)| name).collect();
    Err(Error::new(first.kind(), format!("left as it was: {}", names.join(", "))).into())
}

/// Whether an agent's hooks are in its configuration already.
pub(crate) fn is_done(agent: Agent) -> bool {
    let Ok(paths) = Paths::from_env() else {
        return false;
    };
    let Ok(machine) = machine(&paths, true, &mut Vec::new()) else {
        return false;
    };
    let job = Job::plan(Target::Agent(agent), &machine, &paths, false, &[Piece::Hooks]);
    job.is_done()
}

/// What is to be done, tokmon's own configuration first.
fn plan(one: Option<Target>, args: &Args, paths: &Paths, machine: &Machine) -> Vec<Job> {
    let of = |target, pieces: &[Piece]| Job::plan(target, machine, paths, args.undo, pieces);
    let chosen = |pieces: &[Piece]| -> Vec<Job> {
        match one {
            Some(target) => vec![of(target, pieces)],
            // What was set up once may be gone since; its entries go all the same.
            None if args.undo => (Target::all().map(|target| of(target, pieces)))
                .filter(|job| job.changes() || job.steps.is_err())
                .collect(),
            None => (Target::all().filter(|target| target.is_present(machine)))
                .map(|target| of(target, pieces))
                .collect(),
        }
    };
    let jobs = chosen(&args.only);
    let everything_goes = args.undo && one.is_none();
    let concerned = everything_goes || jobs.iter().any(|job| job.has(Piece::Telemetry));
    if !concerned {
        return jobs;
    }
    let others_send = || {
        let others = Target::all().filter(|other| one.is_some_and(|one| one.name() != other.name()));
        others
            .into_iter()
            .any(|other| of(other, &[Piece::Telemetry]).has(Piece::Telemetry))
    };
    if args.undo && others_send() {
        return jobs;
    }
    let own = Job::own(paths, args.undo, &args.only);
    let jobs = match own.steps {
        Ok(_) => jobs,
        // What cannot be received need not be sent.
        Err(_) => {
            let rest = args
                .only
                .iter()
                .copied()
                .filter(|piece| *piece != Piece::Telemetry);
            chosen(&rest.collect::<Vec<_>>())
        }
    };
    let own = Some(own).filter(|own| own.changes() || own.steps.is_err());
    own.into_iter().chain(jobs).collect()
}

/// What the user has to know beside the files.
fn remarks(jobs: &[Job], args: &Args, machine: &Machine) -> Vec<String> {
    let mut notes = Vec::new();
    let own = jobs.iter().any(|job| job.name == job::OWN && job.changes());
    if args.undo {
        if own {
            notes.push("A daemon that runs takes telemetry until `tokmonctl daemon restart`.".to_owned());
        }
        return notes;
    }
    let prompts: Vec<&str> = jobs
        .iter()
        .filter(|job| job.only_at_prompts && job.adds(Piece::Hooks))
        .map(|job| job.name)
        .collect();
    if !prompts.is_empty() {
        notes.push(format!(
            "Hooks of {} ask before each prompt, not between the calls of one turn: a turn that has begun goes on.",
            prompts.join(", ")
        ));
    }
    if machine.mcp.is_none() && args.only.contains(&Piece::Mcp) {
        notes.push(
            "tokmon-mcp was not found beside tokmonctl or on the path: no MCP server was set up.".to_owned(),
        );
    }
    if own {
        notes.push(
            "The daemon takes telemetry from its next start on: `tokmonctl daemon restart`.".to_owned(),
        );
    }
    if std::env::var_os(tokmon_proto::paths::HOME_VAR).is_some() {
        notes.push("TOKMON_HOME is set here; the agents must see the same value.".to_owned());
    }
    notes
}

/// Does it: tokmon's own configuration first, without which nothing else is done. What fails is noted in its job.
fn carry_out(jobs: &mut [Job], machine: &Machine) -> Result<(), Error> {
    if jobs.iter().any(|job| job.adds(Piece::Telemetry))
        && let Some(telemetry) = &machine.telemetry
    {
        telemetry.write_token()?;
    }
    for job in jobs {
        let own = job.name == job::OWN;
        if let Ok(steps) = &job.steps
            && let Err(error) = step::apply(steps)
        {
            if own {
                return Err(error);
            }
            job.steps = Err(error);
            job.failed_late = true;
        }
    }
    Ok(())
}

/// Asks.
fn ask() -> Result<bool, Failure> {
    show::print("Make these changes? [y/N] ")?;
    let _ = io::stdout().flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|e| Failure::io("read", "the answer", &e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The whole answer as JSON; of one agent without the list around it.
fn answer(one: Option<Target>, args: &Args, jobs: &[Job], notes: &[String], done: bool) -> serde_json::Value {
    let all: Vec<_> = jobs.iter().map(Job::as_json).collect();
    let mut value = match (one, all.as_slice()) {
        (Some(_), [.., job]) => job.clone(),
        _ => document!({ "agents": all }),
    };
    if one.is_some() {
        // tokmon's own configuration is a part of the agent's set-up.
        let files = jobs.iter().flat_map(Job::files).collect::<Vec<_>>();
        value["files"] = files.into();
    }
    let of_jobs = jobs.iter().flat_map(|job| job.notes.iter());
    value["notes"] = of_jobs.chain(notes).cloned().collect::<Vec<_>>().into();
    value["dry_run"] = args.dry_run.into();
    value["undo"] = args.undo.into();
    value["done"] = done.into();
    value
}

/// What there is to tell. A dry run has shown its diff already.
fn tell(
    args: &Args,
    one: bool,
    jobs: &[Job],
    notes: &[String],
    done: bool,
    context: &Context,
) -> Result<(), Failure> {
    let mut text = String::new();
    let screen = context.screen();
    for job in jobs {
        match &job.steps {
            Ok(steps) if done || one && !args.dry_run && !job.changes() => {
                let told = steps.iter().filter(|step| one || step.changes());
                text.extend(told.map(|step| step.told(args.undo, one)));
            }
            Err(error) if !one && job.failed_late => {
                let line = format!("{}: {}", job.name, show::clean(&error.message));
                text.push_str(&format!("{}\n", screen.fold(&line, 2)));
            }
            _ => {}
        }
    }
    let of_jobs = jobs.iter().flat_map(|job| job.notes.iter());
    for note in of_jobs.chain(notes) {
        let note = screen.fold(&format!("note: {note}"), 2);
        // What a dry run prints is a diff and nothing else.
        if args.dry_run {
            show::note(&note);
        } else {
            text.push_str(&format!("{note}\n"));
        }
    }
    show::print(&text)
}

/// Where our programs and the agents' files are.
fn machine(paths: &Paths, undo: bool, notes: &mut Vec<String>) -> Result<Machine, Error> {
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    let home = home.ok_or_else(|| invalid("no home directory: set HOME"))?;
    let ctl = std::env::current_exe().map_err(|e| io_error("find", "this program", &e))?;
    let name = format!("tokmon-mcp{}", std::env::consts::EXE_SUFFIX);
    let beside = Some(ctl.with_file_name(&name)).filter(|file| file.is_file());
    let mcp = beside
        .or_else(|| agents::on_path("tokmon-mcp"))
        .or_else(|| undo.then(|| PathBuf::from(&name)));
    let text = |path: PathBuf| -> Result<String, Error> {
        path.into_os_string().into_string().map_err(|path| {
            invalid(format!(
                "{} is not UTF-8: agents could not name it",
                path.display()
            ))
        })
    };
    let telemetry = match undo {
        true => Some(Telemetry::gone(paths)),
        false => match Telemetry::here(paths)? {
            Ok(telemetry) => Some(telemetry),
            Err(why) => {
                notes.push(why);
                None
            }
        },
    };
    let var = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let config = match cfg!(target_os = "macos") {
        true => home.join("Library/Application Support"),
        false => var("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
    };
    Ok(Machine {
        home,
        config,
        var,
        ctl: text(ctl)?,
        mcp: mcp.map(text).transpose()?,
        telemetry,
    })
}
