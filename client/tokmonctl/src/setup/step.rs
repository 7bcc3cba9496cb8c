//! One file as it is and as it shall be, and the change from one to the other: all files of an agent or none.

use std::path::Path;

use similar::TextDiff;
use tokmon_client::Error;

use super::agents::{Content, Place};
use super::file::Found;
use super::kept::Kept;
use super::piece::Piece;
use super::telemetry;
use super::{json, toml};
use crate::config;
use crate::failure::invalid;

/// A file that holds the token is for its owner alone.
const PRIVATE: u32 = 0o600;
/// What others may not have of it.
const OTHERS: u32 = 0o077;

/// What is to be done with a piece of a file, or of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// The agent has no place for it.
    None,
    /// It is not there, and was not asked for.
    Off,
    /// It is there and stays.
    On,
    /// It will be put in, or renewed.
    Add,
    /// It will be taken out.
    Remove,
    /// Somebody else's is in its place and stays.
    Foreign,
}

impl State {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::None => "none",
            State::Off => "off",
            State::On => "on",
            State::Add => "add",
            State::Remove => "remove",
            State::Foreign => "foreign",
        }
    }
}

/// A file as it is and as it shall be.
pub(super) struct Step {
    pub(super) found: Found,
    /// The text that it shall have; `None`: there shall be no file.
    wanted: Option<String>,
    /// The mode that it shall have; `None`: the one that it has, or the usual one.
    mode: Option<u32>,
    /// The mode to be remembered with the former version.
    former_mode: Option<u32>,
    kept: Kept,
    /// The former version has nothing of ours: it is kept.
    keep: bool,
    /// What is remembered of the former version holds for what will be written, too.
    exact: bool,
    /// Everything of ours goes.
    ends: bool,
    /// It is tokmon's own: its daemon has to accept it.
    own: bool,
    /// Entries of somebody else by the names of ours.
    pub(super) foreign: Vec<String>,
    /// What becomes of each piece.
    pub(super) states: Vec<(Piece, State)>,
}

impl Step {
    /// What is to be done about one file.
    pub(super) fn plan(
        place: &Place,
        dir: &Path,
        undo: bool,
        pieces: &[Piece],
        token: Option<&str>,
    ) -> Result<Step, Error> {
        let found = Found::at(&place.file)?;
        let named = |problem: String| {
            let message = format!("{}: {problem}; nothing was changed", found.path.display());
            invalid(message)
        };
        let kept = Kept::of(dir, &place.file);
        let (text, content) = (found.text.as_deref(), &place.content);
        let bare = without(content, text, &kept).map_err(named)?;
        let clean = bare == found.text;
        let before = kept.exact(text)?;
        let exact = before.is_some();
        let chosen = content.only(pieces);
        let (wanted, foreign, ends) = if undo {
            let rest = without(&chosen, text, &kept).map_err(named)?;
            let all = rest == bare;
            match before {
                // Nobody changed anything since: the former version, to the byte.
                Some(before) if !clean && all => (before, Vec::new(), true),
                _ => (rest, Vec::new(), all),
            }
        } else {
            let (wanted, foreign) = with(&chosen, text).map_err(named)?;
            (wanted, foreign, false)
        };
        let mut states = Vec::new();
        for piece in Piece::ALL {
            let part = content.only(&[piece]);
            if !part.is_empty() {
                let asked = pieces.contains(&piece);
                states.push((piece, state(&part, text, &kept, undo, asked).map_err(named)?));
            }
        }
        let secret = |text: Option<&str>| token.is_some_and(|token| text.is_some_and(|t| t.contains(token)));
        let (mut mode, mut former_mode) = (None, kept.former_mode()?);
        if !undo && secret(wanted.as_deref()) && found.mode.is_none_or(|now| now & OTHERS != 0) {
            mode = Some(PRIVATE);
            former_mode = found.mode.or(former_mode);
        } else if undo && !secret(wanted.as_deref()) && found.mode == Some(PRIVATE) {
            mode = former_mode.take();
        }
        Ok(Step {
            keep: clean && !undo,
            exact: exact || clean,
            ends,
            own: matches!(content, Content::Own),
            found,
            wanted,
            mode,
            former_mode,
            kept,
            foreign,
            states,
        })
    }

    pub(super) fn changes(&self) -> bool {
        self.found.text != self.wanted || self.wanted.is_some() && self.mode.is_some()
    }

    pub(super) fn action(&self) -> &'static str {
        match (&self.found.text, &self.wanted) {
            _ if !self.changes() => "none",
            (None, _) => "create",
            (_, None) => "remove",
            _ => "change",
        }
    }

    /// What changes, without the token.
    pub(super) fn diff(&self, token: Option<&str>) -> String {
        let name = self.found.path.display().to_string();
        let side = |text: &Option<String>| text.as_ref().map_or("/dev/null".to_owned(), |_| name.clone());
        let (old, new) = (self.found.text(), self.wanted.as_deref().unwrap_or_default());
        let diff = TextDiff::from_lines(old, new)
            .unified_diff()
            .context_radius(3)
            .header(&side(&self.found.text), &side(&self.wanted))
            .to_string();
        token.map_or(diff.clone(), |token| diff.replace(token, "…"))
    }

    /// What was done, or is so already; with where the former version is, if that is asked for.
    pub(super) fn told(&self, undo: bool, former: bool) -> String {
        let file = self.found.path.display();
        let mut line = match self.action() {
            "none" if undo => format!("{file}: nothing of ours"),
            "none" => format!("{file}: up to date"),
            "create" => format!("{file}: written"),
            "remove" => format!("{file}: removed"),
            _ if former && self.keep && self.found.text.is_some() => {
                format!(
                    "{file}: changed; the former version is {}",
                    self.kept.before().display()
                )
            }
            _ => format!("{file}: changed"),
        };
        if let (Some(new), Some(old)) = (self.mode, self.found.mode) {
            line.push_str(&format!("; its mode was {old:o} and is {new:o}"));
        }
        line + "\n"
    }

    fn remember(&self) -> Result<(), Error> {
        if self.keep {
            self.kept.keep(self.found.text.as_deref())?;
        }
        let after = self.wanted.as_deref().filter(|_| self.exact && !self.ends);
        self.kept.note(after)?;
        self.kept.note_mode(self.former_mode)
    }

    fn write(&self) -> Result<(), Error> {
        if let (true, Some(text)) = (self.own, &self.wanted) {
            config::accepts(&self.found.path, text)?;
        }
        self.remember()?;
        self.found.replace(self.wanted.as_deref(), self.mode)
    }

    fn take_back(&self) -> Result<(), Error> {
        let written = Found {
            text: self.wanted.clone(),
            ..self.found.clone()
        };
        written.replace(self.found.text.as_deref(), self.found.mode)
    }
}

/// Writes all files, or puts back those that were written when one fails.
pub(super) fn apply(steps: &[Step]) -> Result<(), Error> {
    let mut done: Vec<&Step> = Vec::new();
    for step in steps.iter().filter(|step| step.changes()) {
        if let Err(error) = step.write() {
            for step in done {
                // The first failure is the one to tell.
                let _ = step.take_back();
            }
            return Err(error.with_hint("the configuration is as it was"));
        }
        done.push(step);
    }
    Ok(())
}

fn state(part: &Content, text: Option<&str>, kept: &Kept, undo: bool, asked: bool) -> Result<State, String> {
    let there = without(part, text, kept)?.as_deref() != text;
    if undo || !asked {
        return Ok(match (there, undo && asked) {
            (false, _) => State::Off,
            (true, true) => State::Remove,
            (true, false) => State::On,
        });
    }
    let (wanted, foreign) = with(part, text)?;
    Ok(if wanted.as_deref() != text {
        State::Add
    } else if !foreign.is_empty() {
        State::Foreign
    } else {
        State::On
    })
}

/// The text with what is ours, and what of somebody else's is in its way.
fn with(content: &Content, text: Option<&str>) -> Result<(Option<String>, Vec<String>), String> {
    if content.is_empty() {
        return Ok((text.map(str::to_owned), Vec::new()));
    }
    let (changed, foreign) = match content {
        Content::Json(edits) => json::install(text.unwrap_or_default(), edits)?,
        Content::Toml(edits) => toml::install(text.unwrap_or_default(), edits)?,
        Content::Own => (telemetry::switched_on(text.unwrap_or_default())?, Vec::new()),
        Content::Nothing => return Ok((text.map(str::to_owned), Vec::new())),
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
fn without(content: &Content, text: Option<&str>, kept: &Kept) -> Result<Option<String>, String> {
    let Some(text) = text else { return Ok(None) };
    let (rest, is_empty): (String, fn(&str) -> bool) = match content {
        Content::Json(edits) => (json::remove(text, edits)?, json::is_empty),
        Content::Toml(edits) => (toml::remove(text, edits)?, toml::is_empty),
        // Only what we switched on is switched off again.
        Content::Own if kept.is_any() => (telemetry::switched_off(text)?, toml::is_empty),
        Content::Whole { mark, .. } if text.starts_with(mark) => return Ok(None),
        Content::Own | Content::Nothing | Content::Whole { .. } => return Ok(Some(text.to_owned())),
    };
    Ok((rest == text || !is_empty(&rest)).then_some(rest))
}
