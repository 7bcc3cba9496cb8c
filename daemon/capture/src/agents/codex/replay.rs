//! Forks and subagents begin with a replay of their parent's history, which is not theirs to count.
//!
//! The replay is written at once: each line carries the instant of the fork, or its original time. It ends with the
//! thread's own first turn. Newer versions number turns with UUIDs that hold their time, which settles it; for
//! older ones the pause before the first own line does, for no model answers as fast as a file is copied. Where the
//! pause alone does not settle it, what follows is booked under the parent's name for it: a call that the parent's
//! own file tells of too then counts once.

use serde::{Deserialize, Serialize};

/// A pause between two lines that no copying makes.
const PAUSE_MS: i64 = 1_000;
/// A pause that copying hardly ever makes, and an answer nearly always.
const SHORT_PAUSE_MS: i64 = 250;

/// Whether the lines read now are a replay.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replay {
    pub(super) active: bool,
    /// The thread is a fork: it has its parent's history, not only a parent.
    fork: bool,
    /// The turns have datable ids: pauses mean nothing.
    dated: bool,
    /// A turn began, the parent's or the thread's own.
    turned: bool,
    /// A figure of the parent was passed over.
    skipped: bool,
    /// A turn began after the last figure that was passed over.
    turn_since: bool,
    /// The end was told by a pause alone: what follows may still be a replay, written slowly.
    pub(super) doubtful: bool,
    /// The end came before any figure of the parent: the first figure tells whether one was due.
    untested: bool,
}

/// What a line means to the question of where the replay ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sign {
    /// When the line was written, and the line before it.
    pub(super) at_ms: i64,
    pub(super) before_ms: Option<i64>,
    /// When the thread began.
    pub(super) created_ms: Option<i64>,
    /// The line begins a turn.
    pub(super) turn: bool,
    /// When the turn's id was made, where the id tells.
    pub(super) turn_ms: Option<i64>,
}

impl Replay {
    /// The thread has a parent: a replay may follow; in a fork, does.
    pub(super) fn begin(&mut self, fork: bool) {
        if !self.active {
            *self = Replay {
                active: true,
                ..Replay::default()
            };
        }
        self.fork |= fork;
    }

    /// The thread's own work is certain from here on.
    pub(super) fn end(&mut self) {
        *self = Replay::default();
    }

    /// A figure of the parent was passed over.
    pub(super) fn skip(&mut self) {
        (self.skipped, self.turn_since) = (true, false);
    }

    /// Looks at a line while the replay is active; ends it when the line is the thread's own.
    pub(super) fn look(&mut self, sign: Sign) {
        if let (true, Some(turn_ms), Some(created_ms)) = (sign.turn, sign.turn_ms, sign.created_ms) {
            if turn_ms >= created_ms {
                return self.end();
            }
            self.dated = true;
        }
        // Original times: older than the thread itself.
        let original = sign
            .created_ms
            .is_some_and(|created_ms| sign.at_ms < created_ms - PAUSE_MS);
        let pause = sign.before_ms.map_or(0, |before_ms| sign.at_ms - before_ms);
        self.turned |= sign.turn;
        // Before the first copied line there may be a moment, too.
        let under_way = self.skipped || self.turn_since;
        let paused = pause > PAUSE_MS || pause > SHORT_PAUSE_MS && under_way;
        // A fork's own call comes in a turn.
        let possible = self.turned || !self.fork;
        if paused && possible && !original && !self.dated {
            let certain = pause > PAUSE_MS && (sign.turn || self.turn_since);
            *self = Replay {
                doubtful: self.skipped && !certain,
                untested: self.fork && !self.skipped,
                ..Replay::default()
            };
        } else if sign.turn {
            self.turn_since = true;
        }
    }

    /// The first figure after the replay: in a fork it stands on the parent's, so one that begins from nothing may
    /// be the parent's own first.
    pub(super) fn test(&mut self, from_nothing: bool) {
        self.doubtful |= self.untested && from_nothing;
        self.untested = false;
    }
}
