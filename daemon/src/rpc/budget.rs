//! The budget service: set, list, show, remove.

use std::sync::Arc;

use tokmon_core::budget::{Account, Action, Budget, Scope, Span, Unreachable, Weights};
use tokmon_core::report::Filter;
use tokmon_proto::error::Kind;
use tokmon_proto::v1;
use tokmon_proto::v1::budget_service_server::BudgetService;
use tonic::{Request, Response, Status};

use super::{convert, status};
use crate::context::Context;

/// Answers from the ledger's state; changes are entries.
pub(super) struct Budgets(pub Arc<Context>);

impl Budgets {
    fn state(&self, account: &Account) -> v1::BudgetState {
        let view = account.view(self.0.clock.now_ms());
        v1::BudgetState {
            budget: Some(budget_out(account.budget())),
            used_tokens: view.used.tokens,
            used_usd: Some(convert::money(view.used.cost)),
            used_requests: view.used.requests,
            percent: view.percent,
            state: view.state.to_owned(),
            window_start_ms: view.window_start_ms,
            resets_at_ms: view.resets_at_ms,
        }
    }
}

#[tonic::async_trait]
impl BudgetService for Budgets {
    async fn set(&self, request: Request<v1::SetBudgetRequest>) -> Result<Response<v1::Budget>, Status> {
        let wire = request.into_inner().budget;
        let wire = wire.ok_or_else(|| status::invalid("budget", "it is missing", "one Budget message"))?;
        let budget = self
            .0
            .ledger
            .set_budget(budget_in(wire)?)
            .await
            .map_err(status::ledger)?;
        Ok(Response::new(budget_out(&budget)))
    }

    async fn list(
        &self,
        _: Request<v1::ListBudgetsRequest>,
    ) -> Result<Response<v1::ListBudgetsResponse>, Status> {
        let state = self.0.ledger.state();
        let budgets = state
            .budgets
            .values()
            .map(|account| self.state(account))
            .collect();
        Ok(Response::new(v1::ListBudgetsResponse { budgets }))
    }

    async fn get(&self, request: Request<v1::GetBudgetRequest>) -> Result<Response<v1::BudgetState>, Status> {
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
        let name = request.into_inner().name;
        self.0.ledger.remove_budget(&name).await.map_err(status::ledger)?;
        Ok(Response::new(v1::RemoveBudgetResponse {}))
    }
}

fn budget_in(wire: v1::Budget) -> Result<Budget, Status> {
    let refused = |r| status::refusal(&r);
    let Filter {
        agents,
        models,
        projects,
        sessions,
        tools,
        users,
        providers,
    } = convert::filter(wire.scope);
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
        weights: Weights::default(),
        shadow: false,
        unreachable: Unreachable::Allow,
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
        }),
        limit_tokens: budget.limit_tokens,
        limit_usd: Some(convert::money(budget.limit_usd)),
        limit_requests: budget.limit_requests,
        window: budget.window.to_string(),
        timezone: budget.timezone.to_string(),
        warn_percent: budget.warn_percent,
        critical_percent: budget.critical_percent,
        action: budget.action.name().to_owned(),
    }
}
