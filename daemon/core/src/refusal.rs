//! Why a rule said no to a request. Each names what was wrong and what is allowed.

/// A request that the rules refuse; the ledger stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field is wrong.
    #[error("{field}: {problem}; allowed: {allowed}")]
    Invalid {
        /// The field's name as the caller knows it.
        field: &'static str,
        /// What is wrong with the value.
        problem: String,
        /// What would be right.
        allowed: String,
    },
    /// There is no such thing.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for, e.g. `session "abc"`.
        what: String,
    },
    /// It exists already.
    #[error("{what} exists already")]
    Conflict {
        /// What exists.
        what: String,
    },
}

impl Refusal {
    /// A wrong field.
    pub fn invalid(field: &'static str, problem: impl Into<String>, allowed: impl Into<String>) -> Refusal {
        Refusal::Invalid {
            field,
            problem: problem.into(),
            allowed: allowed.into(),
        }
    }
}
