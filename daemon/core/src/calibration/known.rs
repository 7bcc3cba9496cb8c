//! Everything that was learned, by agent and model: a fold over the bills in the ledger.

use serde::{Deserialize, Serialize};

use super::{Bill, Calibration, Prior};
use crate::Name;
use crate::limits::MAX_CALIBRATIONS;

/// See the module. Bounded: past [`MAX_CALIBRATIONS`] the one that learned nothing for longest is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calibrations {
    known: Vec<Known>,
}

/// What is known of one model with one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Whose conversations.
    pub agent: Name,
    /// The model, in its one spelling.
    pub model: Name,
    /// When the last bill was written that it learned from, milliseconds since the epoch.
    pub at_ms: i64,
    /// What was learned.
    pub calibration: Calibration,
}

impl Calibrations {
    /// Whether a bill of this instant is later than all that were learned of its agent and model: reading a
    /// transcript again teaches nothing twice.
    pub fn is_new(&self, agent: &str, model: &str, at_ms: i64) -> bool {
        self.entry(agent, model).is_none_or(|known| known.at_ms < at_ms)
    }

    /// Learns.
    pub fn learn(&mut self, bill: &Bill) {
        let at = match self.place(&bill.agent, &bill.model) {
            Some(at) => at,
            None => self.begin(bill),
        };
        let known = &mut self.known[at];
        known.at_ms = known.at_ms.max(bill.at_ms);
        known.calibration.learn(bill.measure, bill.bytes, bill.billed);
    }

    fn begin(&mut self, bill: &Bill) -> usize {
        if self.known.len() >= MAX_CALIBRATIONS {
            let silent = self.known.iter().enumerate().min_by_key(|(_, known)| known.at_ms);
            if let Some((at, _)) = silent {
                self.known.remove(at);
            }
        }
        self.known.push(Known {
            agent: bill.agent.clone(),
            model: bill.model.clone(),
            at_ms: i64::MIN,
            calibration: self.relative(bill.prior),
        });
        self.known.len() - 1
    }

    /// The beginning of a model of which no bill was seen: what most bills of the same tokenizer taught, or the prior.
    pub fn relative(&self, prior: Prior) -> Calibration {
        let same = self.known.iter().map(|known| &known.calibration);
        let same = same.filter(|one| one.prior() == prior && one.is_known());
        match same.max_by_key(|one| one.observations()) {
            Some(relative) => Calibration::like(relative),
            None => Calibration::new(prior),
        }
    }

    /// What is known of the model: with this agent, or else with the one that most bills came from. The model is in
    /// its one spelling.
    pub fn get(&self, agent: &str, model: &str) -> Option<&Calibration> {
        let own = self.entry(agent, model).map(|known| &known.calibration);
        let any = || {
            let of_model = self.known.iter().filter(|known| &*known.model == model);
            of_model
                .map(|known| &known.calibration)
                .max_by_key(|calibration| calibration.observations())
        };
        own.filter(|calibration| calibration.is_known()).or_else(any)
    }

    /// Everything that is known, in the order in which it was begun.
    pub fn iter(&self) -> impl Iterator<Item = &Known> {
        self.known.iter()
    }

    fn place(&self, agent: &str, model: &str) -> Option<usize> {
        let same = |known: &Known| &*known.model == model && &*known.agent == agent;
        self.known.iter().position(same)
    }

    fn entry(&self, agent: &str, model: &str) -> Option<&Known> {
        self.place(agent, model).map(|at| &self.known[at])
    }
}
