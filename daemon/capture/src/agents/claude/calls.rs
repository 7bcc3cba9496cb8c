//! Calls whose lines are still coming: one answer is written as several lines, one for each block of content.
//!
//! The lines of a call are put together here before the call is handed on, so that a file gives one observation
//! for each call: the best line by [`Observation::rank`], the first tool, the number of lines, and an estimate of
//! the output where no line has the final figure. When a file grows in the middle of a call, the call is handed on
//! again, better known; the state that makes this possible is kept with the read position.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::observation::{Attribution, Confidence, Observation, Place, Provenance, Tier};
use tokmon_core::tokens::Tokens;

use crate::agents::values::Names;
use crate::agents::{Found, Origin};

/// Calls that are kept open in one file: subagents that run side by side in an old, shared transcript.
const OPEN_CALLS: usize = 8;

/// One line of a call, or what several of its lines add up to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Call {
    /// The message's id.
    pub(super) id: Name,
    /// Its place among the calls inside the call; `None`: the call itself.
    pub(super) part: Option<usize>,
    pub(super) at_ms: i64,
    pub(super) session: Name,
    pub(super) project: Name,
    pub(super) skill: Name,
    /// The kind of subagent that made it.
    pub(super) subagent: Name,
    pub(super) model: Name,
    pub(super) tokens: Tokens,
    pub(super) tier: u8,
    pub(super) fast: bool,
    pub(super) us_region: bool,
    pub(super) cost: Option<Pico>,
    pub(super) failed: bool,
    pub(super) sidechain: bool,
    pub(super) line_hash: u64,
    pub(super) offset: u64,
    /// The first tool of any line.
    pub(super) tool: Name,
    pub(super) request_hash: u64,
    /// Visible bytes of all lines.
    pub(super) visible: u64,
    /// Some line has the final figure.
    pub(super) stopped: bool,
    pub(super) lines: u32,
    /// How many of the lines were handed on, and the offset of the line that was the best then.
    pub(super) told: Option<(u32, u64)>,
    /// The provider's id of the request; of the calls inside a call it is not known.
    #[serde(default)]
    pub(super) request_id: Name,
    /// The git branch at that time.
    #[serde(default)]
    pub(super) branch: Name,
}

/// Bits of the line hash that stay when the number of lines goes before it.
const HASH_BITS: u32 = 48;

impl Call {
    fn rank(&self) -> impl Ord + use<> {
        let total = self.tokens.total();
        (
            !self.sidechain,
            self.tokens.answer(),
            total,
            std::cmp::Reverse(self.at_ms),
            self.line_hash,
        )
    }

    /// Takes one more line of the same call into account.
    fn add(&mut self, mut line: Call) {
        if line.rank() > self.rank() {
            std::mem::swap(self, &mut line);
            // What was known of the call goes with the better line; here, the tool that was seen first.
            if !line.tool.is_empty() {
                (self.tool, self.request_hash) = (line.tool, line.request_hash);
            }
            self.told = line.told;
            for (own, known) in [
                (&mut self.request_id, &line.request_id),
                (&mut self.branch, &line.branch),
                (&mut self.skill, &line.skill),
            ] {
                if !known.is_empty() {
                    *own = known.clone();
                }
            }
        } else if self.tool.is_empty() {
            (self.tool, self.request_hash) = (line.tool, line.request_hash);
        }
        self.visible += line.visible;
        self.stopped |= line.stopped;
        self.lines = self.lines.saturating_add(line.lines);
    }

    /// What makes the call unique, wherever its lines are found.
    fn key(&self) -> Key {
        match self.part {
            None => Key::new(0, &["anthropic-message", &self.id]),
            Some(part) => Key::new(
                0,
                &["anthropic-message", &self.id, "iteration", &part.to_string()],
            ),
        }
    }

    /// Nothing was used and nothing is to be seen: a placeholder.
    fn is_empty(&self) -> bool {
        let unused = self.tokens.total() == 0 && self.tokens.web_searches == 0;
        unused && (self.failed || self.visible == 0)
    }

    /// The call as an observation, with the given key.
    pub(super) fn observation(&self, key: Key, names: &mut Names, origin: &Origin) -> Observation {
        // Where no line has a final figure, the reported one is a lower bound. About four bytes of text or JSON
        // make a token; what is visible beyond the reported figure is the estimate of the rest.
        let missing = if self.stopped {
            0
        } else {
            (self.visible / 4).saturating_sub(self.tokens.output)
        };
        Observation {
            key,
            at_ms: self.at_ms,
            who: Attribution {
                agent: names.get(super::FORMAT.name),
                session: self.session.clone(),
                project: self.project.clone(),
                user: origin.user.clone(),
                tool: self.tool.clone(),
                context: None,
            },
            // Behind a gateway other vendors' models answer too.
            provider: names.provider(&self.model),
            model: self.model.clone(),
            tokens: self.tokens,
            tier: match self.tier {
                1 => Tier::Priority,
                2 => Tier::Flex,
                3 => Tier::Batch,
                _ => Tier::Standard,
            },
            fast: self.fast,
            us_region: self.us_region,
            reported_cost: self.cost,
            confidence: if self.stopped {
                Confidence::Reported
            } else {
                Confidence::Estimated
            },
            failed: self.failed,
            extra_output: missing,
            sidechain: self.sidechain,
            // More lines of a call in one file know it better, also when its best line is still the same one.
            line_hash: u64::from(self.lines.min(0xffff)) << HASH_BITS
                | self.line_hash & ((1 << HASH_BITS) - 1),
            request_hash: self.request_hash,
            request_id: self.request_id.clone(),
            place: {
                let place = Place {
                    branch: self.branch.clone(),
                    subagent: self.subagent.clone(),
                    skill: self.skill.clone(),
                    mcp_server: names.mcp_server(&self.tool),
                    ..Place::default()
                };
                names.place(place)
            },
            source: Provenance {
                kind: names.get(origin.kind),
                path: origin.path.clone(),
                offset: self.offset,
                // The ledger adds up the lines of one file, unless it knows the best of them already.
                lines: match self.told {
                    Some((told, offset)) if offset != self.offset => self.lines - told,
                    _ => self.lines,
                },
            },
            ..Observation::default()
        }
    }
}

/// A price tier in a saved call.
pub(super) fn tier_code(tier: Tier) -> u8 {
    match tier {
        Tier::Standard => 0,
        Tier::Priority => 1,
        Tier::Flex => 2,
        Tier::Batch => 3,
    }
}

/// The open calls of one file, the one with the latest line last.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenCalls(VecDeque<Call>);

impl OpenCalls {
    /// Adds a line to its call, opening it when it is new; the call that waited longest is closed for it.
    pub(super) fn add(&mut self, line: Call, names: &mut Names, origin: &Origin, found: &mut Found) {
        let known = self
            .0
            .iter()
            .rposition(|call| call.part == line.part && call.id == line.id);
        match known {
            Some(at) if at + 1 == self.0.len() => self.0[at].add(line),
            Some(at) => {
                if let Some(mut call) = self.0.remove(at) {
                    call.add(line);
                    self.0.push_back(call);
                }
            }
            None => {
                if self.0.len() >= OPEN_CALLS
                    && let Some(mut oldest) = self.0.pop_front()
                {
                    tell(&mut oldest, names, origin, found);
                }
                self.0.push_back(line);
            }
        }
    }

    /// Whether any of them may still go on.
    pub(super) fn any_since(&self, open_since_ms: i64) -> bool {
        self.0.iter().any(|call| call.at_ms >= open_since_ms)
    }

    /// Hands on what is new about each call; they stay open.
    pub(super) fn settle(&mut self, names: &mut Names, origin: &Origin, found: &mut Found) {
        for call in &mut self.0 {
            tell(call, names, origin, found);
        }
    }
}

fn tell(call: &mut Call, names: &mut Names, origin: &Origin, found: &mut Found) {
    if call.told.is_some_and(|(told, _)| told == call.lines) || call.is_empty() {
        return;
    }
    found
        .observations
        .push(call.observation(call.key(), names, origin));
    call.told = Some((call.lines, call.offset));
}
