//! `tokmonctl setup AGENT`: puts our hooks and the MCP server into the agent's own configuration, and takes them out
//! again. Every file is planned before any is written; what is not ours is never touched.

mod agents;
mod edit;
mod file;
mod json;
mod toml;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json as document};
use similar::TextDiff;
use tokmon_client::{Error, Paths};

use crate::context::Context;
use crate::failure::{Failure, invalid, io_error};
use crate::hook::Agent;
use crate::show::{self, json as to_json};
use agents::{Content, Machine, Place};
use file::Found;

/// Arguments of `setup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes into the agent's own files: hooks that stop it when a budget with action deny has nothing left, and tokmon's \
MCP server. Comments and everything else in the files stay; the former version of each file is kept in tokmon's own \
directory. On a terminal it shows the changes and asks first; --yes does not ask. Running it again changes nothing.")]
pub(crate) struct Args {
    /// claude-code, codex, gemini-cli, copilot-cli, qwen-code, cursor or opencode
    agent: String,
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

/// A file as it is and as it shall be.
struct Step {
    found: Found,
    /// The text that it shall have; `None`: there shall be no file.
    wanted: Option<String>,
    /// Where its former version is kept.
    kept: PathBuf,
    /// The former version has nothing of ours: it is kept.
    keep: bool,
    /// Entries of somebody else by the names of ours.
    foreign: Vec<String>,
}

impl Step {
    fn changes(&self) -> bool {
        self.found.text != self.wanted
    }

    fn action(&self) -> &'static str {
        match (&self.found.text, &self.wanted) {
            _ if !self.changes() => "none",
            (None, _) => "create",
            (_, None) => "remove",
            _ => "change",
        }
    }

    fn diff(&self) -> String {
        let name = self.found.path.display().to_string();
        let side = |text: &Option<String>| text.as_ref().map_or("/dev/null".to_owned(), |_| name.clone());
        let (old, new) = (self.found.text(), self.wanted.as_deref().unwrap_or_default());
        TextDiff::from_lines(old, new)
            .unified_diff()
            .context_radius(3)
            .header(&side(&self.found.text), &side(&self.wanted))
            .to_string()
    }
}

/// `tokmonctl setup`.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let agent = Agent::named(&args.agent)?;
    let paths = Paths::from_env().map_err(|e| invalid(e.to_string()))?;
    let machine = machine(args.undo)?;
    let plan = agents::plan(agent, &machine);
    let mut notes = if args.undo { Vec::new() } else { plan.notes };
    let kept = paths.state_dir.join("setup").join(agent.name());
    let mut steps = Vec::new();
    for place in &plan.places {
        steps.push(step(place, &kept, args.undo)?);
    }
    for step in &steps {
        for name in &step.foreign {
            let file = step.found.path.display();
            notes.push(format!(
                "{file} has an entry `{name}` that is not ours; it was left as it is."
            ));
        }
    }
    if machine.mcp.is_none() {
        notes.push(
            "tokmon-mcp was not found beside tokmonctl or on the path: no MCP server was set up.".to_owned(),
        );
    }
    if !args.undo && std::env::var_os(tokmon_proto::paths::HOME_VAR).is_some() {
        notes.push("TOKMON_HOME is set here; the agent's hooks must see the same value.".to_owned());
    }
    let changes = steps.iter().any(Step::changes);
    let diffs: String = steps
        .iter()
        .filter(|step| step.changes())
        .map(Step::diff)
        .collect();
    if args.dry_run {
        if !context.json {
            show::print(if changes {
                &diffs
            } else {
                "Nothing would change.\n"
            })?;
        }
    } else if changes {
        if !args.yes && !context.json && io::stdin().is_terminal() && !agreed(&diffs)? {
            return show::print("Nothing was changed.\n");
        }
        apply(&steps)?;
    }
    tell(agent, args, context, &steps, &notes)
}

/// Whether everything of ours is in an agent's configuration already.
pub(crate) fn is_done(agent: Agent) -> bool {
    let (Ok(machine), Ok(paths)) = (machine(false), Paths::from_env()) else {
        return false;
    };
    let kept = paths.state_dir.join("setup").join(agent.name());
    let plan = agents::plan(agent, &machine);
    let done = |place: &Place| step(place, &kept, false).is_ok_and(|step| !step.changes());
    !plan.places.is_empty() && plan.places.iter().all(done)
}

/// Shows the changes and asks.
fn agreed(diffs: &str) -> Result<bool, Failure> {
    show::print(diffs)?;
    show::print("Make these changes? [y/N] ")?;
    let _ = io::stdout().flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|e| Failure::io("read", "the answer", &e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What there is to tell. A dry run has shown its diff already.
fn tell(
    agent: Agent,
    args: &Args,
    context: &Context,
    steps: &[Step],
    notes: &[String],
) -> Result<(), Failure> {
    if context.json {
        let files: Vec<Value> = steps
            .iter()
            .map(|step| document!({"path": step.found.path.display().to_string(), "action": step.action()}))
            .collect();
        let value = document!({"agent": agent.name(), "dry_run": args.dry_run, "undo": args.undo, "files": files, "notes": notes});
        return show::print(&to_json::document(&value));
    }
    let mut text = String::new();
    if !args.dry_run {
        for step in steps {
            let file = step.found.path.display();
            text.push_str(&match step.action() {
                "none" if args.undo => format!("{file}: nothing of ours\n"),
                "none" => format!("{file}: up to date\n"),
                "create" => format!("{file}: written\n"),
                "remove" => format!("{file}: removed\n"),
                _ if step.keep => format!("{file}: changed; the former version is {}\n", step.kept.display()),
                _ => format!("{file}: changed\n"),
            });
        }
    }
    let screen = context.screen();
    for note in notes {
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

/// Writes all files, or puts back those that were written when one fails.
fn apply(steps: &[Step]) -> Result<(), Error> {
    let mut done: Vec<&Step> = Vec::new();
    for step in steps.iter().filter(|step| step.changes()) {
        let kept = match &step.found.text {
            _ if !step.keep => Ok(()),
            Some(text) => file::keep(&step.kept, text).and_then(|()| file::forget(&absent(&step.kept))),
            None => file::keep(&absent(&step.kept), "").and_then(|()| file::forget(&step.kept)),
        };
        if let Err(error) = kept.and_then(|()| step.found.replace(step.wanted.as_deref())) {
            for step in done {
                let written = Found {
                    text: step.wanted.clone(),
                    ..step.found.clone()
                };
                // The first failure is the one to tell.
                let _ = written.replace(step.found.text.as_deref());
            }
            return Err(error.with_hint("the agent's configuration is as it was"));
        }
        done.push(step);
    }
    Ok(())
}

/// What is kept of a file that was not there.
fn absent(kept: &std::path::Path) -> PathBuf {
    kept.with_extension("absent")
}

/// What is to be done about one file.
fn step(place: &Place, kept: &std::path::Path, undo: bool) -> Result<Step, Error> {
    let found = Found::at(&place.file)?;
    let named = |problem: String| {
        let message = format!("{}: {problem}; nothing was changed", found.path.display());
        invalid(message)
    };
    let name = place.file.file_name().unwrap_or_default().to_string_lossy();
    let kept = kept.join(format!("{name}.before"));
    let bare = without(&place.content, found.text.as_deref()).map_err(named)?;
    let clean = bare == found.text;
    let (wanted, foreign) = if undo {
        let before = Found::at(&kept)?.text;
        let was_none = absent(&kept).exists();
        // Nobody changed anything since: the former version, to the byte.
        let exact = (before.is_some() || was_none)
            && with(&place.content, before.as_deref()).is_ok_and(|(again, _)| again == found.text);
        (if exact && !clean { before } else { bare }, Vec::new())
    } else {
        with(&place.content, found.text.as_deref()).map_err(named)?
    };
    Ok(Step {
        keep: clean && !undo,
        found,
        wanted,
        kept,
        foreign,
    })
}

/// The text with what is ours, and what of somebody else's is in its way.
fn with(content: &Content, text: Option<&str>) -> Result<(Option<String>, Vec<String>), String> {
    let (changed, foreign) = match content {
        Content::Json(edits) if edits.is_empty() => return Ok((text.map(str::to_owned), Vec::new())),
        Content::Toml(edits) if edits.is_empty() => return Ok((text.map(str::to_owned), Vec::new())),
        Content::Json(edits) => json::install(text.unwrap_or_default(), edits)?,
        Content::Toml(edits) => toml::install(text.unwrap_or_default(), edits)?,
        Content::Whole { text: ours, mark } => match text {
            Some(other) if !other.starts_with(mark) => {
                return Err("a file of this name is not ours".to_owned());
            }
            _ => (ours.clone(), Vec::new()),
        },
    };
    Ok((Some(changed), foreign))
}

/// The text without what is ours; `None` when nothing else is left in it.
fn without(content: &Content, text: Option<&str>) -> Result<Option<String>, String> {
    let Some(text) = text else { return Ok(None) };
    let (rest, is_empty): (String, fn(&str) -> bool) = match content {
        Content::Json(edits) => (json::remove(text, edits)?, json::is_empty),
        Content::Toml(edits) => (toml::remove(text, edits)?, toml::is_empty),
        Content::Whole { mark, .. } if text.starts_with(mark) => return Ok(None),
        Content::Whole { .. } => return Ok(Some(text.to_owned())),
    };
    Ok((rest == text || !is_empty(&rest)).then_some(rest))
}

/// Where our programs and the agents' files are.
fn machine(undo: bool) -> Result<Machine, Error> {
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    let home = home.ok_or_else(|| invalid("no home directory: set HOME"))?;
    let ctl = std::env::current_exe().map_err(|e| io_error("find", "this program", &e))?;
    let name = format!("tokmon-mcp{}", std::env::consts::EXE_SUFFIX);
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|dir| dir.join(&name))
            .find(|file| file.is_file())
    };
    let beside = Some(ctl.with_file_name(&name)).filter(|file| file.is_file());
    let mcp = beside
        .or_else(on_path)
        .or_else(|| undo.then(|| PathBuf::from(&name)));
    let text = |path: PathBuf| -> Result<String, Error> {
        path.into_os_string().into_string().map_err(|path| {
            invalid(format!(
                "{} is not UTF-8: agents could not name it",
                path.display()
            ))
        })
    };
    Ok(Machine {
        home,
        var: |name| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        },
        ctl: text(ctl)?,
        mcp: mcp.map(text).transpose()?,
    })
}
