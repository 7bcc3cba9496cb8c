//! Claude Code: the event `claude_code.api_request` counts, `claude_code.api_error` is a failed call.
//!
//! Input is uncached, output includes reasoning, cache writes come as a total and, in newer versions, by their life.

use tokmon_core::tokens::Tokens;

use super::{Facts, Said};
use crate::agents::json::Problem;
use crate::otlp::attributes::Attr;

pub(super) fn facts(said: &Said<'_, '_>) -> Result<Option<Facts>, Problem> {
    let event = said.record.event();
    let failed = match event.strip_prefix("claude_code.").unwrap_or(event) {
        "api_request" => false,
        "api_error" => true,
        _ => return Ok(None),
    };
    let Some(model) = said.text(Attr::Model) else {
        return Ok(None);
    };
    let written = said.count(Attr::CacheWrite)?;
    let for_5m = said.count(Attr::CacheWrite5m)?;
    let for_1h = said.count(Attr::CacheWrite1h)?;
    // What the split leaves out was written for a time not stated.
    let rest = written.saturating_sub(for_5m.saturating_add(for_1h));
    let request_id = said.id(Attr::Request);
    let id = if request_id.is_empty() {
        said.id(Attr::ClientRequest)
    } else {
        request_id.clone()
    };
    Ok(Some(Facts {
        model: model.to_owned(),
        tokens: Tokens {
            input: said.count(Attr::Input)?,
            output: said.count(Attr::Output)?,
            cache_read: said.count(Attr::CacheRead)?,
            cache_write_5m: for_5m + rest,
            cache_write_1h: for_1h,
            ..Tokens::default()
        },
        id,
        request_id,
        cost: said.cost(),
        failed,
        fast: said.text(Attr::Speed) == Some("fast"),
        tier: super::tier(said.text(Attr::Tier)),
        ..Facts::default()
    }))
}
