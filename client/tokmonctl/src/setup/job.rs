//! All that is to be done for one agent, or why nothing is.

use serde_json::{Value, json};
use tokmon_client::{Error, Paths};

use super::agents::Machine;
use super::piece::Piece;
use super::step::{State, Step};
use super::target::Target;
use super::telemetry;

/// The name of the job that changes tokmon's own configuration.
pub(super) const OWN: &str = "tokmon";

/// The work on one agent.
pub(super) struct Job {
    pub(super) name: &'static str,
    /// The name under which the daemon reads its files, if it does.
    pub(super) source: Option<&'static str>,
    /// Its files, or what is wrong with them: all or nothing.
    pub(super) steps: Result<Vec<Step>, Error>,
    /// It failed while it was carried out, not before.
    pub(super) failed_late: bool,
    /// What the user has to do or to know.
    pub(super) notes: Vec<String>,
    /// Its hooks ask before each prompt only.
    pub(super) only_at_prompts: bool,
}

impl Job {
    /// What is to be done for an agent.
    pub(super) fn plan(
        target: Target,
        machine: &Machine,
        paths: &Paths,
        undo: bool,
        pieces: &[Piece],
    ) -> Job {
        let plan = target.plan(machine);
        let dir = paths.state_dir.join("setup").join(target.name());
        let token = (machine.telemetry.as_ref()).and_then(telemetry::Telemetry::token);
        let steps = plan.places.iter();
        let steps = steps
            .map(|place| Step::plan(place, &dir, undo, pieces, token))
            .collect();
        let mut job = Job {
            name: target.name(),
            source: target.source(),
            steps,
            failed_late: false,
            notes: Vec::new(),
            only_at_prompts: plan.only_at_prompts,
        };
        let told = plan
            .notes
            .into_iter()
            .filter(|(piece, _)| pieces.contains(piece) && !undo);
        // What has to be done by hand is told as long as there is anything to do.
        job.notes = match job.changes() {
            true => told.map(|(_, note)| note).collect(),
            false => Vec::new(),
        };
        for step in job.steps.iter().flatten() {
            let file = step.found.path.display();
            for name in &step.foreign {
                let beside = match name.as_str() {
                    "statusLine" => " `tokmonctl statusline` can be called from it.",
                    _ => "",
                };
                job.notes.push(format!(
                    "{file} has an entry `{name}` that is not ours; it was left as it is.{beside}"
                ));
            }
        }
        job
    }

    /// What is to be done in tokmon's own configuration.
    pub(super) fn own(paths: &Paths, undo: bool, pieces: &[Piece]) -> Job {
        let dir = paths.state_dir.join("setup").join(OWN);
        let step = Step::plan(&telemetry::own_place(paths), &dir, undo, pieces, None);
        Job {
            name: OWN,
            source: None,
            steps: step.map(|step| vec![step]),
            failed_late: false,
            notes: Vec::new(),
            only_at_prompts: false,
        }
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().flatten()
    }

    pub(super) fn changes(&self) -> bool {
        self.steps().any(Step::changes)
    }

    /// Whether all that was asked for is there.
    pub(super) fn is_done(&self) -> bool {
        self.steps().next().is_some() && !self.changes()
    }

    /// What becomes of a piece.
    pub(super) fn state(&self, piece: Piece) -> State {
        let states = self.steps().flat_map(|step| &step.states);
        let ours = states.filter(|(of, _)| *of == piece).map(|(_, state)| *state);
        ours.max().unwrap_or(State::None)
    }

    /// Whether a piece is there or will be.
    pub(super) fn has(&self, piece: Piece) -> bool {
        matches!(self.state(piece), State::On | State::Add | State::Remove)
    }

    /// Whether a piece will be put in.
    pub(super) fn adds(&self, piece: Piece) -> bool {
        self.state(piece) == State::Add
    }

    /// What changes in its files.
    pub(super) fn diff(&self, token: Option<&str>) -> String {
        let changed = self.steps().filter(|step| step.changes());
        changed.map(|step| step.diff(token)).collect()
    }

    /// Its files and what happens to each.
    pub(super) fn files(&self) -> Vec<Value> {
        let file =
            |step: &Step| json!({"path": step.found.path.display().to_string(), "action": step.action()});
        self.steps().map(file).collect()
    }

    pub(super) fn as_json(&self) -> Value {
        let pieces = Piece::ALL.map(|piece| (piece.name().to_owned(), self.state(piece).name().into()));
        json!({
            "agent": self.name,
            "pieces": pieces.into_iter().collect::<serde_json::Map<_, Value>>(),
            "files": self.files(),
            "error": self.steps.as_ref().err().map(|error| error.message.as_str()),
        })
    }
}
