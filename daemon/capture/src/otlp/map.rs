//! What a record says about a call: one table of meanings for each agent, and one for everybody who follows the
//! OpenTelemetry conventions for generative AI. Pure.
//!
//! Each agent tells of a call in several ways: events, spans, metrics, summaries of a turn. Exactly one of them counts,
//! and it is named here; so nothing is counted twice, whichever of them an agent is set up to send.

mod claude;
mod codex;
mod gemini;
mod genai;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::limits::MAX_REPORTED_USD;
use tokmon_core::money::{PICO_PER_USD, Pico};
use tokmon_core::observation::{Attribution, CallKind, Observation, Place, Provenance, Tier};
use tokmon_core::tokens::Tokens;

use super::attributes::{Attr, Attributes};
use super::record::{Record, Signal};
use crate::agents::json::Problem;
use crate::agents::values::{Names, instant};

/// Who sent a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    ClaudeCode,
    Codex,
    GeminiCli,
    QwenCode,
    CopilotCli,
    /// Somebody else, who may follow the conventions.
    Other,
}

impl Sender {
    /// By the service's name, else by the beginning of the event's.
    pub(super) fn of(resource: &Attributes<'_>, record_name: &str) -> Sender {
        let service = resource.text(Attr::Service).unwrap_or_default();
        let known = [
            (Sender::ClaudeCode, "claude-code", "claude_code."),
            (Sender::Codex, "codex", "codex."),
            (Sender::GeminiCli, "gemini-cli", "gemini_cli."),
            (Sender::QwenCode, "qwen-code", "qwen-code."),
            (Sender::QwenCode, "qwen-code", "qwen_code."),
            (Sender::CopilotCli, "github-copilot", "github.copilot."),
        ];
        known
            .into_iter()
            .find(|(_, service_name, event)| {
                service.starts_with(service_name) || record_name.starts_with(event)
            })
            .map_or(Sender::Other, |(sender, _, _)| sender)
    }

    /// The agent's name in records.
    pub(super) fn agent(self) -> Option<&'static str> {
        match self {
            Sender::ClaudeCode => Some("claude-code"),
            Sender::Codex => Some("codex"),
            Sender::GeminiCli => Some("gemini-cli"),
            Sender::QwenCode => Some("qwen-code"),
            Sender::CopilotCli => Some("copilot-cli"),
            Sender::Other => None,
        }
    }

    /// The kind of source in a record's provenance.
    fn source_kind(self) -> &'static str {
        match self {
            Sender::ClaudeCode => "claude-code-otel",
            Sender::Codex => "codex-otel",
            Sender::GeminiCli => "gemini-cli-otel",
            Sender::QwenCode => "qwen-code-otel",
            Sender::CopilotCli => "copilot-cli-otel",
            Sender::Other => "otel",
        }
    }
}

/// What the mapping is told beside the record, and what it shares between records.
#[derive(Debug)]
pub(super) struct Intake {
    /// Now, milliseconds since the epoch: the time of a record that names none but has an id.
    pub(super) now_ms: i64,
    /// Whom calls are booked to that name nobody.
    pub(super) user: Name,
    names: Names,
    place: Option<Arc<Place>>,
}

impl Intake {
    pub(super) fn new(now_ms: i64, user: Name) -> Intake {
        Intake {
            now_ms,
            user,
            names: Names::default(),
            place: None,
        }
    }
}

/// The call that a record tells of; `None`: it tells of something else, or of a call that another record counts.
///
/// # Errors
/// It tells of a call, but a figure cannot be right; names the attribute.
pub(super) fn call(
    signal: Signal,
    resource: &Attributes<'_>,
    record: &Record<'_>,
    intake: &mut Intake,
) -> Result<Option<Observation>, Problem> {
    let sender = Sender::of(resource, record.event());
    let sender = match sender {
        Sender::Other => Sender::of(resource, &record.name),
        known => known,
    };
    let said = Said {
        sender,
        resource,
        record,
    };
    let facts = match (sender, signal) {
        (_, Signal::Metrics) => None,
        (Sender::ClaudeCode, Signal::Logs) => claude::facts(&said)?,
        (Sender::Codex, Signal::Logs) => codex::facts(&said)?,
        (Sender::GeminiCli | Sender::QwenCode, Signal::Logs) => gemini::facts(&said)?,
        // Their spans repeat what their events say.
        (Sender::ClaudeCode | Sender::Codex | Sender::GeminiCli | Sender::QwenCode, Signal::Traces) => None,
        (Sender::CopilotCli | Sender::Other, _) => genai::facts(&said)?,
    };
    facts.map(|facts| said.observation(facts, intake)).transpose()
}

/// A record with where it came from.
struct Said<'r, 'a> {
    sender: Sender,
    resource: &'r Attributes<'a>,
    record: &'r Record<'a>,
}

/// What an agent's table found out about a call.
#[derive(Debug, Default)]
struct Facts {
    model: String,
    provider: String,
    tokens: Tokens,
    /// The id that makes the call unique. Empty: its content does.
    id: String,
    /// What the provider calls the request or the response.
    request_id: String,
    cost: Option<Pico>,
    failed: bool,
    embedding: bool,
    fast: bool,
    tier: Tier,
}

impl Said<'_, '_> {
    /// An attribute's text, of the record or else of its resource.
    fn text(&self, attr: Attr) -> Option<&str> {
        self.record
            .attributes
            .text(attr)
            .or_else(|| self.resource.text(attr))
    }

    fn count(&self, attr: Attr) -> Result<u64, Problem> {
        Ok(self.record.attributes.count(attr)?.unwrap_or(0))
    }

    fn says(&self, attr: Attr) -> bool {
        self.record.attributes.get(attr).is_some()
    }

    fn id(&self, attr: Attr) -> String {
        self.record
            .attributes
            .id(attr)
            .map_or_else(String::new, |id| id.into_owned())
    }

    /// The HTTP status that it names.
    fn status(&self) -> Option<u64> {
        self.record.attributes.id(Attr::Status)?.trim().parse().ok()
    }

    /// What the agent says that the call cost, when it can be believed.
    fn cost(&self) -> Option<Pico> {
        let decimal = |attr| self.record.attributes.decimal(attr);
        // Micro-dollars and GitHub's units are whole numbers, which nobody has rounded.
        let scaled = |attr, pico: i128| {
            let whole = decimal(attr)?.parse::<i64>().ok()?;
            Some(Pico(i128::from(whole) * pico))
        };
        let cost = scaled(Attr::CostMicros, 1_000_000)
            .or_else(|| Pico::parse_usd(&decimal(Attr::Cost)?))
            .or_else(|| scaled(Attr::NanoAiu, 10))?;
        (0..=MAX_REPORTED_USD * PICO_PER_USD)
            .contains(&cost.0)
            .then_some(cost)
    }

    /// When it happened, in nanoseconds; 0: not said.
    fn nanos(&self) -> u64 {
        let said = [self.record.at_nanos, self.record.observed_nanos];
        if let Some(nanos) = said.into_iter().find(|nanos| *nanos != 0) {
            return nanos;
        }
        let at_ms = self.record.attributes.text(Attr::EventTime).and_then(instant);
        at_ms
            .and_then(|ms| u64::try_from(ms).ok()?.checked_mul(1_000_000))
            .unwrap_or(0)
    }

    fn observation(&self, facts: Facts, intake: &mut Intake) -> Result<Observation, Problem> {
        let session = self.text(Attr::Session).unwrap_or_default();
        let nanos = self.nanos();
        let key = self.key(&facts, session, nanos)?;
        let at_ms = match i64::try_from(nanos / 1_000_000) {
            Ok(0) | Err(_) => intake.now_ms,
            Ok(ms) => ms,
        };
        let user = self.text(Attr::User).filter(|user| !user.contains('@'));
        let place = self.place(intake);
        let names = &mut intake.names;
        let model = names.get(&facts.model);
        let provider = match facts.provider.as_str() {
            "" => names.provider(&model),
            said => names.get(said),
        };
        let service = || self.resource.text(Attr::Service).unwrap_or("otel");
        Ok(Observation {
            key,
            at_ms,
            who: Attribution {
                agent: names.get(self.sender.agent().unwrap_or_else(service)),
                session: names.get(session),
                project: names.get(self.text(Attr::Project).unwrap_or_default()),
                user: user.map_or_else(|| intake.user.clone(), |user| names.get(user)),
                tool: names.get(""),
                context: None,
            },
            provider,
            model,
            tokens: facts.tokens,
            tier: facts.tier,
            fast: facts.fast,
            reported_cost: facts.cost,
            kind: if facts.embedding {
                CallKind::Embedding
            } else {
                CallKind::Completion
            },
            failed: facts.failed,
            request_id: names.get(&facts.request_id),
            place,
            source: Provenance {
                kind: names.get(self.sender.source_kind()),
                lines: 1,
                ..Provenance::default()
            },
            ..Observation::default()
        })
    }

    /// The same for every copy of a record, however often it is sent: made of an id, else of where the record stands
    /// in a trace, else of all that it says. The time is a part only of the last: clocks of two witnesses differ.
    fn key(&self, facts: &Facts, session: &str, nanos: u64) -> Result<Key, Problem> {
        let kind = self.sender.source_kind();
        let outcome = match facts.failed {
            true => format!("failed {}", self.id(Attr::Attempt)),
            false => String::new(),
        };
        if self.sender == Sender::CopilotCli && !facts.failed && !facts.id.is_empty() {
            // As in the file that it can write the same into: one witness, one key.
            return Ok(Key::new(0, &["copilot-response", &facts.id]));
        }
        if !facts.id.is_empty() {
            return Ok(Key::new(0, &[kind, "id", &facts.id, &outcome]));
        }
        if self.sender == Sender::Other && self.record.span.iter().any(|byte| *byte != 0) {
            let place = format!("{:02x?} {:02x?}", self.record.trace, self.record.span);
            return Ok(Key::new(0, &[kind, "span", &place]));
        }
        if nanos == 0 {
            return Err(Problem("a call with neither an id nor a time".into()));
        }
        let figures = format!("{nanos} {:?}", facts.tokens.to_array());
        let parts = [
            kind,
            "content",
            session,
            &self.id(Attr::Sequence),
            &self.id(Attr::Prompt),
            &facts.model,
            &figures,
            &outcome,
        ];
        Ok(Key::new(
            Key::day_of(i64::try_from(nanos / 1_000_000).unwrap_or(0)),
            &parts,
        ))
    }

    fn place(&self, intake: &mut Intake) -> Option<Arc<Place>> {
        let names = &mut intake.names;
        // Names that the agent hides are no names.
        let mut name = |attr| match self.text(attr) {
            Some("custom" | "third-party") | None => names.get(""),
            Some(said) => names.get(said),
        };
        let place = Place {
            branch: name(Attr::Branch),
            commit: name(Attr::Commit),
            subagent: name(Attr::Subagent),
            skill: name(Attr::Skill),
            mcp_server: name(Attr::McpServer),
        };
        if place == Place::default() {
            return None;
        }
        if let Some(last) = intake.place.as_ref().filter(|last| ***last == place) {
            return Some(last.clone());
        }
        let place = Arc::new(place);
        intake.place = Some(place.clone());
        Some(place)
    }
}

/// A price tier by its name.
fn tier(name: Option<&str>) -> Tier {
    match name {
        Some("priority" | "fast") => Tier::Priority,
        Some("flex") => Tier::Flex,
        Some("batch") => Tier::Batch,
        _ => Tier::Standard,
    }
}
