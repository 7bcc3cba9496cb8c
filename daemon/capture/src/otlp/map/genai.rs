//! Whoever follows the OpenTelemetry conventions for generative AI, GitHub's Copilot CLI among them: a span or a log
//! record of a model operation counts. Spans of agents, workflows and tools repeat the sum of what they contain.
//!
//! Input includes what was read from and written to the cache, unless that is more than the input; output includes
//! reasoning.

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
const PROVIDERS: [(&str, &str); 9] = [
    ("gcp.gemini", "google"),
    ("gcp.gen_ai", "google"),
    ("gcp.vertex_ai", "vertex"),
    ("aws.bedrock", "bedrock"),
    ("azure.ai.openai", "azure"),
    ("azure.ai.inference", "azure"),
    ("az.ai.openai", "azure"),
    ("mistral_ai", "mistral"),
    ("x_ai", "xai"),
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
    let known = PROVIDERS.iter().find(|(said, _)| *said == provider);
    Ok(Some(Facts {
        model: model.to_owned(),
        // Copilot names itself as the provider of other vendors' models.
        provider: match said.sender {
            Sender::CopilotCli => String::new(),
            _ => known.map_or(provider, |(_, name)| name).to_owned(),
        },
        tokens: Tokens {
            input: prompt.checked_sub(read + written).unwrap_or(prompt),
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
