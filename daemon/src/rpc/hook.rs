//! The hook service: agents ask whether they may go on; doctors ask which hooks fired.

mod transcript;

use std::sync::Arc;

use tokmon_core::Name;
use tokmon_core::budget::Caller;
use tokmon_core::hook::{self, Point, Question, Verdict};
use tokmon_core::limits::MAX_NAME_BYTES;
use tokmon_proto::v1;
use tokmon_proto::v1::hook_service_server::HookService;
use tonic::{Request, Response, Status};
use tracing::warn;

use super::{actor, status};
use crate::context::Context;

/// Answers from the ledger's state; a hook never waits for the disk.
pub(super) struct Hooks(pub Arc<Context>);

#[tonic::async_trait]
impl HookService for Hooks {
    async fn ask(
        &self,
        request: Request<v1::AskHookRequest>,
    ) -> Result<Response<v1::AskHookResponse>, Status> {
        let app = &self.0;
        let ledger = actor::ledger(app, &request);
        let request = request.into_inner();
        if request.point != "signal"
            && let Some(capture) = &app.capture
        {
            transcript::catch_up(capture, &request).await;
        }
        let mut question = question(request)?;
        let project = question.caller.project.clone();
        question.caller.project = app.repositories.root(project, app.clock.now_ms());
        if app.ledger.has_expired() {
            // What is held beyond its time would be in the way. When it cannot be ended it still is held.
            drop(app.ledger.expire().await);
        }
        let state = app.ledger.state();
        let now_ms = app.clock.now_ms().max(state.last_recorded_ms);
        question.caller = hook::completed(question.caller, &state, &app.config.user.as_str().into());
        let refused = hook::refused(&state, &question, now_ms);
        let by = refused.as_ref().map(|refused| &refused.budget);
        let denials = app
            .hooks
            .change(|memory| memory.saw(&question, by, app.clock.now_ms()));
        let Some(refused) = refused else {
            return Ok(Response::new(v1::AskHookResponse {
                verdict: Verdict::Allow.name().to_owned(),
                ..Default::default()
            }));
        };
        // Counted in the ledger too, without making the hook wait for the disk.
        ledger.note_denied(question.caller.clone(), refused.grounds.clone());
        if denials == hook::STOP_AFTER {
            let Caller { agent, session, .. } = &question.caller;
            warn!(%agent, %session, budget = %refused.budget, denials, "a session goes on asking after it was denied");
        }
        Ok(Response::new(v1::AskHookResponse {
            verdict: Verdict::after(denials).name().to_owned(),
            reason: refused.message,
            budget: refused.budget.to_string(),
            resets_at_ms: refused.resets_at_ms,
            denials,
        }))
    }

    async fn list(
        &self,
        _: Request<v1::ListHooksRequest>,
    ) -> Result<Response<v1::ListHooksResponse>, Status> {
        let memory = self.0.hooks.memory();
        let fired = memory.fired().iter().map(|f| v1::FiredHook {
            agent: f.agent.to_string(),
            event: f.event.to_string(),
            count: f.count,
            denied: f.denied,
            first_ms: f.first_ms,
            last_ms: f.last_ms,
        });
        let mut fired: Vec<_> = fired.collect();
        fired.sort_by(|a, b| (&a.agent, &a.event).cmp(&(&b.agent, &b.event)));
        let denied = memory.streaks().iter().map(|s| v1::DeniedSession {
            agent: s.agent.to_string(),
            session: s.session.to_string(),
            budget: s.budget.to_string(),
            denials: s.denials,
            last_ms: s.last_ms,
        });
        Ok(Response::new(v1::ListHooksResponse {
            denied: denied.collect(),
            fired,
        }))
    }
}

fn question(wire: v1::AskHookRequest) -> Result<Question, Status> {
    let point = match wire.point.as_str() {
        "gate" => Point::Gate,
        "signal" => Point::Signal,
        "" => Point::Unknown,
        other => {
            let problem = format!("{:?} is not known", super::convert::excerpt(other));
            return Err(status::invalid("point", problem, "gate, signal or nothing"));
        }
    };
    if wire.agent.is_empty() {
        return Err(status::invalid("agent", "it is empty", "the agent's name"));
    }
    let name = |field: &'static str, text: String| -> Result<Name, Status> {
        if text.len() > MAX_NAME_BYTES {
            let allowed = format!("at most {MAX_NAME_BYTES} bytes");
            return Err(status::invalid(
                field,
                format!("{} bytes long", text.len()),
                allowed,
            ));
        }
        Ok(text.into())
    };
    Ok(Question {
        event: name("event", wire.event)?,
        caller: Caller {
            agent: name("agent", wire.agent)?,
            session: name("session", wire.session)?,
            task: "".into(),
            project: name("project", wire.project)?,
            user: "".into(),
            tool: "".into(),
            provider: name("provider", wire.provider)?,
            model: name("model", wire.model)?,
        },
        point,
        whole: !wire.garbled,
    })
}
