//! The budget service: set, list, show, remove, lift; check, reserve, extend, settle, release.

mod adjust;
pub(super) mod claim;
mod policy;
mod suggest;

use std::sync::Arc;

use tokmon_core::Name;
use tokmon_core::budget::{
    Account, Action, Budget, Lift, Scope, SessionLimits, Span, Unreachable, Used, View, Weights,
    session_budget_names, session_budgets,
};
use tokmon_core::report::Filter;
use tokmon_core::runaway::{OnRunaway, Stop};
use tokmon_proto::error::Kind;
use tokmon_proto::v1;
use tokmon_proto::v1::budget_service_server::BudgetService;
use tonic::{Request, Response, Status};

pub(super) use claim::binding;
pub(crate) use policy::keep as keep_policy;

use super::{actor, convert, status};
use crate::context::Context;

/// Answers from the ledger's state; changes are entries.
pub(super) struct Budgets(pub Arc<Context>);

impl Budgets {
    fn state(&self, account: &Account) -> v1::BudgetState {
        let now_ms = self.0.clock.now_ms();
        state_out(account, account.view(now_ms), now_ms)
    }
}

/// A budget as it stands, for the wire.
pub(super) fn state_out(account: &Account, view: View, now_ms: i64) -> v1::BudgetState {
    v1::BudgetState {
        budget: Some(budget_out(account.budget())),
        used_tokens: view.used.tokens,
        used_usd: Some(convert::money(view.used.cost)),
        used_requests: view.used.requests,
        percent: view.percent,
        state: view.state.to_owned(),
        window_start_ms: view.window_start_ms,
        resets_at_ms: view.resets_at_ms,
        pending_tokens: view.standing.pending.tokens,
        pending_usd: Some(convert::money(view.standing.pending.cost)),
        pending_requests: view.standing.pending.requests,
        overdraft_tokens: view.standing.overdraft.tokens,
        overdraft_usd: Some(convert::money(view.standing.overdraft.cost)),
        overdraft_requests: view.standing.overdraft.requests,
        lifts: account.lifts(now_ms).map(lift_out).collect(),
        stops: account.stops().map(stop_out).collect(),
    }
}

impl Budgets {
    /// Whoever looks first in a new window sees what is decided for it. When that cannot be written, the old still holds.
    async fn turn_windows(&self) {
        if self.0.ledger.has_expired() {
            drop(self.0.ledger.expire().await);
        }
    }

    fn session_budget(&self, session: String) -> Result<v1::SessionBudget, Status> {
        let state = self.0.ledger.state();
        let of = |name: &Name| state.budgets.get(name).map(|account| self.state(account));
        let [daily, monthly, hard] = session_budget_names(&session).map(|name| of(&name));
        if daily.is_none() && monthly.is_none() && hard.is_none() {
            return Err(Kind::NotFound.status(
                format!("budget of session {:?} not found", convert::excerpt(&session)),
                Some("set it with `tokmonctl budget session ID --daily N`"),
            ));
        }
        Ok(v1::SessionBudget {
            session,
            daily,
            monthly,
            hard,
        })
    }
}

fn session_named(session: &str) -> Result<(), Status> {
    if session.is_empty() {
        return Err(status::invalid("session", "it is empty", "the session's id"));
    }
    Ok(())
}

#[tonic::async_trait]
impl BudgetService for Budgets {
    async fn set(&self, request: Request<v1::SetBudgetRequest>) -> Result<Response<v1::Budget>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let wire = request.into_inner().budget;
        let wire = wire.ok_or_else(|| status::invalid("budget", "it is missing", "one Budget message"))?;
        let budget = ledger
            .set_budget(budget_in(wire)?)
            .await
            .map_err(status::ledger)?;
        keep_policy(&self.0).await?;
        Ok(Response::new(budget_out(&budget)))
    }

    async fn list(
        &self,
        _: Request<v1::ListBudgetsRequest>,
    ) -> Result<Response<v1::ListBudgetsResponse>, Status> {
        self.turn_windows().await;
        let state = self.0.ledger.state();
        let budgets = state
            .budgets
            .values()
            .map(|account| self.state(account))
            .collect();
        Ok(Response::new(v1::ListBudgetsResponse { budgets }))
    }

    async fn get(&self, request: Request<v1::GetBudgetRequest>) -> Result<Response<v1::BudgetState>, Status> {
        self.turn_windows().await;
        let name = request.into_inner().name;
        let state = self.0.ledger.state();
        match state.budgets.get(name.as_str()) {
            Some(account) => Ok(Response::new(self.state(account))),
            None => {
                Err(Kind::NotFound.status(format!("budget {:?} not found", convert::excerpt(&name)), None))
            }
        }
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveBudgetRequest>,
    ) -> Result<Response<v1::RemoveBudgetResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let name = request.into_inner().name;
        ledger.remove_budget(&name).await.map_err(status::ledger)?;
        keep_policy(&self.0).await?;
        Ok(Response::new(v1::RemoveBudgetResponse {}))
    }

    async fn lift(
        &self,
        request: Request<v1::LiftBudgetRequest>,
    ) -> Result<Response<v1::BudgetState>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let request = request.into_inner();
        let usd = request
            .usd
            .as_ref()
            .map(|m| convert::pico("usd", m))
            .transpose()?;
        let lift = Lift {
            by: Used {
                tokens: request.tokens,
                cost: usd.unwrap_or_default(),
                requests: request.requests,
            },
            until_ms: request.until_ms,
            session: request.session.as_str().into(),
            reason: request.reason.trim().into(),
            ..Lift::default()
        };
        ledger
            .lift_budget(&request.name, lift)
            .await
            .map_err(status::ledger)?;
        self.get(Request::new(v1::GetBudgetRequest { name: request.name }))
            .await
    }

    async fn set_session(
        &self,
        request: Request<v1::SetSessionBudgetRequest>,
    ) -> Result<Response<v1::SessionBudget>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let request = request.into_inner();
        session_named(&request.session)?;
        let or = |limit: u64, default: u64| if limit == 0 { default } else { limit };
        let usual = SessionLimits::default();
        let limits = SessionLimits {
            daily: or(request.daily_tokens, usual.daily),
            monthly: or(request.monthly_tokens, usual.monthly),
            hard: or(request.hard_tokens, usual.hard),
        };
        let unreachable = Unreachable::parse(&request.unreachable).map_err(|r| status::refusal(&r))?;
        let budgets = session_budgets(&request.session, &limits, &request.timezone.into(), unreachable);
        ledger
            .set_budgets(budgets.to_vec())
            .await
            .map_err(status::ledger)?;
        keep_policy(&self.0).await?;
        self.session_budget(request.session).map(Response::new)
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionBudgetRequest>,
    ) -> Result<Response<v1::SessionBudget>, Status> {
        let session = request.into_inner().session;
        session_named(&session)?;
        self.session_budget(session).map(Response::new)
    }

    async fn suggest(
        &self,
        request: Request<v1::SuggestBudgetRequest>,
    ) -> Result<Response<v1::SuggestBudgetResponse>, Status> {
        suggest::answer(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn unlift(
        &self,
        request: Request<v1::UnliftBudgetRequest>,
    ) -> Result<Response<v1::BudgetState>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let v1::UnliftBudgetRequest { name, session } = request.into_inner();
        ledger
            .unlift_budget(&name, &session)
            .await
            .map_err(status::ledger)?;
        self.get(Request::new(v1::GetBudgetRequest { name })).await
    }

    async fn check(
        &self,
        request: Request<v1::ReserveRequest>,
    ) -> Result<Response<v1::ReserveResponse>, Status> {
        self.check_one(request.into_inner()).await.map(Response::new)
    }

    async fn reserve(
        &self,
        request: Request<v1::ReserveRequest>,
    ) -> Result<Response<v1::ReserveResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        self.claim_reserve(&ledger, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn extend(
        &self,
        request: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ReserveResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        self.claim_extend(&ledger, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn settle(
        &self,
        request: Request<v1::SettleRequest>,
    ) -> Result<Response<v1::SettleResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        self.claim_settle(&ledger, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::SettleResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        self.claim_release(&ledger, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn many(&self, request: Request<v1::ManyRequest>) -> Result<Response<v1::ManyResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        self.claim_many(&ledger, request.into_inner())
            .await
            .map(Response::new)
    }
}

fn lift_out(lift: &Lift) -> v1::Lift {
    v1::Lift {
        tokens: lift.by.tokens,
        usd: Some(convert::money(lift.by.cost)),
        requests: lift.by.requests,
        until_ms: if lift.until_ms == i64::MAX {
            0
        } else {
            lift.until_ms
        },
        session: lift.session.to_string(),
        reason: lift.reason.to_string(),
        who: lift.who.to_string(),
        at_ms: lift.at_ms,
    }
}

fn stop_out(stop: &Stop) -> v1::Stop {
    v1::Stop {
        agent: stop.agent.to_string(),
        session: stop.session.to_string(),
        sign: stop.sign.name().to_owned(),
        at_ms: stop.at_ms,
    }
}

fn budget_in(wire: v1::Budget) -> Result<Budget, Status> {
    let refused = |r| status::refusal(&r);
    let scope = convert::filter(wire.scope);
    if scope.has_place() {
        return Err(status::invalid(
            "scope",
            "it names a branch, commit, subagent, skill or MCP server",
            "agents, models, projects, sessions, tools, users and providers",
        ));
    }
    let Filter {
        agents,
        models,
        projects,
        sessions,
        tools,
        users,
        providers,
        ..
    } = scope;
    let limits_money = wire
        .limit_usd
        .as_ref()
        .is_some_and(|m| *m != v1::Money::default());
    Ok(Budget {
        name: wire.name.into(),
        scope: Scope {
            agents,
            models,
            projects,
            sessions,
            tools,
            users,
            providers,
            tasks: wire.tasks,
        },
        limit_tokens: wire.limit_tokens,
        limit_usd: wire
            .limit_usd
            .as_ref()
            .map(|m| convert::pico("limit_usd", m))
            .transpose()?
            .unwrap_or_default(),
        limit_requests: wire.limit_requests,
        window: Span::parse(&wire.window).map_err(refused)?,
        timezone: wire.timezone.into(),
        warn_percent: wire.warn_percent,
        critical_percent: wire.critical_percent,
        action: Action::parse(&wire.action).map_err(refused)?,
        weights: wire.weights.map_or_else(Weights::default, |w| Weights {
            input: w.input,
            output: w.output,
            cache_read: w.cache_read,
            cache_write: w.cache_write,
        }),
        shadow: wire.shadow,
        unreachable: Unreachable::parse(&wire.unreachable).map_err(refused)?,
        on_runaway: OnRunaway::parse(&wire.on_runaway).map_err(refused)?,
        adjust: wire
            .adjust
            .map(|rule| adjust::read(rule, limits_money).map(Box::new))
            .transpose()?,
    })
}

fn budget_out(budget: &Budget) -> v1::Budget {
    let scope = budget.scope.clone();
    v1::Budget {
        name: budget.name.to_string(),
        scope: Some(v1::Filter {
            agents: scope.agents,
            models: scope.models,
            projects: scope.projects,
            sessions: scope.sessions,
            tools: scope.tools,
            users: scope.users,
            providers: scope.providers,
            ..v1::Filter::default()
        }),
        limit_tokens: budget.limit_tokens,
        limit_usd: Some(convert::money(budget.limit_usd)),
        limit_requests: budget.limit_requests,
        window: budget.window.to_string(),
        timezone: budget.timezone.to_string(),
        warn_percent: budget.warn_percent,
        critical_percent: budget.critical_percent,
        action: budget.action.name().to_owned(),
        weights: Some(v1::TokenWeights {
            input: budget.weights.input,
            output: budget.weights.output,
            cache_read: budget.weights.cache_read,
            cache_write: budget.weights.cache_write,
        })
        .filter(|_| budget.weights != Weights::default()),
        shadow: budget.shadow,
        unreachable: budget.unreachable.name().to_owned(),
        on_runaway: budget.on_runaway.name().to_owned(),
        adjust: adjust::write(budget),
        tasks: scope.tasks,
    }
}
