//! The session service: statistics of a session, lists, reset.

use std::sync::Arc;

use tokmon_core::report::{Filter, Grouping, Query};
use tokmon_ledger::{Ledger, LedgerError, SessionRow, SessionsQuery};
use tokmon_proto::error::Kind;
use tokmon_proto::v1;
use tokmon_proto::v1::session_service_server::SessionService;
use tonic::{Request, Response, Status};

use super::usage::page_size;
use super::{actor, convert, status};
use crate::context::Context;

/// Answers from the ledger.
pub(super) struct Sessions(pub Arc<Context>);

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn get(&self, request: Request<v1::GetSessionRequest>) -> Result<Response<v1::Session>, Status> {
        let v1::GetSessionRequest { id, agent } = request.into_inner();
        let state = self.0.ledger.state();
        let (agent, id) = if id.is_empty() {
            match state.sessions.current(&agent) {
                Some((agent, session)) => (agent.to_string(), session.to_string()),
                None => {
                    let message = if agent.is_empty() {
                        "no session yet".to_owned()
                    } else {
                        format!("session of agent {:?} not found", convert::excerpt(&agent))
                    };
                    return Err(Kind::NotFound.status(message, Some("record something first")));
                }
            }
        } else {
            (agent, id)
        };
        let ledger = self.0.ledger.clone();
        let wanted = id.clone();
        let found = status::read(move || details(&ledger, &agent, &wanted)).await?;
        match found {
            Some(session) => Ok(Response::new(session)),
            None => Err(Kind::NotFound.status(
                format!("session {:?} not found", convert::excerpt(&id)),
                Some("see `tokmonctl session list`"),
            )),
        }
    }

    async fn list(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let request = request.into_inner();
        let (from_ms, to_ms) = convert::window(request.window)?;
        let query = SessionsQuery {
            from_ms,
            to_ms,
            filter: convert::filter(request.filter),
            page_size: page_size(request.page_size, 50)?,
            page_token: request.page_token,
        };
        let ledger = self.0.ledger.clone();
        let page = status::read(move || ledger.sessions(&query)).await?;
        Ok(Response::new(v1::ListSessionsResponse {
            sessions: page.items.iter().map(session).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn reset(
        &self,
        request: Request<v1::ResetSessionRequest>,
    ) -> Result<Response<v1::ResetSessionResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let agent = request.into_inner().agent;
        let agent = if agent.is_empty() { "api" } else { &agent };
        let done = ledger.reset_session(agent).await.map_err(status::ledger)?;
        let ended = done.ended.as_ref().map(totals).unwrap_or_default();
        Ok(Response::new(v1::ResetSessionResponse {
            ended: Some(ended),
            started: done.started.to_string(),
        }))
    }
}

/// A session's totals for the wire.
pub(super) fn totals(row: &SessionRow) -> v1::SessionTotals {
    v1::SessionTotals {
        session: row.session.to_string(),
        requests: row.agg.requests,
        tokens: Some(convert::tokens(&row.agg.tokens)),
        cost: Some(convert::money(row.agg.cost)),
    }
}

fn session(row: &SessionRow) -> v1::Session {
    let sums = convert::totals_row(Vec::new(), &row.agg);
    v1::Session {
        id: row.session.to_string(),
        agent: row.agent.to_string(),
        project: row.project.to_string(),
        user: row.user.to_string(),
        first_ms: sums.first_ms,
        last_ms: sums.last_ms,
        totals: sums.totals,
        by_tool: Vec::new(),
        by_model: Vec::new(),
        waste_events: row.agg.waste.iter().map(|w| w.events).sum(),
        wasted_tokens: row.agg.waste.iter().map(|w| w.tokens).sum(),
    }
}

fn details(ledger: &Ledger, agent: &str, id: &str) -> Result<Option<v1::Session>, LedgerError> {
    let Some(row) = ledger.session(agent, id)? else {
        return Ok(None);
    };
    let by = |grouping: Grouping| -> Result<Vec<v1::TotalsRow>, LedgerError> {
        let query = Query {
            from_ms: Some(row.agg.first_ms),
            to_ms: Some(row.agg.last_ms.saturating_add(1)),
            group_by: vec![grouping],
            filter: Filter {
                agents: vec![row.agent.to_string()],
                sessions: vec![row.session.to_string()],
                ..Filter::default()
            },
            ..Query::everything()
        };
        let (report, _) = ledger.report(&query)?;
        Ok(report
            .rows
            .into_iter()
            .map(|r| convert::totals_row(r.keys, &r.agg))
            .collect())
    };
    Ok(Some(v1::Session {
        by_tool: by(Grouping::Tool)?,
        by_model: by(Grouping::Model)?,
        ..session(&row)
    }))
}
