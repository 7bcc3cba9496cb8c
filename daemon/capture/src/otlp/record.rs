//! One log record or span, as far as it is of interest, and the resource that sent it.

use std::borrow::Cow;

use super::attributes::{Attr, Attributes};

/// What kind of telemetry a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Log records, which is what agents call events.
    Logs,
    /// Spans.
    Traces,
    /// Metrics: a cross-check, never counted.
    Metrics,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Signal; 3] = [Signal::Logs, Signal::Traces, Signal::Metrics];

    /// Its name in paths: `/v1/logs`.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
        }
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Protocol buffers.
    Protobuf,
    /// Their JSON form as OTLP has it.
    Json,
}

/// A log record or span.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Record<'a> {
    /// The event's or span's name; of a body only if it can be an event's name.
    pub(super) name: Cow<'a, str>,
    /// When it happened, or a span's end; nanoseconds since the epoch, 0: not said.
    pub(super) at_nanos: u64,
    /// When it was seen to happen, of log records.
    pub(super) observed_nanos: u64,
    /// Its place in a trace; empty: none.
    pub(super) trace: Cow<'a, [u8]>,
    /// See `trace`.
    pub(super) span: Cow<'a, [u8]>,
    /// The span ended with an error.
    pub(super) failed: bool,
    /// What it says.
    pub(super) attributes: Attributes<'a>,
}

/// The beginnings of the events' names that agents write as a record's body. Any other body is not looked at.
const EVENT_PREFIXES: [&str; 6] = [
    "claude_code.",
    "codex.",
    "gemini_cli.",
    "qwen-code.",
    "qwen_code.",
    "gen_ai.",
];
/// Longest name of an event that is looked at, in bytes: real ones reach forty.
const LONGEST_EVENT: usize = 128;

impl<'a> Record<'a> {
    pub(super) fn clear(&mut self) {
        self.attributes.clear();
        let attributes = std::mem::take(&mut self.attributes);
        *self = Record {
            attributes,
            ..Record::default()
        };
    }

    /// Takes a body as the name, when it is one.
    pub(super) fn take_body(&mut self, body: Cow<'a, str>) {
        let is_name =
            body.len() <= LONGEST_EVENT && EVENT_PREFIXES.iter().any(|prefix| body.starts_with(prefix));
        if is_name {
            self.name = body;
        }
    }

    /// What happened: the attribute, else the record's own name.
    pub(super) fn event(&self) -> &str {
        self.attributes.text(Attr::EventName).unwrap_or(&self.name)
    }
}

/// Takes records one by one, with the attributes of interest of their resource.
pub(super) trait Visitor {
    /// One record.
    fn record(&mut self, resource: &Attributes<'_>, record: &Record<'_>);
}
