//! Which acts are asked for.

use super::{Act, What};
use crate::limits::MAX_NAME_BYTES;
use crate::refusal::Refusal;

/// Most names in one list.
const MAX_NAMES: usize = 100;

/// Restricts to acts for which every list that is not empty contains the act's value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActFilter {
    /// Budgets: the one that an act is about or that decided, or one in shadow mode that would have refused.
    pub budgets: Vec<String>,
    /// Sessions.
    pub sessions: Vec<String>,
    /// Agents.
    pub agents: Vec<String>,
    /// Names of [`What`].
    pub decisions: Vec<String>,
}

impl ActFilter {
    /// Checks the lists.
    ///
    /// # Errors
    /// One is too long, a name is too long, or there is no decision of that name.
    pub fn validate(&self) -> Result<(), Refusal> {
        for (field, list) in [
            ("budgets", &self.budgets),
            ("sessions", &self.sessions),
            ("agents", &self.agents),
            ("decisions", &self.decisions),
        ] {
            if list.len() > MAX_NAMES {
                let allowed = format!("at most {MAX_NAMES}");
                return Err(Refusal::invalid(field, format!("{} names", list.len()), allowed));
            }
            if let Some(long) = list.iter().find(|name| name.len() > MAX_NAME_BYTES) {
                let allowed = format!("at most {MAX_NAME_BYTES}");
                return Err(Refusal::invalid(
                    field,
                    format!("a name of {} bytes", long.len()),
                    allowed,
                ));
            }
        }
        let known = |name: &String| What::ALL.iter().any(|what| what.name() == name);
        if let Some(strange) = self.decisions.iter().find(|name| !known(name)) {
            let problem = format!("{:?} is not known", strange.chars().take(80).collect::<String>());
            let names = What::ALL.map(What::name).join(", ");
            return Err(Refusal::invalid("decisions", problem, names));
        }
        Ok(())
    }

    /// Whether an act is asked for.
    pub fn matches(&self, act: &Act) -> bool {
        let within = |list: &[String], value: &str| list.is_empty() || list.iter().any(|v| v == value);
        let shadows = act.grounds.iter().flat_map(|grounds| &grounds.would_deny);
        let budget = within(&self.budgets, &act.budget)
            || shadows
                .into_iter()
                .any(|name| self.budgets.iter().any(|b| **b == **name));
        budget
            && within(&self.sessions, &act.caller.session)
            && within(&self.agents, &act.caller.agent)
            && within(&self.decisions, act.what.name())
    }
}
