//! What an observation must keep to before anything is decided about it, and what is filled in that it leaves open.

use std::sync::Arc;

use super::Manner;
use crate::Name;
use crate::limits::{
    MAX_AHEAD_MS, MAX_CONTEXT_CHARS, MAX_NAME_BYTES, MAX_REPORTED_USD, MAX_TOKENS_PER_CALL, MIN_AT_MS,
};
use crate::model;
use crate::money::{PICO_PER_USD, Pico};
use crate::observation::Observation;
use crate::place::{Part, Place};
use crate::refusal::Refusal;
use crate::state::Draft;

impl Draft {
    /// Checks an observation and fills in what it leaves open.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] names the field as the contract calls it.
    pub fn prepare(
        &self,
        mut seen: Observation,
        now_ms: i64,
        manner: Manner,
    ) -> Result<Observation, Refusal> {
        let invalid = |field, problem: String, allowed: &str| Err(Refusal::invalid(field, problem, allowed));
        let who = &mut seen.who;
        if who.agent.is_empty() {
            who.agent = "api".into();
        }
        if who.user.is_empty() {
            who.user = self.rules().user.clone();
        }
        for (field, name) in [
            ("agent", &who.agent),
            ("session", &who.session),
            ("project", &who.project),
            ("user", &who.user),
            ("tool", &who.tool),
            ("provider", &seen.provider),
            ("model", &seen.model),
            ("task", &seen.task),
            ("request_id", &seen.request_id),
        ] {
            if name.len() > MAX_NAME_BYTES {
                return invalid(field, format!("{} bytes long", name.len()), "at most 1024 bytes");
            }
        }
        let long = |place: &Arc<Place>| {
            let part = Part::ALL
                .into_iter()
                .find(|&p| place.part(p).len() > MAX_NAME_BYTES)?;
            Some((part, place.part(part).len()))
        };
        if let Some((part, bytes)) = seen.place.as_ref().and_then(long) {
            return invalid(part.name(), format!("{bytes} bytes long"), "at most 1024 bytes");
        }
        if let Some(server) = mcp_server(&who.tool)
            && seen
                .place
                .as_ref()
                .is_none_or(|place| place.mcp_server.is_empty())
        {
            Arc::make_mut(seen.place.get_or_insert_default()).mcp_server = server.into();
        }
        tidy(&mut seen.place);
        if seen.model.is_empty() {
            return invalid(
                "model",
                "it is empty".to_owned(),
                "the model's name as the provider gives it",
            );
        }
        who.context = who
            .context
            .take()
            .filter(|_| self.rules().keep_notes)
            .map(cut_note);
        if seen.provider.is_empty() {
            seen.provider = model::guess_provider(&seen.model).unwrap_or_default().into();
        }
        if seen.at_ms < MIN_AT_MS || seen.at_ms > now_ms.saturating_add(MAX_AHEAD_MS) {
            let problem = format!("{} ms is not a time at which a call can have ended", seen.at_ms);
            return invalid(
                "at_ms",
                problem,
                "milliseconds since 1970, from 2015 to a day from now",
            );
        }
        for (field, tokens) in BUCKETS.into_iter().zip(seen.tokens.to_array()) {
            if tokens > MAX_TOKENS_PER_CALL {
                return invalid(
                    field,
                    format!("{tokens} is more than one call can use"),
                    "0 to 1,000,000,000",
                );
            }
        }
        if seen.tokens.reasoning > seen.tokens.answer() {
            if manner == Manner::Ask {
                let problem = format!("{} is more than the output", seen.tokens.reasoning);
                return invalid(
                    "tokens.reasoning",
                    problem,
                    "at most tokens.output, of which it is a part",
                );
            }
            seen.tokens.reasoning = seen.tokens.answer();
        }
        seen.extra_output = seen.extra_output.min(MAX_TOKENS_PER_CALL);
        let cost = seen.reported_cost.unwrap_or_default();
        if cost < Pico::ZERO || cost.0 > MAX_REPORTED_USD * PICO_PER_USD {
            if manner == Manner::Ask {
                return invalid("reported_cost", format!("${cost}"), "0 to 1,000,000 dollars");
            }
            seen.reported_cost = None;
        }
        Ok(seen)
    }
}

/// The buckets of [`Tokens::to_array`](crate::tokens::Tokens::to_array) as the contract calls them.
const BUCKETS: [&str; 11] = [
    "tokens.input",
    "tokens.output",
    "tokens.reasoning",
    "tokens.cache_read",
    "tokens.cache_write_5m",
    "tokens.cache_write_1h",
    "tokens.input_audio",
    "tokens.output_audio",
    "tokens.input_image",
    "tokens.output_image",
    "tokens.web_searches",
];

/// Takes out of a place what cannot be kept; what needs no change stays shared.
fn tidy(place: &mut Option<Arc<Place>>) {
    if let Some(shared) = place
        && !shared.is_clean()
    {
        Arc::make_mut(shared).clean();
    }
    if place.as_ref().is_some_and(|place| place.is_empty()) {
        *place = None;
    }
}

/// The MCP server in a tool's name, as most agents write it: "mcp__github__create_issue".
fn mcp_server(tool: &str) -> Option<&str> {
    let (server, _) = tool.strip_prefix("mcp__")?.split_once("__")?;
    (!server.is_empty()).then_some(server)
}

pub(super) fn cut_note(note: Name) -> Name {
    match note.char_indices().nth(MAX_CONTEXT_CHARS) {
        Some((at, _)) => note[..at].into(),
        None => note,
    }
}
