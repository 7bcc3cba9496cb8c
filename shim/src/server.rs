//! The MCP side: both protocol eras, tools only. What is not declared is answered with "method not found".

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestMethod,
    CompleteRequestParams, CompleteResult, ContentBlock, CustomRequest, CustomResult, DiscoverResult,
    ErrorCode, Implementation, JsonObject, ListPromptsRequestMethod, ListPromptsResult,
    ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};

use crate::attribution::{Caller, Environment};
use crate::daemon::Daemon;
use crate::options::ToolSet;
use crate::tools::{self, Context, Failure};

/// The revisions that our tests speak.
const VERSIONS: &[ProtocolVersion] = &[
    ProtocolVersion::V_2025_03_26,
    ProtocolVersion::V_2025_06_18,
    ProtocolVersion::V_2025_11_25,
    ProtocolVersion::V_2026_07_28,
];
/// How long a client may keep what never changes while this program runs: an hour.
const TTL_MS: u64 = 3_600_000;
/// Most callers that are remembered; one process rarely sees two.
const MAX_NOTED: usize = 64;

/// What this process learned of its callers' sessions. Losing it does no harm.
#[derive(Default)]
pub(crate) struct Sessions {
    /// New sessions after a reset, by agent and the session that the client goes on naming.
    started: Names,
    /// The session that the daemon put the last record in, by agent and the session that the client names.
    recorded: Names,
}

impl Sessions {
    /// The caller's session; empty for the daemon's current one of the agent.
    pub(crate) fn current(&self, caller: &Caller) -> String {
        lookup(&self.started, caller).unwrap_or_else(|| caller.session.clone())
    }

    /// The caller's session, by the daemon's name for it where the caller has none. Empty when nothing was recorded.
    pub(crate) fn known(&self, caller: &Caller) -> String {
        let current = self.current(caller);
        if current.is_empty() {
            lookup(&self.recorded, caller).unwrap_or_default()
        } else {
            current
        }
    }

    /// Notes which session a record of the caller went to.
    pub(crate) fn recorded(&self, caller: &Caller, session: String) {
        note(&self.recorded, caller, session);
    }

    /// Notes that the caller's session was followed by a new one.
    pub(crate) fn reset(&self, caller: &Caller, new: String) {
        note(&self.recorded, caller, new.clone());
        // For a caller that names none, the daemon knows which one is current.
        if !caller.session.is_empty() {
            note(&self.started, caller, new);
        }
    }
}

type Names = Mutex<HashMap<(String, String), String>>;

fn lookup(names: &Names, caller: &Caller) -> Option<String> {
    let names = names.lock().unwrap_or_else(PoisonError::into_inner);
    names
        .get(&(caller.agent.clone(), caller.session.clone()))
        .cloned()
}

fn note(names: &Names, caller: &Caller, session: String) {
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    if names.len() >= MAX_NOTED {
        names.clear();
    }
    names.insert((caller.agent.clone(), caller.session.clone()), session);
}

/// Answers one client.
pub(crate) struct Server {
    set: ToolSet,
    tools: Vec<Tool>,
    environment: Environment,
    daemon: Daemon,
    sessions: Sessions,
}

impl Server {
    pub(crate) fn new(set: ToolSet) -> Server {
        let directory = std::env::current_dir()
            .ok()
            .and_then(|dir| dir.into_os_string().into_string().ok());
        Server {
            set,
            tools: tools::list(set),
            environment: Environment::read(|name| std::env::var(name).ok(), directory),
            daemon: Daemon::new(),
            sessions: Sessions::default(),
        }
    }

    async fn answer(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResult {
        let client = context.client_info().map(|info| info.name);
        let meta: &JsonObject = &context.meta.0.0;
        let context = Context {
            daemon: &self.daemon,
            caller: self.environment.caller(client.as_deref(), meta),
            sessions: &self.sessions,
        };
        match tools::call(&request.name, &context, request.arguments).await {
            Ok(answer) => {
                let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text)]);
                result.structured_content = answer.object;
                result
            }
            Err(Failure(sentence)) => CallToolResult::error(vec![ContentBlock::text(sentence)]),
        }
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("tokmon", env!("CARGO_PKG_VERSION")))
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(VERSIONS)
    }

    async fn discover(&self, _: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let mut result = DiscoverResult::from_server_info(VERSIONS.to_vec(), self.get_info());
        result.ttl_ms = TTL_MS;
        result.cache_scope = CacheScope::Public;
        Ok(result)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let list = ListToolsResult::with_all_items(self.tools.clone());
        Ok(list.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if !tools::offers(self.set, &request.name) {
            let names: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_ref()).collect();
            let said = format!("unknown tool '{}': there are {}", request.name, names.join(", "));
            return Err(ErrorData::invalid_params(said, None));
        }
        Ok(self.answer(request, &context).await.into())
    }

    /// Requests that the SDK does not know, and those whose parameters it cannot read.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        Err(match request.method.as_str() {
            "tools/call" => {
                ErrorData::invalid_params("tools/call takes {\"name\": text, \"arguments\": object}", None)
            }
            "tools/list" | "initialize" | "server/discover" => ErrorData::invalid_params(
                format!("the parameters of {} are malformed", request.method),
                None,
            ),
            _ => ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None),
        })
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourceTemplatesRequestMethod>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_moves_the_callers_session_only() {
        let caller = |session: &str| Caller {
            agent: "a".to_owned(),
            session: session.to_owned(),
            ..Caller::default()
        };
        let sessions = Sessions::default();
        sessions.reset(&caller("s1"), "s2".to_owned());
        assert_eq!(sessions.current(&caller("s1")), "s2");
        assert_eq!(sessions.current(&caller("s9")), "s9");
        sessions.reset(&caller("s1"), "s3".to_owned());
        assert_eq!(sessions.current(&caller("s1")), "s3");
        sessions.reset(&caller(""), "s4".to_owned());
        assert_eq!(sessions.current(&caller("")), "");
        assert_eq!(sessions.known(&caller("")), "s4");
        sessions.recorded(&caller(""), "s5".to_owned());
        assert_eq!(sessions.known(&caller("")), "s5");
        assert_eq!(sessions.known(&caller("s1")), "s3");
        for n in 0..MAX_NOTED {
            sessions.reset(&caller(&n.to_string()), "x".to_owned());
        }
        assert!(sessions.started.lock().unwrap().len() <= MAX_NOTED);
    }
}
