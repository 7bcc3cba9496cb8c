//! Several witnesses of one call: when two observations tell of the same call, and which figures count then.
//!
//! A transcript, telemetry, a statusline, an MCP log and a caller of the API may all see one call, each under a key of
//! its own. They are one call
//! - when both know the provider's id of the request or response and it is the same, or else
//! - when neither came through the API and agent (or unknown), session (or unknown), model and the token buckets that both know are the same, within
//!   [`NEAR_MS`] (a model that logs its own usage does so later: [`NEAR_LOGGED_MS`]).
//!
//! Whoever records through the API means a call of his own: it takes the provider's id to say that it is another's too.
//!
//! Never within one kind of witness: two equal calls that one witness saw are two calls. So a record has at most one
//! account of each kind, and two equal calls that two witnesses saw stay two.
//!
//! **Precedence.** Every account is kept as it was given, one is counted, as a whole: the one with the surest figures;
//! of equally sure ones the agent's own accounts (file, telemetry) and those of the API's callers before what a model
//! or a statusline said; of those the one that saw more of the answer (a transcript may hold an early partial); then
//! file, telemetry, API, MCP, statusline. Names come from the first in that last order that knows them. None of it
//! depends on which account came first.

mod near;

pub use near::Spans;

use std::sync::Arc;

use crate::Name;
use crate::entry::Record;
use crate::merge::{Candidate, Verdict, merge};
use crate::model;
use crate::observation::{Confidence, Observation, Provenance};
use crate::session;
use crate::tokens::Tokens;

/// How far apart two accounts of one call may lie, milliseconds.
pub const NEAR_MS: i64 = 2 * 60 * 1000;

/// The same where a model logs its own usage, which it does when the call is over and it gets round to it.
pub const NEAR_LOGGED_MS: i64 = 10 * 60 * 1000;

/// How long a transcript may take to show what telemetry has shown, milliseconds.
pub const UNLOGGED_AFTER_MS: i64 = 10 * 60 * 1000;

/// A kind of witness, in the order of trust. The number is the place in [`Spans`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Witness {
    /// What the agent wrote into a file.
    File = 0,
    /// What the agent sent as OpenTelemetry.
    Telemetry = 1,
    /// Whoever records through the API.
    Api = 2,
    /// A model that logs its own usage through MCP.
    Mcp = 3,
    /// What a statusline was given.
    Statusline = 4,
}

impl Witness {
    /// Every kind.
    pub const ALL: [Witness; 5] = [
        Witness::File,
        Witness::Telemetry,
        Witness::Api,
        Witness::Mcp,
        Witness::Statusline,
    ];

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Witness::File => "file",
            Witness::Telemetry => "telemetry",
            Witness::Api => "api",
            Witness::Mcp => "mcp",
            Witness::Statusline => "statusline",
        }
    }
}

impl Provenance {
    /// Which kind of witness it was; see [`Provenance::kind`].
    pub fn witness(&self) -> Witness {
        match &*self.kind {
            "api" => Witness::Api,
            "mcp" => Witness::Mcp,
            kind if kind == "otel" || kind.ends_with("-otel") => Witness::Telemetry,
            kind if kind.ends_with("-statusline") => Witness::Statusline,
            _ => Witness::File,
        }
    }
}

impl Candidate {
    /// Which kind of witness it is.
    pub fn witness(&self) -> Witness {
        self.seen.source.witness()
    }
}

impl Record {
    /// Which kinds of witness saw the call.
    pub fn witnesses(&self) -> impl Iterator<Item = Witness> {
        let alone = self.heard.is_empty().then(|| self.seen.source.witness());
        alone.into_iter().chain(self.heard.iter().map(Candidate::witness))
    }

    /// No file of the agent tells of the call, although one had time to: only telemetry or a statusline showed it.
    pub fn is_unlogged(&self, now_ms: i64) -> bool {
        let outside = |witness| matches!(witness, Witness::Telemetry | Witness::Statusline);
        self.witnesses().all(outside) && self.seen.at_ms.saturating_add(UNLOGGED_AFTER_MS) <= now_ms
    }
}

/// Takes one more account of a known call into account: the accounts that are kept (none when there is only one), what
/// counts of them, and what became of the new one.
pub fn hear(known: &Record, new: Candidate) -> (Vec<Candidate>, Candidate, Verdict) {
    let mut heard = match known.heard.is_empty() {
        true => vec![Candidate::of(known)],
        false => known.heard.clone(),
    };
    let witness = new.witness();
    let verdict = match heard.iter_mut().find(|account| account.witness() == witness) {
        Some(account) => merge(account, new),
        None => {
            heard.push(new);
            heard.sort_by_key(Candidate::witness);
            Verdict::Joined
        }
    };
    let mut counted = compose(&heard);
    counted.seen.key = known.seen.key;
    if heard.len() == 1 {
        heard.clear();
    }
    (heard, counted, verdict)
}

/// What counts of several accounts, which come in the order of their kinds. There is at least one.
fn compose(heard: &[Candidate]) -> Candidate {
    let best = heard
        .iter()
        .rev()
        .max_by_key(|account| standing(account))
        .unwrap_or(&heard[0]);
    let mut counted = best.clone();
    (counted.owner_at_ms, counted.owner_sidechain) = (heard[0].owner_at_ms, heard[0].owner_sidechain);
    let seen = &mut counted.seen;
    let first = |of: fn(&Observation) -> &Name, good: fn(&Observation) -> bool| {
        let known = || heard.iter().map(|a| &a.seen).filter(|s| !of(s).is_empty());
        let name = known().find(|s| good(s)).or_else(|| known().next());
        name.map_or_else(Name::default, |s| of(s).clone())
    };
    seen.who.agent = first(|s| &s.who.agent, |s| !is_unknown(&s.who.agent));
    seen.who.session = first(
        |s| &s.who.session,
        |s| !session::is_ours(&s.who.agent, &s.who.session),
    );
    seen.who.project = first(|s| &s.who.project, |_| true);
    seen.who.user = first(|s| &s.who.user, |_| true);
    seen.who.tool = first(|s| &s.who.tool, |_| true);
    seen.task = first(|s| &s.task, |_| true);
    seen.request_id = first(|s| &s.request_id, |_| true);
    seen.who.context = heard.iter().find_map(|a| a.seen.who.context.clone());
    seen.reported_cost = seen
        .reported_cost
        .or_else(|| heard.iter().find_map(|a| a.seen.reported_cost));
    let places = heard.iter().filter_map(|a| a.seen.place.as_ref());
    seen.place = places.fold(None, |place: Option<Arc<_>>, more| match place {
        None => Some(more.clone()),
        Some(place) => Some(Arc::new(place.or(more))),
    });
    counted
}

/// What makes an account the one that counts: see the module.
fn standing(account: &Candidate) -> (Confidence, bool, u64) {
    let own = account.witness() <= Witness::Api;
    (account.seen.confidence, own, account.seen.tokens.answer())
}

/// A new observation tells of a call that is known from other kinds of witness only.
pub fn is_same_call(known: &Record, new: &Observation) -> bool {
    let witness = new.source.witness();
    if known.witnesses().any(|w| w == witness) || known.seen.kind != new.kind {
        return false;
    }
    if same_id(&known.seen.request_id, &new.request_id) {
        return true;
    }
    if contradict(&known.seen.request_id, &new.request_id) {
        return false;
    }
    let mut accounts = known.heard.iter().map(|a| &a.seen).chain([&known.seen]);
    accounts.any(|account| same_figures(account, new))
}

fn same_id(a: &str, b: &str) -> bool {
    !a.is_empty() && a == b
}

/// Two ids of one form that differ are two requests; an id of a request and one of a response say nothing.
fn contradict(a: &str, b: &str) -> bool {
    let form = |id: &str| (id.len(), id.find(['_', '-']).map(|at| id[..at].to_owned()));
    !a.is_empty() && !b.is_empty() && a != b && form(a) == form(b)
}

fn same_figures(a: &Observation, b: &Observation) -> bool {
    if [a, b].iter().any(|s| s.source.witness() == Witness::Api) {
        return false;
    }
    let logged = [a, b].iter().any(|s| s.source.witness() == Witness::Mcp);
    let near = if logged { NEAR_LOGGED_MS } else { NEAR_MS };
    let session = |s: &Observation| match session::is_ours(&s.who.agent, &s.who.session) {
        true => Name::default(),
        false => s.who.session.clone(),
    };
    let (session_a, session_b) = (session(a), session(b));
    a.tokens.total() > 0
        && a.at_ms.abs_diff(b.at_ms) <= near.unsigned_abs()
        && (is_unknown(&a.who.agent) || is_unknown(&b.who.agent) || a.who.agent == b.who.agent)
        // The session that an MCP client is given is not the agent's.
        && (logged || session_a.is_empty() || session_b.is_empty() || session_a == session_b)
        && model::normalize(&a.model) == model::normalize(&b.model)
        && same_tokens(&a.tokens, &b.tokens)
}

/// "api" is who names nobody.
fn is_unknown(agent: &str) -> bool {
    matches!(agent, "" | "api")
}

/// The buckets that both know are the same. Who knows no cache at all may have counted the whole prompt as input.
fn same_tokens(a: &Tokens, b: &Tokens) -> bool {
    let writes = |t: &Tokens| t.cache_write_5m + t.cache_write_1h;
    let cached = |t: &Tokens| t.cache_read + writes(t);
    let known = |a: u64, b: u64| a == 0 || b == 0 || a == b;
    let whole = |a: &Tokens, b: &Tokens| cached(a) == 0 && a.prompt() == b.prompt();
    let parts = a.input == b.input
        && known(a.cache_read, b.cache_read)
        && known(writes(a), writes(b))
        && (cached(a) == 0 || cached(b) == 0 || cached(a) == cached(b));
    a.answer() == b.answer() && (parts || whole(a, b) || whole(b, a))
}

/// What two accounts of one call have in common whoever gave them: a hash to find one by the other. There are several,
/// because an account may count the prompt with or without what came from the cache.
pub fn prints(seen: &Observation) -> [u64; 2] {
    let model = model::normalize(&seen.model);
    [seen.tokens.input, seen.tokens.prompt()].map(|prompt| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(model.as_bytes());
        hasher.update(&seen.tokens.answer().to_le_bytes());
        hasher.update(&prompt.to_le_bytes());
        short(&hasher)
    })
}

/// A hash of a provider's id.
pub fn id_print(request_id: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"request");
    hasher.update(request_id.as_bytes());
    short(&hasher)
}

fn short(hasher: &blake3::Hasher) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests;
