//! Which calls count: lists of names as the caller gives them, and the same as dictionary ids.

use crate::limits::MAX_NAME_BYTES;
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
}

impl Filter {
    /// The names that a dimension is restricted to; empty: it is not.
    pub fn names(&self, dimension: Dimension) -> &[String] {
        match dimension {
            Dimension::Agent => &self.agents,
            Dimension::Provider => &self.providers,
            Dimension::Model => &self.models,
            Dimension::Project => &self.projects,
            Dimension::Session => &self.sessions,
            Dimension::Tool => &self.tools,
            Dimension::User => &self.users,
        }
    }

    /// Nothing is restricted.
    pub fn is_empty(&self) -> bool {
        Dimension::ALL.iter().all(|&d| self.names(d).is_empty())
    }

    /// The filter looks at more than agent, provider and model.
    pub fn needs_full(&self) -> bool {
        Dimension::ALL
            .iter()
            .any(|&d| !super::is_coarse(d) && !self.names(d).is_empty())
    }

    /// Checks the lengths.
    ///
    /// # Errors
    /// A list of more than 1,000 names, or a name of more than [`MAX_NAME_BYTES`].
    pub fn validate(&self) -> Result<(), Refusal> {
        for dimension in Dimension::ALL {
            let names = self.names(dimension);
            if names.len() > MAX_FILTER_NAMES {
                return Err(Refusal::invalid(
                    field(dimension),
                    format!("{} names", names.len()),
                    format!("at most {MAX_FILTER_NAMES}"),
                ));
            }
            if let Some(long) = names.iter().find(|name| name.len() > MAX_NAME_BYTES) {
                return Err(Refusal::invalid(
                    field(dimension),
                    format!("a name of {} bytes", long.len()),
                    format!("at most {MAX_NAME_BYTES} bytes"),
                ));
            }
        }
        Ok(())
    }

    /// Whether a call with these names counts, for readers that have names instead of ids.
    pub fn matches<'a>(&self, name: impl Fn(Dimension) -> &'a str) -> bool {
        Dimension::ALL.iter().all(|&dimension| {
            let names = self.names(dimension);
            names.is_empty() || names.iter().any(|wanted| wanted == name(dimension))
        })
    }

    /// Looks the names up. A name that the dictionary does not know matches nothing.
    ///
    /// # Errors
    /// Whatever the lookup fails with.
    pub fn resolve<E>(
        &self,
        mut lookup: impl FnMut(Dimension, &str) -> Result<Option<u32>, E>,
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
    }
}
