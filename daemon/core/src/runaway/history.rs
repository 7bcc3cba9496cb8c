//! What is remembered of sessions: sums and counts, the same few bytes for a session of any length.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Episode, RunawayRules, Sign};
use crate::Name;
use crate::money::Pico;
use crate::observation::Observation;

/// Most sessions that are watched: far above what runs at one time. The one silent longest makes room.
const MAX_SESSIONS: usize = 256;
const MINUTE_MS: i64 = 60_000;
/// Minutes over which spending is compared.
const SPAN: i64 = 5;
/// Minutes of work that make a usual.
const ENOUGH_MINUTES: u64 = 10;
/// An episode is over when its rule was quiet for so long, in milliseconds.
const QUIET_MS: i64 = 30 * MINUTE_MS;
/// Denials further apart than this are no streak.
const STREAK_MS: i64 = 10 * MINUTE_MS;
/// Shorter than the shortest life of a provider's cache: after a longer pause a miss is no wonder.
const WARM_MS: i64 = 4 * MINUTE_MS;
/// Smaller prompts are not worth a cache, or begin a conversation.
const LARGE_PROMPT: u64 = 20_000;
/// Calls that used the cache before misses tell something.
const ENOUGH_HITS: u32 = 3;

/// The sessions that are watched. The writer's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watch {
    sessions: BTreeMap<u64, Session>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    last_ms: i64,
    /// The minute up to which `spent` reaches, and what was spent in the last ones, the newest last.
    minute: i64,
    spent: [Pico; SPAN as usize],
    /// Minutes of work before those, and what was spent in them.
    minutes: u64,
    past: Pico,
    request: u64,
    repeats: u64,
    hits: u32,
    model: u64,
    misses: u64,
    missed: Pico,
    denials: u64,
    denied_ms: i64,
    /// When each rule last held.
    held_ms: [i64; 4],
}

impl Session {
    /// Moves on to a minute; minutes in which something was spent become the past.
    fn advance(&mut self, minute: i64) {
        if self.minute == 0 {
            self.minute = minute;
        }
        for _ in 0..(minute - self.minute).clamp(0, SPAN) {
            let gone = self.spent[0];
            self.spent.rotate_left(1);
            self.spent[SPAN as usize - 1] = Pico::ZERO;
            if gone > Pico::ZERO {
                self.minutes += 1;
                self.past += gone;
            }
        }
        self.minute = self.minute.max(minute);
    }

    fn spend(&mut self, minute: i64, cost: Pico) {
        let back = self.minute - minute;
        if (0..SPAN).contains(&back) {
            let slot = &mut self.spent[(SPAN - 1 - back) as usize];
            *slot = (*slot + cost).max(Pico::ZERO);
        }
    }

    /// How many times the usual was spent in the last minutes, and how much.
    fn velocity(&self) -> Option<(u64, Pico)> {
        let now = self.spent.iter().fold(Pico::ZERO, |sum, spent| sum + *spent);
        let usual = self.past.0.saturating_mul(SPAN.into());
        if self.minutes < ENOUGH_MINUTES || usual <= 0 {
            return None;
        }
        let times = now.0.saturating_mul(self.minutes.into()) / usual;
        Some((u64::try_from(times).unwrap_or(u64::MAX), now))
    }

    /// Whether a rule begins to hold now: it was quiet before.
    fn begins(&mut self, sign: Sign, now_ms: i64) -> bool {
        let held = &mut self.held_ms[sign as usize];
        let quiet = *held == 0 || now_ms.saturating_sub(*held) > QUIET_MS;
        *held = now_ms;
        quiet
    }
}

impl Watch {
    /// A call that ended just now; `more` is what it cost, or what a better record of it costs more.
    pub fn called(
        &mut self,
        seen: &Observation,
        more: Pico,
        again: bool,
        rules: &RunawayRules,
    ) -> Vec<Episode> {
        let who = &seen.who;
        if who.session.is_empty() {
            return Vec::new();
        }
        let (now_ms, minute) = (seen.at_ms, seen.at_ms.div_euclid(MINUTE_MS));
        let session = self.session(&who.agent, &who.session, now_ms);
        let pause = now_ms.saturating_sub(session.last_ms);
        session.last_ms = session.last_ms.max(now_ms);
        session.advance(minute);
        session.spend(minute, more);
        let mut signs: Vec<(Sign, u64, Pico)> = Vec::new();
        if rules.velocity_factor > 0
            && let Some((times, spent)) = session.velocity()
            && times >= rules.velocity_factor
            && spent >= rules.velocity_usd
        {
            signs.push((Sign::Velocity, times, spent));
        }
        if !again {
            session.denials = 0;
            session.note_request(seen);
            session.note_cache(seen, pause, more);
        }
        if rules.repeats > 0 && session.repeats >= rules.repeats {
            signs.push((Sign::Repeats, session.repeats, Pico::ZERO));
        }
        if rules.misses > 0 && session.misses >= rules.misses && session.missed >= rules.misses_usd {
            signs.push((Sign::CacheMisses, session.misses, session.missed));
        }
        signs.retain(|(sign, ..)| session.begins(*sign, now_ms));
        let episode = |(sign, figure, spent)| Episode {
            agent: who.agent.clone(),
            session: who.session.clone(),
            sign,
            figure,
            spent,
            stops: Vec::new(),
        };
        signs.into_iter().map(episode).collect()
    }

    /// Somebody was denied so many times just now.
    pub fn denied(
        &mut self,
        agent: &Name,
        session: &Name,
        times: u64,
        now_ms: i64,
        rules: &RunawayRules,
    ) -> Option<Episode> {
        if session.is_empty() || rules.denials == 0 {
            return None;
        }
        let watched = self.session(agent, session, now_ms);
        if now_ms.saturating_sub(watched.denied_ms) > STREAK_MS {
            watched.denials = 0;
        }
        watched.denied_ms = now_ms;
        watched.denials = watched.denials.saturating_add(times);
        let figure = watched.denials;
        if figure < rules.denials || !watched.begins(Sign::Denials, now_ms) {
            return None;
        }
        Some(Episode {
            agent: agent.clone(),
            session: session.clone(),
            sign: Sign::Denials,
            figure,
            spent: Pico::ZERO,
            stops: Vec::new(),
        })
    }

    fn session(&mut self, agent: &str, session: &str, now_ms: i64) -> &mut Session {
        let id = crate::budget::content_of(&[agent, session]);
        if self.sessions.len() >= MAX_SESSIONS && !self.sessions.contains_key(&id) {
            let silent = self.sessions.iter().min_by_key(|(_, session)| session.last_ms);
            if let Some(silent) = silent.map(|(&id, _)| id) {
                self.sessions.remove(&silent);
            }
        }
        self.sessions.entry(id).or_insert_with(|| Session {
            last_ms: now_ms,
            ..Session::default()
        })
    }
}

impl Session {
    /// Calls without a request that is known neither repeat nor interrupt: text between tool calls.
    fn note_request(&mut self, seen: &Observation) {
        let tool = &seen.who.tool;
        let request = match (seen.request_hash, &seen.who.context) {
            _ if tool.is_empty() => return,
            (0, None) => return,
            (0, Some(note)) => crate::budget::content_of(&[tool, "note", note]),
            (hash, _) => crate::budget::content_of(&[tool, &hash.to_string()]),
        };
        if request == self.request {
            self.repeats += 1;
        } else {
            (self.request, self.repeats) = (request, 1);
        }
    }

    fn note_cache(&mut self, seen: &Observation, pause: i64, cost: Pico) {
        let tokens = &seen.tokens;
        let prompt = tokens.prompt();
        // A subagent has a conversation of its own, with a cache of its own.
        if prompt < LARGE_PROMPT || seen.sidechain {
            return;
        }
        let model = crate::budget::content_of(&[&seen.model]);
        let hit = tokens.cache_read.saturating_mul(10) >= prompt;
        let excused = pause > WARM_MS || std::mem::replace(&mut self.model, model) != model;
        if hit {
            self.hits = self.hits.saturating_add(1);
            (self.misses, self.missed) = (0, Pico::ZERO);
        } else if !excused && self.hits >= ENOUGH_HITS {
            self.misses += 1;
            self.missed += cost;
        }
    }
}
