//! Decisions about the limits of APIs: set, remove.

use crate::Name;
use crate::api::{Api, ApiChange, check_room};
use crate::entry::Body;
use crate::refusal::Refusal;
use crate::state::Draft;

impl Draft {
    /// Sets the limits of an API.
    ///
    /// # Errors
    /// A field is wrong, or there are too many.
    pub fn set_api(&self, api: Api) -> Result<Body, Refusal> {
        let api = api.checked()?;
        check_room(&self.state.apis, &api.name)?;
        Ok(body(api, false))
    }

    /// Forgets what was set for an API.
    ///
    /// # Errors
    /// Nothing is set for it.
    pub fn remove_api(&self, name: &Name) -> Result<Body, Refusal> {
        match self.state.apis.get(name) {
            Some(api) => Ok(body((**api).clone(), true)),
            None => {
                let what = format!("limit of API {:?}", name.chars().take(80).collect::<String>());
                Err(Refusal::NotFound { what })
            }
        }
    }
}

fn body(api: Api, removed: bool) -> Body {
    let json = serde_json::to_string(&ApiChange { api, removed });
    Body::ApiSet(json.unwrap_or_default().into())
}
