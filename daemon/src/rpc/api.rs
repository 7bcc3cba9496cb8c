//! The API service: limits a minute, what providers' headers said, and where to go instead.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokmon_core::Name;
use tokmon_core::api::{Answer, Api, Meter, Outcome, Reported, check_name};
use tokmon_core::limits::{MAX_API_HEADERS, MAX_NAME_BYTES, MAX_RESERVED_TOKENS};
use tokmon_proto::v1;
use tokmon_proto::v1::api_service_server::ApiService;
use tonic::{Request, Response, Status};

use super::{actor, status};
use crate::context::Context;

/// Answers from memory; what is set is an entry.
pub(super) struct Apis(pub Arc<Context>);

impl Apis {
    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.0.apis.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, name: &Name) -> v1::ApiState {
        let apis = &self.0.ledger.state().apis;
        let set = apis.get(name);
        let now = self.meter().look(apis, name, 0, self.0.clock.now_ms());
        let api = set.map_or_else(|| Api::usual(name.clone()), |api| (**api).clone());
        v1::ApiState {
            api: Some(v1::Api {
                name: api.name.to_string(),
                requests_per_minute: api.requests_per_minute,
                tokens_per_minute: api.tokens_per_minute,
                fallback: api.fallback.iter().map(ToString::to_string).collect(),
            }),
            is_set: set.is_some(),
            now: Some(answer(now)),
        }
    }
}

#[tonic::async_trait]
impl ApiService for Apis {
    async fn set(&self, request: Request<v1::SetApiRequest>) -> Result<Response<v1::ApiState>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let wire = request.into_inner().api;
        let wire = wire.ok_or_else(|| status::invalid("api", "it is missing", "one Api message"))?;
        let api = Api {
            name: wire.name.into(),
            requests_per_minute: wire.requests_per_minute,
            tokens_per_minute: wire.tokens_per_minute,
            fallback: wire.fallback.into_iter().map(Into::into).collect(),
        };
        let name = api.name.clone();
        ledger.set_api(api).await.map_err(status::ledger)?;
        Ok(Response::new(self.state(&name)))
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveApiRequest>,
    ) -> Result<Response<v1::RemoveApiResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let name = request.into_inner().name;
        ledger.remove_api(&name).await.map_err(status::ledger)?;
        Ok(Response::new(v1::RemoveApiResponse {}))
    }

    async fn get(&self, request: Request<v1::GetApiRequest>) -> Result<Response<v1::ApiState>, Status> {
        let name = named(request.into_inner().name)?;
        Ok(Response::new(self.state(&name)))
    }

    async fn list(&self, _: Request<v1::ListApisRequest>) -> Result<Response<v1::ListApisResponse>, Status> {
        let mut names: BTreeSet<Name> = self.0.ledger.state().apis.keys().cloned().collect();
        names.extend(self.meter().names().cloned());
        let apis = names.iter().map(|name| self.state(name)).collect();
        Ok(Response::new(v1::ListApisResponse { apis }))
    }

    async fn acquire(
        &self,
        request: Request<v1::AcquireRequest>,
    ) -> Result<Response<v1::AcquireResponse>, Status> {
        let request = request.into_inner();
        let name = named(request.name)?;
        check_tokens(request.tokens)?;
        let state = self.0.ledger.state();
        let now_ms = self.0.clock.now_ms();
        let acquired = self.meter().acquire(&state.apis, &name, request.tokens, now_ms);
        Ok(Response::new(answer(acquired)))
    }

    async fn report(
        &self,
        request: Request<v1::ReportApiRequest>,
    ) -> Result<Response<v1::ReportApiResponse>, Status> {
        let request = request.into_inner();
        let name = named(request.name)?;
        check_tokens(request.tokens)?;
        if request.headers.len() > MAX_API_HEADERS {
            let found = format!("{} of them", request.headers.len());
            let allowed = format!("at most {MAX_API_HEADERS}");
            return Err(status::invalid("headers", found, allowed));
        }
        let too_long = |h: &&v1::Header| h.name.len().max(h.value.len()) > MAX_NAME_BYTES;
        // Headers that are about limits are short; others are passed over anyway.
        let headers = request.headers.iter().filter(|h| !too_long(h));
        let headers = headers.map(|h| (h.name.as_str(), h.value.as_str()));
        let outcome = match request.status {
            0 | 408 | 500..=599 => Outcome::Failed,
            429 => Outcome::Limited,
            100..=499 => Outcome::Answered,
            other => {
                let allowed = "an HTTP status (100 to 599), or 0: no answer";
                return Err(status::invalid("status", other.to_string(), allowed));
            }
        };
        let now_ms = self.0.clock.now_ms();
        let said = Reported::read(headers, now_ms);
        self.meter().report(&name, outcome, &said, request.tokens, now_ms);
        Ok(Response::new(v1::ReportApiResponse {
            api: Some(self.state(&name)),
            ignored: said.ignored,
        }))
    }
}

fn named(name: String) -> Result<Name, Status> {
    check_name("name", &name).map_err(|refusal| status::refusal(&refusal))?;
    Ok(name.into())
}

fn check_tokens(tokens: u64) -> Result<(), Status> {
    if tokens <= MAX_RESERVED_TOKENS {
        return Ok(());
    }
    let allowed = format!("up to {MAX_RESERVED_TOKENS}");
    Err(status::invalid("tokens", tokens.to_string(), allowed))
}

fn answer(answer: Answer) -> v1::AcquireResponse {
    v1::AcquireResponse {
        allowed: answer.allowed,
        wait_ms: answer.wait_ms,
        reason: answer.reason.map_or("", |reason| reason.name()).to_owned(),
        requests_limited: answer.requests_left.is_some(),
        requests_left: answer.requests_left.unwrap_or_default(),
        tokens_limited: answer.tokens_left.is_some(),
        tokens_left: answer.tokens_left.unwrap_or_default(),
        resets_at_ms: answer.resets_at_ms,
        next: answer.next.map(|next| next.to_string()).unwrap_or_default(),
        retries_left: answer.retries_left,
        backoff_ms: answer.backoff_ms,
        timeout_ms: answer.timeout_ms,
    }
}
