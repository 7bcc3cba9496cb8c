//! What a budget covers: a conjunction of lists of names.

use serde::{Deserialize, Serialize};

use super::Caller;
use crate::entry::Record;
use crate::limits::MAX_NAME_BYTES;
use crate::refusal::Refusal;

/// Most values in one list: every record is compared with each.
const MAX_VALUES: usize = 100;

/// What a budget covers: calls for which every non-empty list contains the call's value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// Agents.
    pub agents: Vec<String>,
    /// Models as the provider names them.
    pub models: Vec<String>,
    /// Projects.
    pub projects: Vec<String>,
    /// Sessions.
    pub sessions: Vec<String>,
    /// Tools.
    pub tools: Vec<String>,
    /// Users.
    pub users: Vec<String>,
    /// Providers.
    pub providers: Vec<String>,
    /// Tasks.
    pub tasks: Vec<String>,
}

/// The names that decide whether a call is covered.
struct Names<'a> {
    agent: &'a str,
    model: &'a str,
    project: &'a str,
    session: &'a str,
    tool: &'a str,
    user: &'a str,
    provider: &'a str,
    task: &'a str,
}

impl Scope {
    /// The lists with the names that the contract calls them by.
    fn lists(&self) -> [(&'static str, &Vec<String>); 8] {
        [
            ("scope.agents", &self.agents),
            ("scope.models", &self.models),
            ("scope.projects", &self.projects),
            ("scope.sessions", &self.sessions),
            ("scope.tools", &self.tools),
            ("scope.users", &self.users),
            ("scope.providers", &self.providers),
            ("tasks", &self.tasks),
        ]
    }

    /// Checks every list.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        for (field, list) in self.lists() {
            if list.len() > MAX_VALUES {
                let allowed = format!("at most {MAX_VALUES}");
                return Err(Refusal::invalid(field, format!("{} values", list.len()), allowed));
            }
            if let Some(long) = list.iter().find(|value| value.len() > MAX_NAME_BYTES) {
                let allowed = format!("at most {MAX_NAME_BYTES}");
                return Err(Refusal::invalid(
                    field,
                    format!("a name of {} bytes", long.len()),
                    allowed,
                ));
            }
        }
        Ok(())
    }

    /// Whether a call of somebody falls under the budget.
    pub fn covers(&self, caller: &Caller) -> bool {
        self.covers_names(&Names {
            agent: &caller.agent,
            model: &caller.model,
            project: &caller.project,
            session: &caller.session,
            tool: &caller.tool,
            user: &caller.user,
            provider: &caller.provider,
            task: &caller.task,
        })
    }

    /// Whether a call that was made falls under the budget.
    pub(crate) fn covers_record(&self, record: &Record) -> bool {
        let (seen, who) = (&record.seen, &record.seen.who);
        self.covers_names(&Names {
            agent: &who.agent,
            model: &seen.model,
            project: &who.project,
            session: &who.session,
            tool: &who.tool,
            user: &who.user,
            provider: &seen.provider,
            task: &seen.task,
        })
    }

    fn covers_names(&self, names: &Names<'_>) -> bool {
        let within = |list: &[String], value: &str| list.is_empty() || list.iter().any(|v| v == value);
        within(&self.agents, names.agent)
            && within(&self.models, names.model)
            && within(&self.projects, names.project)
            && within(&self.sessions, names.session)
            && within(&self.tools, names.tool)
            && within(&self.users, names.user)
            && within(&self.providers, names.provider)
            && within(&self.tasks, names.task)
    }

    /// Whether nothing but the session decides what it covers.
    pub(super) fn goes_by_session(&self) -> bool {
        self.lists()
            .iter()
            .all(|(field, list)| list.is_empty() || *field == "scope.sessions")
    }
}
