//! What the ledger accepted: entries, in one sequence, never changed afterwards.

use std::sync::Arc;

use crate::Name;
use crate::actor::Actor;
use crate::budget::{End, Estimate, Grounds, Lift, Reservation};
use crate::denial::Denial;
use crate::merge::Candidate;
use crate::money::Pico;
use crate::observation::Observation;
use crate::quota::Reading;
use crate::runaway::Episode;
use crate::task::Allocation;

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Position: contiguous from 1, the only order that matters.
    pub seq: u64,
    /// When the ledger accepted it, milliseconds since the epoch.
    pub recorded_at_ms: i64,
    /// Who asked for it. `None`: nobody did (a call that was read, a time that was over), or it is not known.
    pub by: Option<Arc<Actor>>,
    /// What happened.
    pub body: Body,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A call that was not known before.
    Usage(Box<Record>),
    /// A better record of a call that was known, or the same record at another price.
    Amend {
        /// The entry that this one replaces.
        replaces: u64,
        /// Why.
        reason: AmendReason,
        /// The whole record as it stands now.
        record: Box<Record>,
    },
    /// The current session of an agent was ended and a new one started.
    SessionReset {
        /// Whose session.
        agent: Name,
        /// Empty when there was none.
        ended: Name,
        /// Id of the new session.
        started: Name,
    },
    /// A budget was set (created or replaced): its JSON form.
    BudgetSet(Name),
    /// A budget was removed.
    BudgetRemoved(Name),
    /// A budget's threshold was crossed.
    BudgetAlert {
        /// The budget's name.
        budget: Name,
        /// The threshold, percent.
        threshold: u32,
        /// Used share at that moment, percent, rounded down.
        percent: u32,
        /// The window's start, milliseconds; 0 for lifetime.
        window_start_ms: i64,
        /// One sentence for people.
        message: Name,
    },
    /// A session may be running away.
    Runaway(Box<Episode>),
    /// A budget's limit was raised for a while.
    BudgetLifted {
        /// The budget's name.
        budget: Name,
        /// By how much, until when.
        lift: Lift,
    },
    /// What was lifted is taken back.
    BudgetUnlifted {
        /// The budget's name.
        budget: Name,
        /// For this session only; empty: all of it.
        session: Name,
    },
    /// A reservation was granted, and why; `None`: that is not known, the entry is an old one.
    Reserved(Box<Reservation>, Option<Box<Grounds>>),
    /// Reservations were refused.
    Denied(Box<Denial>),
    /// An open reservation holds another amount from here on.
    Extended {
        /// Its id.
        id: Name,
        /// Whose it is.
        whose: Box<Whose>,
        /// Why there was room. `None`: it is not known, the entry is an old one.
        grounds: Option<Box<Grounds>>,
        /// The whole of what it holds now.
        estimate: Estimate,
        /// When it expires now.
        expires_at_ms: i64,
    },
    /// A reservation ended. The usage that it was settled with is an entry of its own, right after this one.
    Resolved {
        /// Its id.
        id: Name,
        /// Whose it is.
        whose: Box<Whose>,
        /// How.
        end: End,
        /// Hash of what it was settled with; 0 when it was not.
        content: u64,
    },
    /// What conversations were billed for having grown, to estimate by: JSON list of [`crate::calibration::Bill`].
    Learned(Name),
    /// A share of a session's budgets is kept for a task from here on, or another one than before.
    TaskAllocated(Box<Allocation>),
    /// A task was completed: nothing is kept for it any more.
    TaskCompleted {
        /// Its session.
        session: Name,
        /// Its name.
        task: Name,
    },
    /// What is set for an API changed: JSON form of [`crate::api::ApiChange`].
    ApiSet(Name),
    /// Prices were set or imported: JSON list of price rows.
    PriceSet(Name),
    /// The user's own price of a model was removed.
    PriceRemoved {
        /// Provider, may be empty.
        provider: Name,
        /// Canonical model.
        model: Name,
    },
    /// The costs of records were computed again with another book.
    Repriced {
        /// How many records have another cost now.
        records: u64,
    },
    /// An agent said what its session has cost: JSON form of [`crate::official::Heard`].
    Official(Name),
    /// A provider said how much of a subscription's limit is used.
    Quota(Box<Reading>),
    /// What was taken for one call was taken apart; the records stand right before this entry.
    Split {
        /// Whose call it was.
        agent: Name,
        /// In which session.
        session: Name,
        /// The model.
        model: Name,
        /// How many calls it became.
        calls: u64,
    },
    /// Records that ended before the horizon were removed; their totals stay.
    Purged {
        /// The horizon, milliseconds.
        horizon_ms: i64,
        /// How many records went.
        records: u64,
    },
    /// This ledger was put in the place of another one, which was kept aside.
    LedgerReplaced {
        /// The file that it was restored from; empty: it began empty.
        from: Name,
        /// Where the other one was put.
        set_aside: Name,
    },
}

impl Body {
    /// Whether somebody did it. Calls are told of, and alerts and stops follow from them by themselves.
    pub fn is_act(&self) -> bool {
        !matches!(
            self,
            Body::Usage(_) | Body::Amend { .. } | Body::BudgetAlert { .. } | Body::Runaway(_)
        )
    }
}

/// Whose reservation it is, so that its later entries tell it by themselves. Empty in old ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whose {
    /// The agent.
    pub agent: Name,
    /// Its session.
    pub session: Name,
}

/// Why a record was amended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmendReason {
    /// A better record of the same call arrived.
    Better,
    /// The attribution became more exact (an earlier or a main line was found).
    Attribution,
    /// The price book changed and the user asked to apply it.
    Repriced,
    /// Another kind of witness saw the same call.
    Joined,
    /// What was taken for one call are several: the user said so.
    Split,
}

/// A call as the ledger keeps it: the observation, its price and what the waste rules said.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The best observation of the call, with the owner's attribution.
    pub seen: Observation,
    /// When the line that owns the call (session, project) was written; an earlier main line takes ownership.
    pub owner_at_ms: i64,
    /// The owning line is a subagent's or a replay's.
    pub owner_sidechain: bool,
    /// Our figure; `None` when the model has no known price.
    pub cost: Option<Pico>,
    /// What the waste rules found, most severe first.
    pub waste: Vec<Finding>,
    /// When several kinds of witness saw the call: the account of each as it was given, in the order of
    /// [`Witness`](crate::witness::Witness). Empty when only one did: then `seen` is its account.
    pub heard: Vec<Candidate>,
}

/// One finding of a waste rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// The figure that the rule's sentence names (a count of calls, or tokens).
    pub figure: u64,
    /// Tokens that would not have been needed.
    pub wasted_tokens: u64,
    /// What they cost.
    pub wasted_cost: Pico,
}

/// The waste rules. The order is the order of severity: the first that matches gives the record's severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// One call with very many tokens.
    LargeRequest,
    /// One very long answer.
    LargeOutput,
    /// The same read tool again and again.
    ReadLoop,
    /// A search tool with a huge result.
    UnboundedSearch,
    /// The same request again.
    DuplicateRequest,
}

impl Rule {
    /// Every rule, in order of severity.
    pub const ALL: [Rule; 5] = [
        Rule::LargeRequest,
        Rule::LargeOutput,
        Rule::ReadLoop,
        Rule::UnboundedSearch,
        Rule::DuplicateRequest,
    ];

    /// The rule's name on the wire and in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Rule::LargeRequest => "large_request",
            Rule::LargeOutput => "large_output",
            Rule::ReadLoop => "read_loop",
            Rule::UnboundedSearch => "unbounded_search",
            Rule::DuplicateRequest => "duplicate_request",
        }
    }

    /// "critical" or "warning".
    pub fn severity(self) -> &'static str {
        match self {
            Rule::LargeRequest | Rule::LargeOutput => "critical",
            Rule::ReadLoop | Rule::UnboundedSearch | Rule::DuplicateRequest => "warning",
        }
    }
}
