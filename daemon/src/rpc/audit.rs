//! The audit service: acts as entries tell of them.

use std::sync::Arc;

use tokmon_core::audit::{Act, ActFilter};
use tokmon_core::veil::Public;
use tokmon_ledger::ActsQuery;
use tokmon_proto::v1;
use tokmon_proto::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

use super::usage::page_size;
use super::{budget, convert, status};
use crate::anonymize;
use crate::context::Context;

/// Answers from the ledger.
pub(super) struct Audit(pub Arc<Context>);

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let request = request.into_inner();
        let (from_ms, to_ms) = convert::window(request.window)?;
        let query = ActsQuery {
            from_ms,
            to_ms,
            filter: ActFilter {
                budgets: request.budgets,
                sessions: request.sessions,
                agents: request.agents,
                decisions: request.decisions,
            },
            page_size: page_size(request.page_size, 100)?,
            page_token: request.page_token,
        };
        let (app, anonymize) = (self.0.clone(), request.anonymize);
        let read = move || {
            let mut page = app.ledger.acts(&query)?;
            if let Some(wanted) = anonymize {
                let veil = anonymize::veil(&wanted.key, &app.paths.state_dir)?;
                let public = Public::bundled();
                page.items.iter_mut().for_each(|act| veil.act(act, &public));
            }
            Ok(page)
        };
        let page = status::read(read).await?;
        Ok(Response::new(v1::ListAuditResponse {
            acts: page.items.iter().map(act).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }
}

fn act(act: &Act) -> v1::Act {
    let (who, estimate) = (&act.caller, act.estimate.unwrap_or_default());
    let grounds = act.grounds.as_deref();
    v1::Act {
        seq: act.seq,
        at_ms: act.at_ms,
        decision: act.what.name().to_owned(),
        by: act.by.as_ref().map(|by| v1::Actor {
            user: by.user.to_string(),
            client: by.client.to_string(),
            pid: by.pid,
        }),
        agent: who.agent.to_string(),
        session: who.session.to_string(),
        task: who.task.to_string(),
        project: who.project.to_string(),
        user: who.user.to_string(),
        tool: who.tool.to_string(),
        provider: who.provider.to_string(),
        model: who.model.to_string(),
        budget: act.budget.to_string(),
        binding: grounds
            .and_then(|grounds| grounds.binding.as_ref())
            .map(budget::binding),
        reservation: act.reservation.to_string(),
        usage: act.estimate.map(|estimate| convert::tokens(&estimate.usage)),
        tokens: estimate.tokens,
        usd: estimate.cost.map(convert::money),
        requests: estimate.requests,
        would_deny: grounds
            .iter()
            .flat_map(|grounds| &grounds.would_deny)
            .map(ToString::to_string)
            .collect(),
        until_ms: act.until_ms,
        text: act.text(),
        subject: act.subject.to_string(),
        count: act.count,
        times: act.times,
        reason: act.reason.to_string(),
    }
}
