//! The statusline service: what an agent's line shows, and what the agent tells with it.

use std::sync::Arc;

use tokmon_core::Name;
use tokmon_core::budget::Caller;
use tokmon_core::hook;
use tokmon_core::limits::MAX_NAME_BYTES;
use tokmon_core::report::{Filter, Query};
use tokmon_core::time::{Period, period_window};
use tokmon_ledger::LedgerError;
use tokmon_proto::v1;
use tokmon_proto::v1::statusline_service_server::StatuslineService;
use tonic::{Request, Response, Status};
use tracing::debug;

use super::{budget, convert, quota, report, status};
use crate::context::Context;
use crate::statuslines::{Cache, Told};

/// Answers from the rollups and the ledger's state.
pub(super) struct Statuslines(pub Arc<Context>);

#[tonic::async_trait]
impl StatuslineService for Statuslines {
    async fn push(
        &self,
        request: Request<v1::PushStatuslineRequest>,
    ) -> Result<Response<v1::PushStatuslineResponse>, Status> {
        let app = &self.0;
        let wire = request.into_inner();
        if wire.agent.is_empty() {
            return Err(status::invalid("agent", "it is empty", "the agent's name"));
        }
        let agent = name("agent", &wire.agent)?;
        let session = name("session", &wire.session)?;
        let caller = Caller {
            agent: agent.clone(),
            session: session.clone(),
            project: app
                .repositories
                .root(name("project", &wire.project)?, app.clock.now_ms()),
            model: name("model", &wire.model)?,
            task: "".into(),
            user: "".into(),
            tool: "".into(),
            provider: "".into(),
        };
        let told = Told {
            model: caller.model.clone(),
            project: caller.project.clone(),
            cost: wire
                .session_cost
                .as_ref()
                .map(|m| convert::pico("session_cost", m))
                .transpose()?,
            cache: wire.prompt_cache.map(|cache| Cache {
                warm: cache.warm,
                requests: cache.requests,
                misses: cache.misses,
                expires_at_ms: cache.expires_at_ms,
                recache_tokens: cache.recache_tokens,
            }),
            at_ms: app.clock.now_ms(),
        };
        if !session.is_empty() {
            app.statuslines.keep(agent.clone(), session.clone(), told);
        }
        let refused = self.keep_quotas(&agent, wire.quotas).await;
        let mut answer = self.figures(agent.clone(), session).await?;
        answer.budget = self.budget(caller);
        answer.quotas = quota::of_agent(app, &agent);
        answer.refused = refused;
        Ok(Response::new(answer))
    }

    async fn list(
        &self,
        _: Request<v1::ListStatuslinesRequest>,
    ) -> Result<Response<v1::ListStatuslinesResponse>, Status> {
        let app = self.0.clone();
        let sessions = status::read(move || {
            let told = app.statuslines.all();
            let state = app.ledger.state();
            let session = |((agent, session), told): ((Name, Name), Told)| {
                let row = app.ledger.session(&agent, &session)?;
                Ok::<_, LedgerError>(v1::StatuslineSession {
                    agent: agent.to_string(),
                    session: session.to_string(),
                    model: told.model.to_string(),
                    told_cost: told.cost.map(convert::money),
                    booked_cost: state
                        .officials
                        .get(&agent, &session)
                        .map(|o| convert::money(o.booked())),
                    known_cost: row.map(|row| convert::money(row.agg.cost)),
                    prompt_cache: told.cache.map(|cache| v1::PromptCache {
                        warm: cache.warm,
                        requests: cache.requests,
                        misses: cache.misses,
                        expires_at_ms: cache.expires_at_ms,
                        recache_tokens: cache.recache_tokens,
                    }),
                    last_ms: told.at_ms,
                })
            };
            told.into_iter().map(session).collect::<Result<Vec<_>, _>>()
        })
        .await?;
        Ok(Response::new(v1::ListStatuslinesResponse { sessions }))
    }
}

impl Statuslines {
    /// Keeps what can be believed; says what could not.
    async fn keep_quotas(&self, agent: &Name, wire: Vec<v1::QuotaReading>) -> Vec<String> {
        let (mut readings, mut refused) = (Vec::new(), Vec::new());
        for mut reading in wire.into_iter().take(tokmon_core::limits::MAX_QUOTAS) {
            reading.agent = agent.to_string();
            match quota::reading_in(&self.0, reading) {
                Ok(reading) => readings.push(reading),
                Err(problem) => refused.push(problem.message().to_owned()),
            }
        }
        // A line is shown whatever becomes of the ledger: the agent tells it again.
        if let Err(problem) = self.0.ledger.note_quotas(readings).await {
            debug!("quotas were not kept: {problem}");
        }
        refused
    }

    async fn figures(&self, agent: Name, session: Name) -> Result<v1::PushStatuslineResponse, Status> {
        let app = self.0.clone();
        status::read(move || {
            let session = match session.is_empty() {
                true => None,
                false => app.ledger.session(&agent, &session)?,
            };
            let today = period_window(Period::Today, app.clock.now_ms(), &app.config.zone);
            let (today, _) = app.ledger.report(&Query {
                from_ms: Some(today.start),
                to_ms: Some(today.end),
                group_by: Vec::new(),
                zone: app.config.zone.clone(),
                filter: Filter::default(),
                week_start: jiff::civil::Weekday::Monday,
            })?;
            let block = quota::open_block(&app, &agent)?;
            Ok::<_, LedgerError>(v1::PushStatuslineResponse {
                session: session.map(|row| convert::totals(&row.agg)),
                today: Some(convert::totals(&today.total)),
                block: block.as_ref().map(report::block),
                ..Default::default()
            })
        })
        .await
    }

    /// Of the budgets that cover somebody, the one that is used most.
    fn budget(&self, caller: Caller) -> Option<v1::BudgetState> {
        let app = &self.0;
        let (state, now_ms) = (app.ledger.state(), app.clock.now_ms());
        let caller = hook::completed(caller, &state, &app.config.user.as_str().into());
        let covering = state
            .budgets
            .values()
            .filter(|account| account.budget().scope.covers(&caller));
        let views = covering.map(|account| (account, account.view_for(&caller, now_ms)));
        let (account, view) = views.max_by_key(|(_, view)| view.percent)?;
        Some(budget::state_out(account, view, now_ms))
    }
}

fn name(field: &'static str, text: &str) -> Result<Name, Status> {
    if text.len() > MAX_NAME_BYTES {
        let problem = format!("{} bytes long", text.len());
        return Err(status::invalid(
            field,
            problem,
            format!("at most {MAX_NAME_BYTES} bytes"),
        ));
    }
    Ok(text.into())
}
