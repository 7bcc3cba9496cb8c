//! Limits of external APIs: how many calls and tokens a minute, what the provider's headers said, and where to go instead.
//!
//! Nothing waits here: an answer says how long to wait. The [`Meter`] is memory, not history: after a restart it starts
//! anew, and the provider's next headers put it right. What was set is kept as entries.

mod headers;
mod meter;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Name;
use crate::limits::{MAX_API_FALLBACKS, MAX_API_RATE, MAX_APIS, MAX_NAME_BYTES};
use crate::refusal::Refusal;

pub use headers::{Allowance, Reported};
pub use meter::{Answer, Meter, Outcome, Reason};

/// Calls a minute where nothing was set.
pub const DEFAULT_REQUESTS: u64 = 60;
/// How often a call is tried again.
pub const RETRIES: u32 = 3;
/// How long to wait for an answer, in milliseconds.
pub const TIMEOUT_MS: i64 = 30_000;

/// What was set for an API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    /// A provider ("anthropic"), or a provider and a model ("anthropic/claude-sonnet-4-5").
    pub name: Name,
    /// Most calls in any minute; 0: not limited by us.
    pub requests_per_minute: u64,
    /// Most tokens in any minute; 0: not limited by us.
    pub tokens_per_minute: u64,
    /// APIs or models to go to instead, the first one first.
    pub fallback: Vec<Name>,
}

impl Api {
    /// An API for which nothing was set.
    pub fn usual(name: Name) -> Api {
        Api {
            name,
            requests_per_minute: DEFAULT_REQUESTS,
            tokens_per_minute: 0,
            fallback: Vec::new(),
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn checked(self) -> Result<Api, Refusal> {
        check_name("name", &self.name)?;
        for (field, rate) in [
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
        ] {
            if rate > MAX_API_RATE {
                let allowed = format!("up to {MAX_API_RATE}");
                return Err(Refusal::invalid(field, rate.to_string(), allowed));
            }
        }
        if self.fallback.len() > MAX_API_FALLBACKS {
            let allowed = format!("at most {MAX_API_FALLBACKS}");
            return Err(Refusal::invalid(
                "fallback",
                format!("{} names", self.fallback.len()),
                allowed,
            ));
        }
        for name in &self.fallback {
            check_name("fallback", name)?;
            if *name == self.name {
                return Err(Refusal::invalid("fallback", "the API itself", "another one"));
            }
        }
        Ok(self)
    }
}

/// Checks the name of an API.
///
/// # Errors
/// Names the field.
pub fn check_name(field: &'static str, name: &str) -> Result<(), Refusal> {
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let allowed = format!("1 to {MAX_NAME_BYTES} bytes, such as \"anthropic\" or \"openai/gpt-5\"");
    Err(Refusal::invalid(field, format!("{} bytes", name.len()), allowed))
}

/// A change of what is set, as an entry keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiChange {
    /// What is set now, or was until now.
    pub api: Api,
    /// Nothing is set for it any more.
    #[serde(default)]
    pub removed: bool,
}

/// Everything that was set, by name.
pub type Apis = BTreeMap<Name, Arc<Api>>;

/// Takes over what an entry changed. What an older program wrote and this one cannot read changes nothing.
pub(crate) fn apply(apis: &mut Apis, json: &str) {
    if let Ok(ApiChange { api, removed }) = serde_json::from_str(json) {
        if removed {
            apis.remove(&api.name);
        } else {
            apis.insert(api.name.clone(), Arc::new(api));
        }
    }
}

/// What was saved, by name.
pub(crate) fn load(saved: Vec<Arc<Api>>) -> Apis {
    saved.into_iter().map(|api| (api.name.clone(), api)).collect()
}

/// Whether one more may be set.
///
/// # Errors
/// There are too many.
pub fn check_room(apis: &Apis, name: &Name) -> Result<(), Refusal> {
    if apis.len() < MAX_APIS || apis.contains_key(name) {
        return Ok(());
    }
    let allowed = format!("at most {MAX_APIS}");
    Err(Refusal::invalid("name", "there are too many APIs", allowed))
}

#[cfg(test)]
mod tests;
