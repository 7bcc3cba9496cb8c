//! Running totals: some agents write down only what a session has used so far. What was used between two looks is
//! the difference, booked once at the time of the second look.
//!
//! The total seen last is kept for each session, not for each file, so that a copy, a move or a file that comes back
//! from a backup adds nothing. It travels to the ledger in the same transaction as the difference.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::tokens::Tokens;
use tokmon_ledger::store::Position;

use super::values::hash;

/// How the kept totals are told from read positions, whose place they share: no path begins like this.
const PREFIX: &str = "total of ";
/// Earlier totals of one session that are recognised when an old copy turns up.
const REMEMBERED: usize = 16;

/// What was used between two looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// What makes it unique: the session and the total that it led to.
    pub(crate) key: Key,
    /// The difference.
    pub(crate) tokens: Tokens,
    /// The difference in what the agent says that it cost; `None` when it says nothing, or nothing new.
    pub(crate) cost: Option<Pico>,
}

/// What it means when a total is less than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fall {
    /// Counting began anew.
    Anew,
    /// The user took something back, whose use has gone from the total: it goes on from there.
    Back,
}

/// The totals of every session that has one.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    known: HashMap<Name, Counter>,
    /// Those that have changed since they were handed over last.
    changed: HashSet<Name>,
}

/// One session's total.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counter {
    total: [u64; 11],
    /// What it cost, in pico-dollars.
    #[serde(default)]
    cost: i64,
    /// How often counting began anew.
    resets: u32,
    /// Hash of the file that told of it last.
    told_by: u64,
    /// Hashes of earlier totals, the latest last.
    earlier: Vec<u64>,
}

impl Counters {
    /// Takes what is a total out of the kept positions.
    pub(crate) fn load(positions: &mut Vec<Position>) -> Counters {
        let mut known = HashMap::new();
        positions.retain(|position| {
            let is_total = position.path.starts_with(PREFIX);
            if is_total && let Ok(counter) = serde_json::from_slice(&position.state) {
                known.insert(position.path.clone(), counter);
            }
            !is_total
        });
        let changed = HashSet::new();
        Counters { known, changed }
    }

    /// The changed totals, to be kept together with what they led to.
    pub(crate) fn take(&mut self) -> Vec<Position> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let position = |path: Name| {
            let state = serde_json::to_vec(self.known.get(&path)?).ok()?;
            let agent = path.strip_prefix(PREFIX)?.split('/').next()?.into();
            Some(Position {
                agent,
                path,
                file_id: (0, 0),
                offset: 0,
                size: 0,
                mtime_ns: 0,
                tail_hash: 0,
                state,
                parser_version: 0,
                records: 0,
                failures: 0,
            })
        };
        changed.filter_map(position).collect()
    }

    /// Whether a session has a total.
    pub(crate) fn knows(&self, agent: &str, session: &str) -> bool {
        self.known.contains_key(&*format!("{PREFIX}{agent}/{session}"))
    }

    /// The total that was seen last, and what it cost. `None`: the session was never seen.
    pub(crate) fn known(&self, agent: &str, session: &str) -> Option<(Tokens, Option<Pico>)> {
        let counter = self.known.get(&*format!("{PREFIX}{agent}/{session}"))?;
        let cost = Some(Pico(counter.cost.into())).filter(|cost| *cost > Pico::ZERO);
        Some((Tokens::from_array(counter.total), cost))
    }

    /// A session that was never seen begins with a total that is counted already.
    pub(crate) fn begin(
        &mut self,
        agent: &str,
        session: &str,
        total: Tokens,
        cost: Option<Pico>,
        path: &str,
    ) {
        let name = Name::from(format!("{PREFIX}{agent}/{session}"));
        let fresh = Counter {
            total: total.to_array(),
            cost: cost.map_or(0, |cost| i64::try_from(cost.0).unwrap_or(i64::MAX)),
            told_by: hash(&[path.as_bytes()]),
            ..Counter::default()
        };
        if let Entry::Vacant(place) = self.known.entry(name.clone()) {
            place.insert(fresh);
            self.changed.insert(name);
        }
    }

    /// A total was seen, and perhaps what it cost so far. `None`: it tells nothing new.
    pub(crate) fn step(
        &mut self,
        agent: &str,
        session: &str,
        total: Tokens,
        cost: Option<Pico>,
        path: &str,
        fall: Fall,
    ) -> Option<Step> {
        let name = Name::from(format!("{PREFIX}{agent}/{session}"));
        let told_by = hash(&[path.as_bytes()]);
        let reached = total.to_array();
        let before = self.known.get(&name).cloned();
        let mut counter = before.clone().unwrap_or_default();
        let last = Tokens::from_array(counter.total);
        let mut tokens = total;
        let paid = cost.map_or(counter.cost, |cost| i64::try_from(cost.0).unwrap_or(i64::MAX));
        if reached == counter.total && paid <= counter.cost {
            return None;
        }
        if (total.prompt(), total.answer()) == (last.prompt(), last.answer()) {
            // The same, told otherwise: how much of it was cached, say.
            tokens = Tokens::default();
        } else if total.prompt() >= last.prompt() && total.answer() >= last.answer() {
            tokens.sub(&last);
        } else {
            // Less than before: it fell, unless this is an older copy of what has been seen.
            let seen_before = fall == Fall::Anew && counter.earlier.contains(&fingerprint(&reached));
            let elsewhere = before.is_some_and(|before| before.told_by != told_by);
            if seen_before || elsewhere {
                return None;
            }
            counter.resets += 1;
            if fall == Fall::Back {
                tokens = Tokens::default();
            }
        }
        if counter.earlier.len() >= REMEMBERED {
            counter.earlier.remove(0);
        }
        counter.earlier.push(fingerprint(&counter.total));
        // The cost goes on where the tokens begin anew.
        let added = if paid < counter.cost {
            paid
        } else {
            paid - counter.cost
        };
        (counter.total, counter.cost, counter.told_by) = (reached, paid, told_by);
        let mut led_to = format!("{} {reached:?}", counter.resets);
        if paid > 0 {
            led_to += &format!(" {paid}");
        }
        self.known.insert(name.clone(), counter);
        self.changed.insert(name);
        tokens.reasoning = tokens.reasoning.min(tokens.output);
        (tokens.total() > 0 || added > 0).then(|| Step {
            key: Key::new(0, &["running-total", agent, session, &led_to]),
            tokens,
            cost: (added > 0).then_some(Pico(added.into())),
        })
    }
}

fn fingerprint(total: &[u64; 11]) -> u64 {
    let bytes: Vec<u8> = total.iter().flat_map(|count| count.to_le_bytes()).collect();
    hash(&[&bytes])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(input: u64, output: u64) -> Tokens {
        Tokens {
            input,
            output,
            ..Tokens::default()
        }
    }

    fn step(counters: &mut Counters, input: u64, output: u64, path: &str) -> Option<(u64, u64)> {
        let step = counters.step("droid", "s", tokens(input, output), None, path, Fall::Anew)?;
        Some((step.tokens.input, step.tokens.output))
    }

    #[test]
    fn only_what_is_new_is_a_step() {
        let mut counters = Counters::default();
        for (input, output, path, wanted) in [
            (0, 0, "a", None),
            (100, 10, "a", Some((100, 10))),
            (100, 10, "a", None),
            (150, 12, "a", Some((50, 2))),
            // A copy, an older copy, and one from before anything was seen.
            (150, 12, "b", None),
            (100, 10, "b", None),
            (20, 1, "b", None),
            // A copy that goes on.
            (160, 13, "b", Some((10, 1))),
            // The file itself put back to what it was.
            (150, 12, "b", None),
            // Counting began anew.
            (5, 1, "b", Some((5, 1))),
            (7, 2, "b", Some((2, 1))),
        ] {
            assert_eq!(
                step(&mut counters, input, output, path),
                wanted,
                "{input} {output} {path}"
            );
        }
        assert!(
            counters
                .step("droid", "other", tokens(1, 1), None, "a", Fall::Anew)
                .is_some()
        );
    }

    #[test]
    fn a_total_that_falls_back_goes_on_from_there() {
        let mut counters = Counters::default();
        let mut step = |input, path| {
            let step = counters.step("zed", "s", tokens(input, 0), None, path, Fall::Back)?;
            Some((step.tokens.input, step.key))
        };
        let mut keys = Vec::new();
        // Up, back to what was there before, up to where it had been, and on; copies tell nothing.
        for (input, path, wanted) in [
            (100, "a", Some(100)),
            (300, "a", Some(200)),
            (100, "b", None),
            (100, "a", None),
            (300, "a", Some(200)),
            (300, "b", None),
            (310, "a", Some(10)),
        ] {
            let got = step(input, path);
            keys.extend(got.map(|(_, key)| key));
            assert_eq!(got.map(|(input, _)| input), wanted, "{input} {path}");
        }
        keys.dedup();
        assert_eq!(keys.len(), 4);
    }

    #[test]
    fn the_cost_is_a_running_total_of_its_own() {
        let mut counters = Counters::default();
        let mut step = |input, cost: i128, path| {
            let cost = (cost > 0).then_some(Pico(cost));
            let step = counters.step("crush", "s", tokens(input, 0), cost, path, Fall::Anew)?;
            Some((step.tokens.input, step.cost.map_or(0, |cost| cost.0)))
        };
        assert_eq!(step(100, 7, "a"), Some((100, 7)));
        assert_eq!(step(100, 7, "a"), None);
        assert_eq!(step(100, 9, "a"), Some((0, 2)));
        assert_eq!(step(100, 7, "copy"), None);
        // Not said this time, and the tokens began anew.
        assert_eq!(step(130, 0, "a"), Some((30, 0)));
        assert_eq!(step(10, 10, "a"), Some((10, 1)));
    }

    #[test]
    fn totals_are_kept_beside_positions_and_come_back() {
        let mut counters = Counters::default();
        assert_eq!(step(&mut counters, 100, 10, "a"), Some((100, 10)));
        let mut kept = counters.take();
        assert_eq!((kept.len(), &*kept[0].agent), (1, "droid"));
        assert!(counters.take().is_empty());
        let mut again = Counters::load(&mut kept);
        assert!(kept.is_empty());
        assert_eq!(step(&mut again, 130, 10, "elsewhere"), Some((30, 0)));
    }

    proptest! {
        #[test]
        fn the_steps_of_a_growing_total_add_up(grown in prop::collection::vec((0u64..1_000, 0u64..1_000), 1..20)) {
            let (mut counters, mut total, mut sum) = (Counters::default(), (0, 0), (0, 0));
            for (input, output) in grown {
                total = (total.0 + input, total.1 + output);
                if let Some(step) = step(&mut counters, total.0, total.1, "a") {
                    sum = (sum.0 + step.0, sum.1 + step.1);
                }
            }
            prop_assert_eq!(sum, total);
        }
    }
}
