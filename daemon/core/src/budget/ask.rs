//! What somebody asks to use, and the estimate that is reserved for it.

use serde::{Deserialize, Serialize};

use super::{Appended, Caller, Habits, Used, Weights};
use crate::Name;
use crate::calibration::{self, Calibrations};
use crate::id::Key;
use crate::limits::{
    DEFAULT_RESERVATION_MS, MAX_NAME_BYTES, MAX_REPORTED_USD, MAX_RESERVATION_MS, MAX_RESERVED_TOKENS,
    MAX_TOKENS_PER_CALL,
};
use crate::model;
use crate::money::{PICO_PER_USD, Pico};
use crate::observation::{Attribution, Observation, Provenance};
use crate::price::PriceBook;
use crate::refusal::Refusal;
use crate::tokens::Tokens;

/// A question: may I use so much?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The caller's id of the reservation; empty when nothing is reserved.
    pub id: Name,
    /// Who asks.
    pub caller: Caller,
    /// Tokens of which the class is not known; 0: none.
    pub tokens: u64,
    /// Money; `None`: what the tokens cost.
    pub usd: Option<Pico>,
    /// Tokens by class. A prompt without a word about caches is split as the cache is expected to be; an answer of 0
    /// is estimated.
    pub usage: Tokens,
    /// What was appended since the last call of the session, in place of a prompt.
    pub appended: Option<Appended>,
    /// The most that the answer can have; 0: not said.
    pub max_output: u64,
    /// Reserve the worst case instead of the usual one.
    pub strict: bool,
    /// Calls; 0: one.
    pub requests: u64,
    /// How long the reservation lives unless it is settled; 0: ten minutes.
    pub ttl_ms: i64,
}

/// What is reserved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Tokens by class.
    pub usage: Tokens,
    /// Tokens of which the class is not known: they count in full.
    pub tokens: u64,
    /// Money; `None`: the price is not known.
    pub cost: Option<Pico>,
    /// Calls.
    pub requests: u64,
}

impl Estimate {
    /// What it takes from a budget with these weights.
    pub fn used(&self, weights: &Weights) -> Used {
        Used {
            tokens: weights.count(&self.usage).saturating_add(self.tokens),
            cost: self.cost.unwrap_or_default(),
            requests: self.requests,
        }
    }
}

/// The answer that is expected of an agent and model of which nothing is known.
const UNKNOWN_ANSWER: u64 = 4_096;
/// The longest answer of a model of which none is known.
const WORST_ANSWER: u64 = 64_000;

impl Ask {
    /// Checks the question and fills in what it leaves open.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn checked(mut self, user: &Name) -> Result<Ask, Refusal> {
        let caller = &mut self.caller;
        if caller.agent.is_empty() {
            caller.agent = "api".into();
        }
        if caller.user.is_empty() {
            caller.user = user.clone();
        }
        if caller.provider.is_empty() {
            caller.provider = model::guess_provider(&caller.model).unwrap_or_default().into();
        }
        for (field, name) in [
            ("id", &self.id),
            ("agent", &caller.agent),
            ("session", &caller.session),
            ("task", &caller.task),
            ("project", &caller.project),
            ("user", &caller.user),
            ("tool", &caller.tool),
            ("provider", &caller.provider),
            ("model", &caller.model),
        ] {
            if name.len() > MAX_NAME_BYTES {
                let allowed = format!("at most {MAX_NAME_BYTES} bytes");
                return Err(Refusal::invalid(
                    field,
                    format!("{} bytes long", name.len()),
                    allowed,
                ));
            }
        }
        self.check_amounts()?;
        self.requests = self.requests.max(1);
        if self.ttl_ms == 0 {
            self.ttl_ms = DEFAULT_RESERVATION_MS;
        }
        if !(1..=MAX_RESERVATION_MS).contains(&self.ttl_ms) {
            let allowed = "a millisecond to a day";
            return Err(Refusal::invalid("ttl_ms", format!("{} ms", self.ttl_ms), allowed));
        }
        Ok(self)
    }

    fn check_amounts(&self) -> Result<(), Refusal> {
        let most = |field, value: u64, most: u64| {
            if value <= most {
                return Ok(());
            }
            Err(Refusal::invalid(
                field,
                value.to_string(),
                format!("up to {most}"),
            ))
        };
        most("tokens", self.tokens, MAX_RESERVED_TOKENS)?;
        most("max_output", self.max_output, MAX_TOKENS_PER_CALL)?;
        most("requests", self.requests, MAX_TOKENS_PER_CALL)?;
        for bucket in self.usage.to_array() {
            most("usage", bucket, MAX_TOKENS_PER_CALL)?;
        }
        let usd = self.usd.unwrap_or_default();
        if usd < Pico::ZERO || usd.0 > MAX_REPORTED_USD * PICO_PER_USD {
            let allowed = format!("0 to {MAX_REPORTED_USD} dollars");
            return Err(Refusal::invalid("usd", format!("${usd}"), allowed));
        }
        if let Some(appended) = &self.appended {
            appended.check()?;
            if self.usage.prompt() > 0 || self.tokens > 0 {
                let problem = "a prompt is given as well";
                let allowed = "what was appended, or the whole prompt, not both";
                return Err(Refusal::invalid("appended", problem, allowed));
            }
            return Ok(());
        }
        if self.tokens == 0 && self.usd.is_none() && self.usage == Tokens::default() && self.requests == 0 {
            let allowed = "tokens, usage, usd or requests above 0";
            return Err(Refusal::invalid("tokens", "nothing is asked for", allowed));
        }
        Ok(())
    }

    /// Hash of what is asked for.
    pub fn content(&self) -> u64 {
        let who = &self.caller;
        let mut numbers = format!(
            "{} {:?} {:?} {} {} {} {}",
            self.tokens, self.usd, self.usage, self.max_output, self.strict, self.requests, self.ttl_ms
        );
        if let Some(appended) = &self.appended {
            numbers += &format!(" {} {} {}", appended.counted, appended.bytes, appended.blocks);
        }
        let parts: [&str; 9] = [
            &who.agent,
            &who.session,
            &who.task,
            &who.project,
            &who.user,
            &who.tool,
            &who.provider,
            &who.model,
            &numbers,
        ];
        content_of(&parts)
    }

    /// The same question with its prompt filled in, when it says only what was appended, and how sure that is.
    pub(crate) fn anchored(
        &self,
        habits: &Habits,
        learned: &Calibrations,
    ) -> (Ask, Option<calibration::Estimate>) {
        let mut ask = self.clone();
        let prompt = ask.appended.take();
        let prompt = prompt.map(|appended| appended.prompt(&self.caller, habits, learned));
        if let Some(prompt) = &prompt {
            let tokens = if self.strict { prompt.high } else { prompt.tokens };
            ask.usage.input = tokens.min(MAX_TOKENS_PER_CALL);
        }
        (ask, prompt)
    }

    /// What to reserve.
    pub fn estimate(&self, habits: &Habits, book: &PriceBook, now_ms: i64) -> Estimate {
        let mut usage = self.usage;
        let caller = &self.caller;
        if usage.prompt() > 0 && usage.answer() == 0 {
            usage.output = self.answer(habits, book, now_ms);
        }
        let said = usage.cache_read + usage.cache_write_5m + usage.cache_write_1h > 0;
        if !said && !self.strict {
            usage = habits.split(caller, usage, now_ms);
        }
        let mut priced = usage;
        // The class is not known: as if all of it were answered, which is what costs most.
        priced.output = priced.output.saturating_add(self.tokens);
        let price = |tokens| {
            book.cost(&call(caller, tokens, now_ms))
                .map(|costing| costing.total)
        };
        let mut cost = price(priced);
        if self.strict && !said {
            let written = Tokens {
                input: 0,
                cache_write_5m: priced.input,
                ..priced
            };
            cost = cost.max(price(written));
        }
        Estimate {
            usage,
            tokens: self.tokens,
            cost: self.usd.or(cost.filter(|_| !caller.model.is_empty())),
            requests: self.requests,
        }
    }

    /// How long the answer will be.
    fn answer(&self, habits: &Habits, book: &PriceBook, now_ms: i64) -> u64 {
        let most = match self.max_output {
            0 => book
                .get(&self.caller.provider, &self.caller.model, now_ms)
                .map_or(0, |row| row.max_output),
            said => said,
        };
        let most = if most == 0 { WORST_ANSWER } else { most };
        if self.strict {
            return most;
        }
        habits.answer(&self.caller).unwrap_or(UNKNOWN_ANSWER).min(most)
    }
}

/// Hash of text in parts.
pub(crate) fn content_of(parts: &[&str]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&Key::new(0, parts).hash[..8]);
    u64::from_le_bytes(first)
}

/// A call as the price book asks for it.
pub(crate) fn call(caller: &Caller, tokens: Tokens, at_ms: i64) -> Observation {
    Observation {
        key: Key {
            day: 0,
            hash: [0; 12],
        },
        at_ms,
        who: Attribution {
            agent: caller.agent.clone(),
            session: caller.session.clone(),
            project: caller.project.clone(),
            user: caller.user.clone(),
            tool: caller.tool.clone(),
            context: None,
        },
        provider: caller.provider.clone(),
        model: caller.model.clone(),
        tokens,
        source: Provenance {
            kind: "reservation".into(),
            path: "".into(),
            offset: 0,
            lines: 0,
        },
        ..Observation::default()
    }
}

#[cfg(test)]
pub(super) mod tests;
