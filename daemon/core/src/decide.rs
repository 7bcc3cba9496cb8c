//! Decisions: what a request means for the ledger, given what it stands at. Each either refuses or says what to
//! write down; nothing is changed before that is applied.

mod api;
mod official;
mod prepare;
mod reserve;
mod task;

use crate::Name;
use crate::budget::{Account, Budget, Crossing, Lift};
use crate::calibration::Bill;
use crate::entry::{AmendReason, Body, Record};
use crate::limits::{MAX_AHEAD_MS, MAX_BUDGETS, MAX_LIFTS, MAX_NAME_BYTES, MAX_PRICE_ROWS, MAX_REPORTED_USD};
use crate::merge::{Candidate, Loss, Verdict, same_usage};
use crate::money::{PICO_PER_USD, Pico};
use crate::observation::Observation;
use crate::price::{Costing, PriceRow};
use crate::quota::{Quotas, Reading};
use crate::refusal::Refusal;
use crate::report::figures;
use crate::session;
use crate::state::{BudgetEntry, Draft};
use crate::witness;

/// What to do with a figure that contradicts another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Refuse it: somebody asks and can be told.
    Ask,
    /// Make the best of it: it was read from a file that nobody can mend.
    Read,
}

/// What the ledger holds of a call.
#[derive(Debug, Clone, Copy)]
pub enum Held<'a> {
    /// Nothing.
    New,
    /// Its record, in this entry.
    Known(u64, &'a Record),
    /// Only its share of the totals.
    Purged,
}

/// What a call means for the ledger.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one decision, and the large case is the usual one"
)]
pub enum Recorded {
    /// It was counted once and its record has been purged; its totals are kept, so it must not count again.
    Purged,
    /// Nothing is written, and why the line lost.
    Known(Loss),
    /// These are written, in order; the last is the call's record.
    Written {
        /// The session that is opened for it first.
        opened: Option<Body>,
        /// The call's record.
        body: Body,
        /// How it compared with the record that was known, if one was.
        verdict: Option<Verdict>,
        /// How its cost was found.
        costing: Option<Costing>,
    },
}

impl Draft {
    /// Decides about a prepared call.
    pub fn record(&mut self, mut new: Candidate, held: Held<'_>, now_ms: i64) -> Recorded {
        let known = match held {
            Held::Purged => return Recorded::Purged,
            Held::New => None,
            Held::Known(seq, record) => Some((seq, record)),
        };
        let Some((replaces, known)) = known else {
            let opened = self.place_in_session(&mut new.seen, now_ms);
            let (record, costing) = self.price(new, None);
            let body = Body::Usage(Box::new(record));
            return Recorded::Written {
                opened,
                body,
                verdict: None,
                costing,
            };
        };
        if new.seen.who.session.is_empty() {
            new.seen.who.session = known.seen.who.session.clone();
        }
        let (heard, counted, verdict) = witness::hear(known, new);
        let reason = match (verdict, verdict.amends()) {
            (_, Some(reason)) => reason,
            (Verdict::Lost(loss), None) => return Recorded::Known(loss),
            (_, None) => return Recorded::Known(Loss::Copy),
        };
        let same = same_usage(&known.seen, &counted.seen);
        let (mut record, costing) = self.price(counted, same.then_some(known));
        record.heard = heard;
        let record = Box::new(record);
        let body = Body::Amend {
            replaces,
            reason,
            record,
        };
        Recorded::Written {
            opened: None,
            body,
            verdict: Some(verdict),
            costing,
        }
    }

    /// What to write down of readings of limits: what each tells that is new, also beside those before it.
    pub fn quotas(&self, readings: Vec<Reading>) -> Vec<Body> {
        let mut known = Quotas::clone(&self.state.quotas);
        let mut bodies = Vec::new();
        for reading in readings {
            if known.is_news(&reading) {
                known.apply(&reading);
                bodies.push(Body::Quota(Box::new(reading)));
            }
        }
        bodies
    }

    /// A call without a session belongs to the one that is open for its agent; when there is none, one is opened.
    fn place_in_session(&self, seen: &mut Observation, now_ms: i64) -> Option<Body> {
        if !seen.who.session.is_empty() {
            return None;
        }
        let agent = &seen.who.agent;
        if let Some(open) = self.state.sessions.opened(agent) {
            seen.who.session = open.clone();
            return None;
        }
        let started = session::new_id(agent, self.state.last_seq + 1, now_ms);
        seen.who.session = started.clone();
        Some(Body::SessionReset {
            agent: agent.clone(),
            ended: "".into(),
            started,
        })
    }

    /// Prices a call and lets the waste rules see it; `same` is its record when its usage is unchanged.
    fn price(&mut self, call: Candidate, same: Option<&Record>) -> (Record, Option<Costing>) {
        let costing = self.state.book.cost(&call.seen);
        let cost = reserve::cost_of(&call.seen, costing.as_ref());
        let waste = match same {
            Some(same) => same.waste.clone(),
            None => self.rules.waste.check(&mut self.recent, &call.seen, cost),
        };
        let record = Record {
            owner_at_ms: call.owner_at_ms,
            owner_sidechain: call.owner_sidechain,
            // An unchanged call keeps the price that it was recorded at until it is repriced.
            cost: same.map_or(cost, |same| same.cost),
            waste,
            seen: call.seen,
            heard: Vec::new(),
        };
        (record, costing)
    }

    /// Takes apart what several witnesses were heard about: the record of the account whose key it has, and the accounts
    /// that are calls of their own from here on.
    ///
    /// # Errors
    /// Only one witness saw the call.
    pub fn split(&mut self, seq: u64, known: &Record) -> Result<(Body, Vec<Candidate>), Refusal> {
        let mut heard = known.heard.clone();
        let Some(at) = heard.iter().position(|a| a.seen.key.hash == known.seen.key.hash) else {
            let what = format!("second witness of record {seq}");
            return Err(Refusal::NotFound { what });
        };
        let mut kept = heard.remove(at);
        if heard.iter().any(|a| a.seen.key.hash == kept.seen.key.hash) {
            return Err(Refusal::invalid(
                "seq",
                "its witnesses know the call by the same id",
                "a record whose witnesses were joined by their figures or by a request id beside their keys",
            ));
        }
        kept.seen.key = known.seen.key;
        let same = same_usage(&known.seen, &kept.seen);
        let (record, _) = self.price(kept, same.then_some(known));
        let body = Body::Amend {
            replaces: seq,
            reason: AmendReason::Split,
            record: Box::new(record),
        };
        Ok((body, heard))
    }

    /// The record at today's prices. `None` when its cost stays as it is.
    pub fn reprice(&self, record: &Record) -> Option<Record> {
        let costing = self.state.book.cost(&record.seen);
        let cost = reserve::cost_of(&record.seen, costing.as_ref());
        if cost == record.cost {
            return None;
        }
        let mut record = record.clone();
        record.cost = cost;
        let total = record.seen.tokens.total();
        for finding in &mut record.waste {
            finding.wasted_cost = figures::share(cost.unwrap_or_default(), finding.wasted_tokens, total);
        }
        Some(record)
    }

    /// Ends an agent's current session and starts another.
    ///
    /// # Errors
    /// The agent's name is too long.
    pub fn reset_session(&self, agent: &Name, now_ms: i64) -> Result<Body, Refusal> {
        if agent.len() > MAX_NAME_BYTES {
            let allowed = format!("at most {MAX_NAME_BYTES} bytes");
            return Err(Refusal::invalid(
                "agent",
                format!("{} bytes long", agent.len()),
                allowed,
            ));
        }
        let agent: Name = if agent.is_empty() {
            "api".into()
        } else {
            agent.clone()
        };
        let ended = self
            .state
            .sessions
            .current(&agent)
            .map_or_else(|| "".into(), |(_, session)| session.clone());
        let started = session::new_id(&agent, self.state.last_seq + 1, now_ms);
        Ok(Body::SessionReset {
            agent,
            ended,
            started,
        })
    }

    /// Begins to set a budget: checks it, and gives the account that past calls are counted into.
    ///
    /// # Errors
    /// A field is wrong, the zone does not exist, or there are too many budgets.
    pub fn open_account(&self, budget: Budget) -> Result<Account, Refusal> {
        let budget = budget.checked()?;
        if !budget.timezone.is_empty() && (self.rules().zones)(&budget.timezone).is_none() {
            let problem = format!(
                "{:?} is not a time zone",
                budget.timezone.chars().take(80).collect::<String>()
            );
            return Err(Refusal::invalid(
                "timezone",
                problem,
                "an IANA name such as Europe/Berlin",
            ));
        }
        if self.state.budgets.len() >= MAX_BUDGETS && !self.state.budgets.contains_key(&budget.name) {
            return Err(Refusal::invalid(
                "name",
                "there are too many budgets",
                format!("at most {MAX_BUDGETS}"),
            ));
        }
        Ok(self.account(budget, Vec::new()))
    }

    /// The account of a budget that counts the same calls in the same windows as the one of its name: what that one has
    /// counted stays as it is. `None`: past calls have to be counted anew.
    pub fn successor(&self, account: &Account) -> Option<Account> {
        let former = self.state.budgets.get(&account.budget().name)?;
        let counted = |account: &Account| {
            let budget = account.budget();
            (
                budget.scope.clone(),
                budget.window,
                budget.timezone.clone(),
                budget.weights,
            )
        };
        (counted(former) == counted(account)).then(|| former.replaced_by(account.budget().clone()))
    }

    /// Sets a budget with what it has counted so far.
    pub fn set_budget_body(&self, account: &Account) -> Body {
        let entry = BudgetEntry::of(account);
        Body::BudgetSet(serde_json::to_string(&entry).unwrap_or_default().into())
    }

    /// Completes an account that past calls were counted into: what is open is held in it, what was alerted on is not
    /// alerted on again, and what passes its limit already is booked.
    pub fn complete_account(&self, account: &mut Account, now_ms: i64) {
        for open in self.reservations.open() {
            let amount = open.estimate.used(&account.budget().weights);
            account.hold_again(&open.caller, open.at_ms, &amount, now_ms);
        }
        account.book_overdrafts(now_ms);
        account.begin_adjusting(now_ms);
        if let Some(former) = self.state.budgets.get(&account.budget().name) {
            account.inherit_alerts(former, now_ms);
            account.inherit_stops(former);
        }
    }

    /// Raises a budget's limit for a while.
    ///
    /// # Errors
    /// There is none of that name, the time is over, or it is lifted too often already.
    pub fn lift_budget(&self, name: &Name, lift: Lift, now_ms: i64) -> Result<Body, Refusal> {
        let Some(account) = self.state.budgets.get(name) else {
            return Err(no_budget(name));
        };
        if lift.by.cost < Pico::ZERO || lift.by.cost.0 > MAX_REPORTED_USD * PICO_PER_USD {
            let problem = format!("${}", lift.by.cost);
            return Err(Refusal::invalid("usd", problem, "0 to 1,000,000 dollars"));
        }
        if lift.session.len() > MAX_NAME_BYTES {
            let allowed = format!("at most {MAX_NAME_BYTES} bytes");
            let problem = format!("{} bytes long", lift.session.len());
            return Err(Refusal::invalid("session", problem, allowed));
        }
        let resets = account.view(now_ms).resets_at_ms;
        // Until the window ends, if nothing else was said.
        let until_ms = match lift.until_ms {
            0 if resets > 0 => resets,
            0 => i64::MAX,
            until => until,
        };
        if until_ms <= now_ms {
            return Err(Refusal::invalid("until_ms", "it is over", "an instant to come"));
        }
        if account.lifts_at(now_ms) >= MAX_LIFTS {
            let allowed = format!("at most {MAX_LIFTS} at once");
            return Err(Refusal::invalid("name", "it is lifted too often", allowed));
        }
        Ok(Body::BudgetLifted {
            budget: name.clone(),
            lift: Lift {
                until_ms,
                reason: prepare::cut_note(lift.reason),
                ..lift
            },
        })
    }

    /// Takes back what was lifted, for one session or altogether.
    ///
    /// # Errors
    /// There is no such budget, or nothing is lifted.
    pub fn unlift_budget(&self, name: &Name, session: &Name, now_ms: i64) -> Result<Body, Refusal> {
        let Some(account) = self.state.budgets.get(name) else {
            return Err(no_budget(name));
        };
        if !account
            .lifts(now_ms)
            .any(|lift| session.is_empty() || lift.session == *session)
        {
            let cut = |text: &str| text.chars().take(80).collect::<String>();
            let whose = match &**session {
                "" => String::new(),
                session => format!(" for session {:?}", cut(session)),
            };
            let what = format!("anything lifted of budget {:?}{whose}", cut(name));
            return Err(Refusal::NotFound { what });
        }
        Ok(Body::BudgetUnlifted {
            budget: name.clone(),
            session: session.clone(),
        })
    }

    /// Removes a budget.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_budget(&self, name: &Name) -> Result<Body, Refusal> {
        if self.state.budgets.contains_key(name) {
            return Ok(Body::BudgetRemoved(name.clone()));
        }
        Err(no_budget(name))
    }

    /// Takes in bills to learn from, those that are later than what was learned before; `None`: there is none.
    ///
    /// # Errors
    /// A name in one of them is too long, or a time lies in the future.
    pub fn learn(&self, mut bills: Vec<Bill>, now_ms: i64) -> Result<Option<Body>, Refusal> {
        for bill in &bills {
            if bill.agent.len().max(bill.model.len()) > MAX_NAME_BYTES {
                let allowed = format!("names of at most {MAX_NAME_BYTES} bytes");
                return Err(Refusal::invalid("bills", "a name is longer", allowed));
            }
            if bill.at_ms > now_ms.saturating_add(MAX_AHEAD_MS) {
                let problem = format!("{} ms lies ahead", bill.at_ms);
                return Err(Refusal::invalid("bills", problem, "a day ahead at most"));
            }
        }
        let known = &self.state.calibrations;
        bills.retain(|bill| known.is_new(&bill.agent, &bill.model, bill.at_ms));
        bills.sort_by_key(|bill| bill.at_ms);
        if bills.is_empty() {
            return Ok(None);
        }
        let json = serde_json::to_string(&bills).unwrap_or_default();
        Ok(Some(Body::Learned(json.into())))
    }

    /// Sets prices.
    ///
    /// # Errors
    /// A row is wrong, or there are too many.
    pub fn set_prices_body(&self, rows: &[PriceRow]) -> Result<Body, Refusal> {
        if rows.is_empty() || rows.len() > MAX_PRICE_ROWS {
            let allowed = format!("1 to {MAX_PRICE_ROWS}");
            return Err(Refusal::invalid(
                "prices",
                format!("{} rows", rows.len()),
                allowed,
            ));
        }
        for row in rows {
            row.check()?;
        }
        Ok(Body::PriceSet(
            serde_json::to_string(rows).unwrap_or_default().into(),
        ))
    }

    /// Removes the user's own price of a model.
    ///
    /// # Errors
    /// There is none.
    pub fn remove_price(&self, provider: &Name, model: &Name) -> Result<Body, Refusal> {
        if self.state.book.clone().remove(provider, model) {
            return Ok(Body::PriceRemoved {
                provider: provider.clone(),
                model: model.clone(),
            });
        }
        let separator = if provider.is_empty() { "" } else { "/" };
        let name: String = format!("{provider}{separator}{model}").chars().take(80).collect();
        let what = format!("own price of {name:?}");
        Err(Refusal::NotFound { what })
    }

    /// Begins a purge. `None`: there is nothing to do.
    ///
    /// # Errors
    /// It lies in the future.
    pub fn purge(&self, horizon_ms: i64, records: u64, now_ms: i64) -> Result<Option<Body>, Refusal> {
        if horizon_ms > now_ms || horizon_ms <= 0 {
            let problem = format!("{horizon_ms} ms is not in the past");
            return Err(Refusal::invalid(
                "before_ms",
                problem,
                "milliseconds since 1970, up to now",
            ));
        }
        let purges = records > 0 || horizon_ms > self.state.purge_horizon_ms;
        Ok(purges.then_some(Body::Purged { horizon_ms, records }))
    }
}

/// The entry that tells of a crossed threshold.
pub fn alert(crossing: &Crossing) -> Body {
    Body::BudgetAlert {
        budget: crossing.budget.clone(),
        threshold: crossing.threshold,
        percent: crossing.percent,
        window_start_ms: crossing.window_start_ms,
        message: crossing.message.as_str().into(),
    }
}

fn no_budget(name: &Name) -> Refusal {
    let what = format!("budget {:?}", name.chars().take(80).collect::<String>());
    Refusal::NotFound { what }
}

pub use reserve::{Released, Reserved, Settled, Spent, cost_of, settled_key};
pub use task::Allocated;

#[cfg(test)]
mod tests;
