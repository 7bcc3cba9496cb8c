//! What agents usually do, to estimate what they will: how long answers were lately, and what the provider's cache
//! holds of a session.

use serde::{Deserialize, Serialize};

use super::Caller;
use crate::Name;
use crate::limits::{MAX_HABITS, MAX_WARM_SESSIONS};
use crate::model::normalize;
use crate::observation::{CallKind, Observation};
use crate::tokens::Tokens;

/// Answers that are remembered of an agent and model.
const ANSWERS: usize = 64;
/// Fewer answers say nothing.
const FEW: usize = 4;
/// The shortest answer that is reserved: less is a guess that fails at once.
const SHORTEST: u64 = 256;
/// How long a provider keeps what was written for five minutes, and for an hour.
const SHORT_LIFE_MS: i64 = 5 * 60_000;
const LONG_LIFE_MS: i64 = 60 * 60_000;

/// See the module. Bounded; what was silent longest is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Habits {
    /// The one used last is the last.
    answers: Vec<Answers>,
    warm: Vec<Warm>,
}

/// The last answers of an agent and model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answers {
    agent: Name,
    model: Name,
    /// A ring: `next` is overwritten next.
    output: Vec<u64>,
    next: usize,
}

/// The last call of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Warm {
    agent: Name,
    session: Name,
    model: Name,
    at_ms: i64,
    prompt: u64,
    /// What was answered: it is part of the next prompt.
    #[serde(default)]
    answer: u64,
    /// The caches were used at all, and for the longer time.
    cached: bool,
    long: bool,
}

/// Finds from the end, where what was used last lies, and puts it there.
fn latest<T>(list: &mut Vec<T>, most: usize, same: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> &mut T {
    match list.iter().rposition(same) {
        Some(at) if at + 1 == list.len() => {}
        Some(at) => list[at..].rotate_left(1),
        None => {
            if list.len() >= most {
                list.remove(0);
            }
            list.push(new());
        }
    }
    let last = list.len() - 1;
    &mut list[last]
}

impl Habits {
    /// Remembers a call; `previous` is the record of it that it replaces.
    pub fn saw(&mut self, seen: &Observation, previous: Option<&Observation>) {
        if seen.kind != CallKind::Completion || seen.failed || seen.sidechain {
            return;
        }
        let who = &seen.who;
        let answers = latest(
            &mut self.answers,
            MAX_HABITS,
            |a| a.model == seen.model && a.agent == who.agent,
            || Answers {
                agent: who.agent.clone(),
                model: seen.model.clone(),
                output: Vec::new(),
                next: 0,
            },
        );
        let output = seen.tokens.answer();
        let before = previous.map(|p| p.tokens.answer());
        match before.and_then(|before| answers.output.iter().rposition(|&o| o == before)) {
            // The same call, told better.
            Some(at) => answers.output[at] = output,
            None if answers.output.len() < ANSWERS => answers.output.push(output),
            None => {
                answers.output[answers.next] = output;
                answers.next = (answers.next + 1) % ANSWERS;
            }
        }
        let warm = latest(
            &mut self.warm,
            MAX_WARM_SESSIONS,
            |w| w.session == who.session && w.agent == who.agent,
            || Warm {
                agent: who.agent.clone(),
                session: who.session.clone(),
                model: seen.model.clone(),
                at_ms: i64::MIN,
                prompt: 0,
                answer: 0,
                cached: false,
                long: false,
            },
        );
        if seen.at_ms >= warm.at_ms {
            let t = &seen.tokens;
            warm.model = seen.model.clone();
            warm.at_ms = seen.at_ms;
            warm.prompt = t.prompt();
            warm.answer = t.answer().saturating_add(seen.extra_output);
            warm.cached = t.cache_read > 0 || t.cache_write_5m > 0 || t.cache_write_1h > 0;
            warm.long = t.cache_write_1h > 0;
        }
    }

    /// How long the next answer will be in 95 of 100 cases. `None`: too little is known.
    pub fn answer(&self, caller: &Caller) -> Option<u64> {
        let same = |a: &&Answers| a.model == caller.model && a.agent == caller.agent;
        let mut output = self.answers.iter().rev().find(same)?.output.clone();
        if output.len() < FEW {
            return None;
        }
        output.sort_unstable();
        let at = (output.len() * 95).div_ceil(100).saturating_sub(1);
        output.get(at).map(|&n| n.max(SHORTEST))
    }

    /// The model of a session's last call; of a session that made none, that of the agent's last call.
    pub fn model(&self, agent: &str, session: &str) -> Option<&Name> {
        let calls = || self.warm.iter().rev().filter(|w| &*w.agent == agent);
        let last = calls()
            .find(|w| &*w.session == session)
            .or_else(|| calls().next());
        last.map(|w| &w.model)
    }

    /// What the next prompt of the session begins with: the last one and its answer, as they were billed, and whether
    /// the same model billed them. `None`: the session is not known.
    pub fn anchor(&self, caller: &Caller) -> Option<(u64, bool)> {
        let same = |w: &&Warm| w.session == caller.session && w.agent == caller.agent;
        let warm = self.warm.iter().rev().find(same)?;
        let goes_on = caller.model.is_empty() || normalize(&warm.model) == normalize(&caller.model);
        Some((warm.prompt.saturating_add(warm.answer), goes_on))
    }

    /// Splits a prompt as the cache is expected to be: what the session sent last is read from it, the rest is new.
    pub fn split(&self, caller: &Caller, usage: Tokens, now_ms: i64) -> Tokens {
        let same = |w: &&Warm| w.session == caller.session && w.agent == caller.agent;
        let Some(warm) = self.warm.iter().rev().find(same).filter(|w| w.cached) else {
            return usage;
        };
        let life = if warm.long { LONG_LIFE_MS } else { SHORT_LIFE_MS };
        let holds = warm.model == caller.model && now_ms.saturating_sub(warm.at_ms) < life;
        let read = if holds { usage.input.min(warm.prompt) } else { 0 };
        let written = usage.input - read;
        Tokens {
            input: 0,
            cache_read: read,
            cache_write_5m: if warm.long { 0 } else { written },
            cache_write_1h: if warm.long { written } else { 0 },
            ..usage
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::observation;

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_stays() {
        let mut habits = Habits::default();
        for n in 0..1_000 {
            let mut seen = observation("k", n);
            seen.model = format!("m{}", n % 100).into();
            seen.who.session = format!("s{n}").into();
            habits.saw(&seen, None);
        }
        assert_eq!(
            (habits.answers.len(), habits.warm.len()),
            (MAX_HABITS, MAX_WARM_SESSIONS)
        );
        assert_eq!(&*habits.answers.last().unwrap().model, "m99");
        assert_eq!(&*habits.warm.last().unwrap().session, "s999");
    }

    #[test]
    fn a_better_record_of_a_call_takes_its_place() {
        let mut habits = Habits::default();
        let (mut partial, mut whole) = (observation("k", 0), observation("k", 0));
        partial.tokens.output = 3;
        whole.tokens.output = 3_000;
        habits.saw(&partial, None);
        habits.saw(&whole, Some(&partial));
        assert_eq!(habits.answers[0].output, [3_000]);
    }
}
