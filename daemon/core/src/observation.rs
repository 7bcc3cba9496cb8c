//! What a source saw: one call to a model, before the ledger has accepted it.

use std::sync::Arc;

use crate::Name;
use crate::id::Key;
use crate::money::Pico;
pub use crate::place::Place;
use crate::tokens::Tokens;

/// One call to a model, as one source saw it. The default knows nothing: sources fill in what they saw.
///
/// Several sources may see the same call: a transcript, telemetry, a statusline, an MCP log, a caller of the API. What
/// they must fill in, so that the ledger can tell that it is one call:
///
/// | field | what it must be |
/// |---|---|
/// | `source.kind` | which witness it is, see [`Provenance::kind`]; calls of one kind are never joined by their figures |
/// | `key` | the same whenever this source tells of this call again (a resent export, a file that is read anew); see [`Key`] |
/// | `request_id` | the provider's id of the request or response as the agent names it, in full, if it is known |
/// | `who.agent`, `who.session` | as the agent's transcripts call them; an unknown session is left empty |
/// | `model` | as the provider gave it, not shortened |
/// | `tokens` | disjoint buckets; one that the source does not know stays 0, and `confidence` says so |
/// | `at_ms` | when the call ended, by the agent's clock |
/// | `reported_cost` | what the agent said that it cost, if it did |
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// What makes the call unique.
    pub key: Key,
    /// When the call ended, milliseconds since the epoch.
    pub at_ms: i64,
    /// Who, where and with what.
    pub who: Attribution,
    /// "anthropic", "openai", …; empty when the source does not know.
    pub provider: Name,
    /// The model's name as the provider gave it.
    pub model: Name,
    /// What was used.
    pub tokens: Tokens,
    /// The provider's price tier.
    pub tier: Tier,
    /// Fast mode ("speed": "fast").
    pub fast: bool,
    /// Inference pinned to the US.
    pub us_region: bool,
    /// What the agent itself said that the call cost.
    pub reported_cost: Option<Pico>,
    /// How sure the token figures are.
    pub confidence: Confidence,
    /// What kind of call it was.
    pub kind: CallKind,
    /// The call failed or was cut off.
    pub failed: bool,
    /// Output that the source's own figure leaves out, estimated from what is visible. 0: none known.
    pub extra_output: u64,
    /// The line belongs to a subagent or is a replay; a main line of the same call wins over it.
    pub sidechain: bool,
    /// Hash of the line: the last resort of the order between two records of one call. 0 when there is no line.
    pub line_hash: u64,
    /// Hash of the tool call's arguments, to recognise a repeated request. 0: not known.
    pub request_hash: u64,
    /// The provider's id of the request or response, where the key is made of something else too: another source
    /// may know the call by it alone. Empty when not known.
    pub request_id: Name,
    /// The task of an orchestrator that it belongs to; empty when none.
    pub task: Name,
    /// The finer attribution, shared by calls of one place. `None`: nothing of it is known.
    pub place: Option<Arc<Place>>,
    /// Where it was read.
    pub source: Provenance,
}

/// Who made a call, where, and with which tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attribution {
    /// "claude-code", "codex", …
    pub agent: Name,
    /// The agent's session.
    pub session: Name,
    /// Working directory or repository root.
    pub project: Name,
    /// Person or account.
    pub user: Name,
    /// The tool that the tokens are attributed to; empty when none.
    pub tool: Name,
    /// Note of at most 200 characters.
    pub context: Option<Name>,
}

/// The provider's price tier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Tier {
    /// List price.
    #[default]
    Standard,
    /// Dearer and quicker.
    Priority,
    /// Cheaper and slower.
    Flex,
    /// Cheaper, answered within a day.
    Batch,
}

/// How sure a figure is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Estimated, or a lower bound.
    Estimated,
    /// Counted with the model's own tokenizer.
    Counted,
    /// The provider said so.
    #[default]
    Reported,
}

/// What kind of call it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// A call that generates an answer.
    #[default]
    Completion,
    /// A call that embeds text.
    Embedding,
    /// An embedding that the caller's own cache answered: no request, no tokens.
    CacheHit,
    /// What several calls used together, of which nothing is known one by one: a running total that grew. No price for
    /// long prompts applies to it, and it says nothing about how long an answer is.
    Several,
}

/// Where an observation was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Which witness it was. "api" and "mcp" are callers of the ledger; `"AGENT-otel"` is what came in as
    /// OpenTelemetry, `"AGENT-statusline"` what a statusline was given; everything else is a file that the agent
    /// wrote: "claude-code-transcript", "codex-rollout".
    pub kind: Name,
    /// The file; empty when there is none.
    pub path: Name,
    /// Byte offset of the line.
    pub offset: u64,
    /// How many lines of that file told of this call (streaming partials).
    pub lines: u32,
}

impl Observation {
    /// Its agent keeps a total of the money beside tokens that are only a part of what was paid for: then what it says
    /// that it cost is surer than what the tokens come to.
    pub fn is_surer_of_money(&self) -> bool {
        self.kind == CallKind::Several
            && self.confidence == Confidence::Estimated
            && self.reported_cost.is_some()
    }

    /// The order between two records of one call: the greater one is the better one. It does not depend on
    /// which arrived first, so reading again, in another order or on another machine gives the same ledger.
    ///
    /// Surer figures first: a line that was written before its call had ended is a lower bound, and the copy of it in a
    /// sidechain may have the end. Then main line over sidechain, then more output, then more tokens, then the *earlier* line (copies are later),
    /// then the line's hash.
    pub fn rank(&self) -> Rank {
        Rank {
            sure: self.confidence,
            main: !self.sidechain,
            output: self.tokens.answer(),
            total: self.tokens.total(),
            earlier: std::cmp::Reverse(self.at_ms),
            line_hash: self.line_hash,
        }
    }
}

/// See [`Observation::rank`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    sure: Confidence,
    main: bool,
    output: u64,
    total: u64,
    earlier: std::cmp::Reverse<i64>,
    line_hash: u64,
}
