//! The task service: shares of a session's budgets, kept until their task is complete.

use std::sync::Arc;

use tokmon_core::task::{Allocation, Task};
use tokmon_ledger::{Claim, Claimed, Ledger};
use tokmon_proto::error::Kind;
use tokmon_proto::v1;
use tokmon_proto::v1::task_service_server::TaskService;
use tonic::{Request, Response, Status};

use super::budget::claim::binding;
use super::{actor, convert, status};
use crate::context::Context;

/// Answers from the ledger's state; changes are entries.
pub(super) struct Tasks(pub Arc<Context>);

impl Tasks {
    async fn claim(&self, ledger: &Ledger, claim: Claim) -> Result<Claimed, Status> {
        let claimed = ledger.claim(vec![claim]).await.map_err(status::ledger)?;
        let one = claimed.into_iter().next();
        one.ok_or_else(|| Kind::Bug.status("a claim was not answered", None))?
            .map_err(status::ledger)
    }

    fn known(&self, session: &str, task: &str) -> Option<v1::Task> {
        self.0.ledger.state().tasks.get(session, task).map(task_out)
    }

    fn find(&self, session: &str, task: &str) -> Result<v1::Task, Status> {
        self.known(session, task).ok_or_else(|| {
            let (session, task) = (convert::excerpt(session), convert::excerpt(task));
            let hint = Some("see `tokmonctl task list --all`");
            Kind::NotFound.status(format!("task {task:?} of session {session:?} not found"), hint)
        })
    }
}

#[tonic::async_trait]
impl TaskService for Tasks {
    async fn allocate(
        &self,
        request: Request<v1::AllocateTaskRequest>,
    ) -> Result<Response<v1::AllocateTaskResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let wire = request.into_inner();
        let usd = wire.usd.as_ref().map(|m| convert::pico("usd", m)).transpose()?;
        let allocation = Allocation {
            agent: wire.agent.into(),
            session: wire.session.as_str().into(),
            task: wire.task.as_str().into(),
            priority: wire.priority,
            tokens: wire.tokens,
            cost: usd.unwrap_or_default(),
        };
        let claimed = self.claim(&ledger, Claim::Allocate(Box::new(allocation))).await?;
        let mut answer = v1::AllocateTaskResponse {
            granted: true,
            task: self.known(&wire.session, &wire.task),
            ..v1::AllocateTaskResponse::default()
        };
        if let Claimed::NoRoom(full) = &claimed {
            answer.granted = false;
            answer.reason = full.reason().to_owned();
            answer.binding = Some(binding(full));
        }
        Ok(Response::new(answer))
    }

    async fn get(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::Task>, Status> {
        let request = request.into_inner();
        self.find(&request.session, &request.task).map(Response::new)
    }

    async fn list(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        let request = request.into_inner();
        let state = self.0.ledger.state();
        let session = Some(request.session.as_str()).filter(|session| !session.is_empty());
        let wanted = |task: &&Task| task.is_open() || request.completed;
        Ok(Response::new(v1::ListTasksResponse {
            tasks: state.tasks.of(session).filter(wanted).map(task_out).collect(),
        }))
    }

    async fn complete(
        &self,
        request: Request<v1::CompleteTaskRequest>,
    ) -> Result<Response<v1::Task>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let v1::CompleteTaskRequest { session, task } = request.into_inner();
        let claim = Claim::Complete(session.as_str().into(), task.as_str().into());
        self.claim(&ledger, claim).await?;
        self.find(&session, &task).map(Response::new)
    }
}

fn task_out(task: &Task) -> v1::Task {
    let (share, left) = (&task.allocation, task.left());
    v1::Task {
        agent: share.agent.to_string(),
        session: share.session.to_string(),
        task: share.task.to_string(),
        priority: share.priority,
        state: if task.is_open() { "open" } else { "completed" }.to_owned(),
        allocated_tokens: share.tokens,
        allocated_usd: Some(convert::money(share.cost)),
        used_tokens: task.used.tokens,
        used_usd: Some(convert::money(task.used.cost)),
        used_requests: task.used.requests,
        pending_tokens: task.pending.tokens,
        pending_usd: Some(convert::money(task.pending.cost)),
        left_tokens: left.tokens,
        left_usd: Some(convert::money(left.cost)),
        allocated_at_ms: task.allocated_at_ms,
        completed_at_ms: task.completed_at_ms,
    }
}
