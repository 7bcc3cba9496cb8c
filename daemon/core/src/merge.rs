//! Which of two records of one call wins.
//!
//! The same call is told of many times: partial lines while it streams, copies in resumed and forked sessions,
//! replays in sidechains. One *whole* record wins by [`Observation::rank`], so no usage is invented by mixing two;
//! the session, project, user and agent come from the call's *owner*, its earliest main line. Neither depends on
//! what arrived first, with one documented exception: between two lines that say the same, two owners of the same
//! instant, or two tools named by one call, the one that is there already stays.

use std::sync::Arc;

use crate::Name;
use crate::entry::{AmendReason, Record};
use crate::observation::{Attribution, Observation};
use crate::place::Place;

/// What is known of a call so far: its best observation and its owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The best observation, with the owner's attribution.
    pub seen: Observation,
    /// When the owning line was written.
    pub owner_at_ms: i64,
    /// The owning line is a subagent's or a replay's.
    pub owner_sidechain: bool,
}

impl Candidate {
    /// A call of which one line is known.
    pub fn new(seen: Observation) -> Candidate {
        Candidate {
            owner_at_ms: seen.at_ms,
            owner_sidechain: seen.sidechain,
            seen,
        }
    }

    /// What a kept record says about its call.
    pub fn of(record: &Record) -> Candidate {
        Candidate {
            seen: record.seen.clone(),
            owner_at_ms: record.owner_at_ms,
            owner_sidechain: record.owner_sidechain,
        }
    }

    fn owner_order(&self) -> (bool, i64) {
        (self.owner_sidechain, self.owner_at_ms)
    }
}

/// What became of the line that came second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the better record; the former one was replaced. `Better`, even when the owner changed too.
    Replaced,
    /// It is not better, but it told more about who made the call.
    Attributed(Loss),
    /// Nothing changed.
    Lost(Loss),
    /// It is another kind of witness's account of the same call; both are kept.
    Joined,
}

/// Why a line lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The very same line of the very same file, read once more: not even a duplicate.
    Reread,
    /// It says the same as the record that is known.
    Copy,
    /// It says less.
    Weaker,
}

impl Verdict {
    /// Why the kept record has to be amended, if it has to be.
    pub fn amends(self) -> Option<AmendReason> {
        match self {
            Verdict::Replaced => Some(AmendReason::Better),
            Verdict::Attributed(_) => Some(AmendReason::Attribution),
            Verdict::Joined => Some(AmendReason::Joined),
            Verdict::Lost(_) => None,
        }
    }
}

/// Takes one more candidate of the same call into account. The key stays: copies may carry it with a neighbouring day.
pub fn merge(known: &mut Candidate, new: Candidate) -> Verdict {
    debug_assert_eq!(known.seen.key.hash, new.seen.key.hash);
    let (old_who, new_who) = (&known.seen.who, &new.seen.who);
    let new_owns = new.owner_order() < known.owner_order();
    let owner = if new_owns { new_who } else { old_who };
    let who = Attribution {
        agent: owner.agent.clone(),
        session: owner.session.clone(),
        project: owner.project.clone(),
        user: owner.user.clone(),
        tool: first_said(&old_who.tool, &new_who.tool),
        context: old_who.context.clone().or_else(|| new_who.context.clone()),
    };
    let task = first_said(&known.seen.task, &new.seen.task);
    let request_id = first_said(&known.seen.request_id, &new.seen.request_id);
    let place = first_known(&known.seen.place, &new.seen.place);
    let loss = if same_line(&known.seen, &new.seen) {
        Loss::Reread
    } else if same_usage(&known.seen, &new.seen) {
        Loss::Copy
    } else {
        Loss::Weaker
    };
    let better = !same_usage(&known.seen, &new.seen) && new.seen.rank() > known.seen.rank();
    let attributed = who != known.seen.who
        || task != known.seen.task
        || request_id != known.seen.request_id
        || place != known.seen.place;
    if new_owns {
        known.owner_at_ms = new.owner_at_ms;
        known.owner_sidechain = new.owner_sidechain;
    }
    if better {
        let (key, lines) = (known.seen.key, joined_lines(&known.seen, &new.seen));
        known.seen = new.seen;
        known.seen.key = key;
        known.seen.source.lines = lines;
        known.seen.who = who;
        known.seen.request_id = request_id;
        known.seen.place = place;
        known.seen.task = task;
        return Verdict::Replaced;
    }
    known.seen.who = who;
    known.seen.request_id = request_id;
    known.seen.place = place;
    known.seen.task = task;
    if attributed {
        Verdict::Attributed(loss)
    } else {
        Verdict::Lost(loss)
    }
}

fn first_said(first: &Name, second: &Name) -> Name {
    if first.is_empty() {
        second.clone()
    } else {
        first.clone()
    }
}

/// Of each part of the place what was said first. What adds nothing leaves the shared value as it is.
fn first_known(first: &Option<Arc<Place>>, second: &Option<Arc<Place>>) -> Option<Arc<Place>> {
    match (first, second) {
        (Some(first), Some(second)) if first != second => {
            let both = first.or(second);
            Some(if both == **first {
                first.clone()
            } else {
                Arc::new(both)
            })
        }
        (first, second) => first.clone().or_else(|| second.clone()),
    }
}

/// Lines are only counted up within one file: a copy elsewhere is a duplicate, not a part.
fn joined_lines(known: &Observation, new: &Observation) -> u32 {
    let one_file = !new.source.path.is_empty() && known.source.path == new.source.path;
    if one_file && !same_line(known, new) {
        new.source.lines.saturating_add(known.source.lines)
    } else {
        new.source.lines
    }
}

fn same_line(a: &Observation, b: &Observation) -> bool {
    !a.source.path.is_empty() && a.source.path == b.source.path && a.source.offset == b.source.offset
}

/// Both say the same about what the call used and when: which of them is kept makes no difference to any figure.
pub(crate) fn same_usage(a: &Observation, b: &Observation) -> bool {
    a.at_ms == b.at_ms
        && a.tokens == b.tokens
        && a.sidechain == b.sidechain
        && a.model == b.model
        && a.provider == b.provider
        && (a.tier, a.fast, a.us_region) == (b.tier, b.fast, b.us_region)
        && (a.kind, a.failed, a.confidence) == (b.kind, b.failed, b.confidence)
        && a.extra_output == b.extra_output
        && a.reported_cost == b.reported_cost
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observation::Confidence;
    use crate::testing::observation;

    fn line(path: &str, offset: u64, output: u64, at_ms: i64) -> Observation {
        let mut seen = observation("call", at_ms);
        seen.tokens.output = output;
        seen.source.path = path.into();
        seen.source.offset = offset;
        seen.line_hash = offset + 1;
        seen
    }

    fn merged(lines: &[Observation]) -> Candidate {
        let mut known = Candidate::new(lines[0].clone());
        for seen in &lines[1..] {
            merge(&mut known, Candidate::new(seen.clone()));
        }
        known
    }

    #[test]
    fn the_last_partial_wins_as_a_whole_and_counts_its_lines() {
        let mut first = line("a", 0, 3, 1_000);
        first.tokens.cache_read = 900;
        let mut last = line("a", 10, 412, 2_000);
        last.tokens.cache_read = 800;
        let got = merged(&[first, last]);
        assert_eq!((got.seen.tokens.output, got.seen.tokens.cache_read), (412, 800));
        assert_eq!(got.seen.source.lines, 2);
    }

    #[test]
    fn a_copy_in_another_file_is_a_copy_and_reading_again_is_neither() {
        let known = line("a", 10, 412, 1_000);
        for (path, offset, loss) in [
            ("b", 700, Loss::Copy),
            ("a", 10, Loss::Reread),
            ("a", 30, Loss::Copy),
        ] {
            let mut again = known.clone();
            again.source.path = path.into();
            again.source.offset = offset;
            again.line_hash = 99;
            let verdict = merge(&mut Candidate::new(known.clone()), Candidate::new(again));
            assert_eq!(verdict, Verdict::Lost(loss), "{path}:{offset}");
        }
    }

    #[test]
    fn a_main_line_beats_a_longer_sidechain() {
        let main = line("a", 10, 5, 3_000);
        let mut side = line("b", 10, 500, 1_000);
        side.sidechain = true;
        side.who.session = "side".into();
        let got = merged(&[side.clone(), main.clone()]);
        assert_eq!((got.seen.tokens.output, &*got.seen.who.session), (5, "s"));
        assert_eq!(got, merged(&[main, side]));
    }

    #[test]
    fn the_end_of_a_call_in_a_sidechain_beats_a_main_line_from_before_it() {
        let mut main = line("a", 10, 36, 1_000);
        main.confidence = Confidence::Estimated;
        let mut side = line("b", 10, 611, 1_000);
        side.sidechain = true;
        side.who.session = "side".into();
        let got = merged(&[side.clone(), main.clone()]);
        assert_eq!((got.seen.tokens.output, &*got.seen.who.session), (611, "s"));
        assert_eq!(got.seen.confidence, Confidence::Reported);
        assert_eq!(got, merged(&[main, side]));
    }

    #[test]
    fn the_owner_is_the_earliest_main_line_even_when_another_record_wins() {
        let mut original = line("a", 0, 3, 1_000);
        original.who.session = "original".into();
        let mut fork = line("b", 0, 400, 2_000);
        fork.who.session = "fork".into();
        for lines in [[original.clone(), fork.clone()], [fork, original]] {
            let got = merged(&lines);
            assert_eq!(
                (got.seen.tokens.output, &*got.seen.who.session),
                (400, "original")
            );
            assert_eq!(got.owner_at_ms, 1_000);
        }
    }

    #[test]
    fn the_first_tool_that_was_named_stays() {
        let mut without = line("a", 0, 3, 1_000);
        without.who.tool = "".into();
        let mut with = line("a", 9, 3, 1_000);
        with.who.tool = "Read".into();
        let mut known = Candidate::new(without);
        assert_eq!(
            merge(&mut known, Candidate::new(with)),
            Verdict::Attributed(Loss::Copy)
        );
        assert_eq!(&*known.seen.who.tool, "Read");
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_record(
            parts in prop::collection::vec((0_u64..4, 0_u64..4, 0_i64..4, any::<bool>(), 0_u64..3), 1..8),
            seed in any::<u64>(),
        ) {
            // Owners of one instant are the documented exception, so each instant has one session here.
            let lines: Vec<Observation> = parts
                .iter()
                .enumerate()
                .map(|(i, &(output, cache, at, side, path))| {
                    let mut seen = line(&format!("file{path}"), i as u64, output, 1_000 + at);
                    seen.tokens.cache_read = cache;
                    seen.sidechain = side;
                    seen.who.session = format!("session-{at}-{side}").into();
                    seen
                })
                .collect();
            let mut shuffled = lines.clone();
            let mut state = seed | 1;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            let (a, b) = (merged(&lines), merged(&shuffled));
            prop_assert!(same_usage(&a.seen, &b.seen));
            prop_assert_eq!(a.seen.who, b.seen.who);
            prop_assert_eq!((a.owner_at_ms, a.owner_sidechain), (b.owner_at_ms, b.owner_sidechain));
        }
    }
}
