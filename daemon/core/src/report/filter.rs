//! Which calls count: lists of names as the caller gives them, and the same as dictionary ids.

use crate::Name;
use crate::entry::Record;
use crate::limits::MAX_NAME_BYTES;
use crate::place::{Part, Place};
use crate::refusal::Refusal;
use crate::rollup::{Dimension, Dims};

/// Most names in one list of a filter: a filter that long is a query of its own.
const MAX_FILTER_NAMES: usize = 1_000;

/// Restricts to calls where every list that is not empty contains the call's value. An empty name in a list
/// stands for calls without one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Agents.
    pub agents: Vec<String>,
    /// Models as the providers named them.
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
    /// Git branches.
    pub branches: Vec<String>,
    /// Git commits; one of at least 7 characters stands for every commit that begins with it.
    pub commits: Vec<String>,
    /// Kinds of subagents.
    pub subagents: Vec<String>,
    /// Skills.
    pub skills: Vec<String>,
    /// MCP servers.
    pub mcp_servers: Vec<String>,
}

/// The length from which on the beginning of a commit's hash names it.
const SHORT_COMMIT: usize = 7;

impl Filter {
    /// The names that a part of the place is restricted to; empty: it is not.
    pub fn parts(&self, part: Part) -> &[String] {
        match part {
            Part::Branch => &self.branches,
            Part::Commit => &self.commits,
            Part::Subagent => &self.subagents,
            Part::Skill => &self.skills,
            Part::Mcp => &self.mcp_servers,
        }
    }

    /// Some part of the place is restricted.
    pub fn has_place(&self) -> bool {
        Part::ALL.iter().any(|&part| !self.parts(part).is_empty())
    }

    /// Calls of this place count.
    pub fn matches_place(&self, place: &Place) -> bool {
        Part::ALL.iter().all(|&part| {
            let (wanted, value) = (self.parts(part), &**place.part(part));
            let short = |name: &String| {
                part == Part::Commit && name.len() >= SHORT_COMMIT && value.starts_with(name.as_str())
            };
            wanted.is_empty() || wanted.iter().any(|name| name == value || short(name))
        })
    }

    /// The names that a dimension is restricted to; empty: it is not. A place is restricted by its parts.
    pub fn names(&self, dimension: Dimension) -> &[String] {
        match dimension {
            Dimension::Agent => &self.agents,
            Dimension::Provider => &self.providers,
            Dimension::Model => &self.models,
            Dimension::Project => &self.projects,
            Dimension::Session => &self.sessions,
            Dimension::Tool => &self.tools,
            Dimension::User => &self.users,
            Dimension::Place => &[],
        }
    }

    /// Nothing is restricted.
    pub fn is_empty(&self) -> bool {
        Dimension::ALL.iter().all(|&d| self.names(d).is_empty()) && !self.has_place()
    }

    /// The filter looks at more than agent, provider and model.
    pub fn needs_full(&self) -> bool {
        let fine = |d: &Dimension| !super::is_coarse(*d) && !self.names(*d).is_empty();
        Dimension::ALL.iter().any(fine) || self.has_place()
    }

    /// Checks the lengths.
    ///
    /// # Errors
    /// A list of more than 1,000 names, or a name of more than [`MAX_NAME_BYTES`].
    pub fn validate(&self) -> Result<(), Refusal> {
        let dimensions = Dimension::ALL.map(|d| (field(d), self.names(d)));
        let parts = Part::ALL.map(|p| (field_of_part(p), self.parts(p)));
        for (field, names) in dimensions.into_iter().chain(parts) {
            if names.len() > MAX_FILTER_NAMES {
                return Err(Refusal::invalid(
                    field,
                    format!("{} names", names.len()),
                    format!("at most {MAX_FILTER_NAMES}"),
                ));
            }
            if let Some(long) = names.iter().find(|name| name.len() > MAX_NAME_BYTES) {
                return Err(Refusal::invalid(
                    field,
                    format!("a name of {} bytes", long.len()),
                    format!("at most {MAX_NAME_BYTES} bytes"),
                ));
            }
        }
        Ok(())
    }

    /// Whether a kept call counts.
    pub fn covers(&self, record: &Record) -> bool {
        let seen = &record.seen;
        let within = |names: &[String], name: &Name| names.is_empty() || names.iter().any(|n| **n == **name);
        within(&self.agents, &seen.who.agent)
            && within(&self.models, &seen.model)
            && within(&self.projects, &seen.who.project)
            && within(&self.sessions, &seen.who.session)
            && within(&self.tools, &seen.who.tool)
            && within(&self.users, &seen.who.user)
            && within(&self.providers, &seen.provider)
            && (!self.has_place() || self.matches_place(seen.place.as_deref().unwrap_or(&Place::default())))
    }

    /// Looks the names up. A name that the dictionary does not know matches nothing. `places` yields every place that
    /// the dictionary knows; it is asked only when a part of the place is restricted.
    ///
    /// # Errors
    /// Whatever the lookup fails with.
    pub fn resolve<E>(
        &self,
        mut lookup: impl FnMut(Dimension, &str) -> Result<Option<u32>, E>,
        places: impl FnOnce() -> Result<Vec<(u32, Name)>, E>,
    ) -> Result<IdFilter, E> {
        let mut resolved = IdFilter::default();
        for dimension in Dimension::ALL {
            let names = self.names(dimension);
            if names.is_empty() {
                continue;
            }
            let mut ids = Vec::with_capacity(names.len());
            for name in names {
                let id = if name.is_empty() {
                    Some(0)
                } else {
                    lookup(dimension, name)?
                };
                ids.extend(id);
            }
            ids.sort_unstable();
            resolved.restrict(dimension, ids);
        }
        if self.has_place() {
            let unknown = self.matches_place(&Place::default()).then_some(0);
            let known = (places()?.into_iter())
                .filter(|(_, text)| self.matches_place(&Place::of_text(text)))
                .map(|(id, _)| id);
            let mut ids: Vec<u32> = unknown.into_iter().chain(known).collect();
            ids.sort_unstable();
            resolved.restrict(Dimension::Place, ids);
        }
        Ok(resolved)
    }
}

/// A [`Filter`] whose names are dictionary ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdFilter {
    /// Index in [`Dims`] and the sorted ids that are allowed there.
    sets: Vec<(usize, Vec<u32>)>,
}

impl IdFilter {
    /// The call counts.
    pub fn matches(&self, dims: &Dims) -> bool {
        self.sets
            .iter()
            .all(|(at, ids)| ids.binary_search(&dims[*at]).is_ok())
    }

    fn restrict(&mut self, dimension: Dimension, sorted_ids: Vec<u32>) {
        self.sets.push((dimension as usize, sorted_ids));
    }
}

fn field(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Agent => "filter.agents",
        Dimension::Provider => "filter.providers",
        Dimension::Model => "filter.models",
        Dimension::Project => "filter.projects",
        Dimension::Session => "filter.sessions",
        Dimension::Tool => "filter.tools",
        Dimension::User => "filter.users",
        Dimension::Place => "filter.places",
    }
}

fn field_of_part(part: Part) -> &'static str {
    match part {
        Part::Branch => "filter.branches",
        Part::Commit => "filter.commits",
        Part::Subagent => "filter.subagents",
        Part::Skill => "filter.skills",
        Part::Mcp => "filter.mcp_servers",
    }
}
