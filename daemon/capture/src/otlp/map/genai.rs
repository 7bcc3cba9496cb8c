//! Whoever follows the OpenTelemetry conventions for generative AI, GitHub's Copilot CLI among them: a span or a log
//! record of a model operation counts. Spans of agents, workflows and tools repeat the sum of what they contain.
//!
//! Input includes what was read from and written to the cache, unless that is more than the input; output includes
//! reasoning.
//!
//! OpenCode, and whatever else is built on the Vercel AI SDK, says in that SDK's own words what of it was cached; of its
//! two spans for a call the inner one follows the conventions, and counts.

use tokmon_core::tokens::Tokens;

use super::{Facts, Said, Sender};
use crate::agents::json::Problem;
use crate::otlp::attributes::Attr;

/// Operations that are one call to a model; the second half are former and foreign names.
const CALLS: [&str; 7] = [
    "chat",
    "generate_content",
    "text_completion",
    "embeddings",
    "completion",
    "embedding",
    "responses",
];

/// Former spellings of providers' names in the conventions, with the price book's.
const PROVIDERS: [(&str, &str); 10] = [
    ("gcp.gemini", "google"),
    ("gcp.gen_ai", "google"),
    ("gcp.vertex_ai", "vertex"),
    ("google.vertex", "vertex"),
    ("aws.bedrock", "bedrock"),
    ("azure.ai.openai", "azure"),
    ("azure.ai.inference", "azure"),
    ("az.ai.openai", "azure"),
    ("mistral_ai", "mistral"),
    ("x_ai", "xai"),
];

/// What the AI SDK puts behind a provider's name.
const INTERFACES: [&str; 6] = [
    ".chat",
    ".messages",
    ".responses",
    ".completion",
    ".generative-ai",
    ".embedding",
];

pub(super) fn facts(said: &Said<'_, '_>) -> Result<Option<Facts>, Problem> {
    let used = said.says(Attr::Input) || said.says(Attr::Output);
    let operation = said.record.attributes.text(Attr::Operation);
    let model = said
        .text(Attr::ResponseModel)
        .or_else(|| said.text(Attr::RequestModel));
    let is_call = match operation {
        Some(operation) => CALLS.contains(&operation),
        // Emitters older than the operation's name.
        None => used,
    };
    let failed = said.record.failed || said.text(Attr::ErrorType).is_some();
    let Some(model) = model.filter(|_| is_call && (used || failed)) else {
        return Ok(None);
    };
    let prompt = said.count(Attr::Input)?;
    let read = said.count(Attr::CacheRead)?;
    let written = said.count(Attr::CacheWrite)?;
    let output = said.count(Attr::Output)?;
    let response = said.id(Attr::Response);
    let provider = said.text(Attr::Provider).unwrap_or_default();
    // The AI SDK names the interface behind the provider.
    let provider = INTERFACES
        .iter()
        .find_map(|interface| provider.strip_suffix(interface))
        .unwrap_or(provider);
    let known = PROVIDERS.iter().find(|(said, _)| *said == provider);
    Ok(Some(Facts {
        model: model.to_owned(),
        // Copilot names itself as the provider of other vendors' models.
        provider: match said.sender {
            Sender::CopilotCli => String::new(),
            _ => known.map_or(provider, |(_, name)| name).to_owned(),
        },
        tokens: Tokens {
            input: match said.says(Attr::Uncached) {
                true => said.count(Attr::Uncached)?,
                false => prompt.checked_sub(read + written).unwrap_or(prompt),
            },
            output,
            reasoning: said.count(Attr::Reasoning)?.min(output),
            cache_read: read,
            cache_write_5m: written,
            ..Tokens::default()
        },
        id: response.clone(),
        request_id: response,
        cost: said.cost(),
        failed,
        embedding: matches!(operation, Some("embeddings" | "embedding")),
        tier: super::tier(said.text(Attr::Tier)),
        ..Facts::default()
    }))
}
