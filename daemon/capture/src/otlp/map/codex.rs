//! Codex: of the events `codex.sse_event` with the kind `response.completed` those with figures count (each response
//! is told of twice, once without). `codex.api_request` with an error status is a failed call.
//!
//! Input includes what was read from and written to the cache, output includes reasoning; most figures are texts.

use tokmon_core::tokens::Tokens;

use super::{Facts, Said};
use crate::agents::json::Problem;
use crate::otlp::attributes::Attr;

pub(super) fn facts(said: &Said<'_, '_>) -> Result<Option<Facts>, Problem> {
    let completed = said.text(Attr::EventKind) == Some("response.completed") && said.says(Attr::Input);
    let failed =
        said.record.event() == "codex.api_request" && said.status().is_some_and(|status| status >= 400);
    let Some(model) = said.text(Attr::Model).filter(|_| completed || failed) else {
        return Ok(None);
    };
    let input = said.count(Attr::Input)?;
    let read = said.count(Attr::CacheRead)?.min(input);
    let written = said.count(Attr::CacheWrite)?.min(input - read);
    let output = said.count(Attr::Output)?;
    Ok(Some(Facts {
        model: model.to_owned(),
        tokens: Tokens {
            input: input - read - written,
            output,
            reasoning: said.count(Attr::Reasoning)?.min(output),
            cache_read: read,
            cache_write_5m: written,
            ..Tokens::default()
        },
        id: said.id(Attr::Response),
        request_id: said.id(Attr::Response),
        failed,
        tier: super::tier(said.text(Attr::Tier)),
        ..Facts::default()
    }))
}
