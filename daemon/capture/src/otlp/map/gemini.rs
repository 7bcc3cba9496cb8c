//! Gemini CLI and Qwen Code, its descendant: the event `….api_response` counts, `….api_error` is a failed call. What
//! they say in the words of the conventions besides (`gen_ai.client.inference.operation.details`) repeats it.
//!
//! Their figures are those of their files, and so is what is made of them: both witnesses of a call must agree.

use tokmon_core::tokens::Tokens;

use super::{Facts, Said};
use crate::agents::google::Usage;
use crate::agents::json::Problem;
use crate::otlp::attributes::Attr;

pub(super) fn facts(said: &Said<'_, '_>) -> Result<Option<Facts>, Problem> {
    let event = said.record.event();
    let failed = match event.rsplit_once('.').map_or(event, |(_, last)| last) {
        "api_response" => false,
        "api_error" => true,
        _ => return Ok(None),
    };
    let Some(model) = said.text(Attr::Model) else {
        return Ok(None);
    };
    let response = said.id(Attr::Response);
    Ok(Some(Facts {
        model: model.to_owned(),
        tokens: tokens(said)?,
        id: response.clone(),
        request_id: response,
        failed,
        ..Facts::default()
    }))
}

fn tokens(said: &Said<'_, '_>) -> Result<Tokens, Problem> {
    let usage = Usage {
        prompt: said.count(Attr::Input)?,
        cached: said.count(Attr::CacheRead)?,
        candidates: said.count(Attr::Output)?,
        thoughts: said.count(Attr::Reasoning)?,
        tool: said.count(Attr::ToolTokens)?,
        total: said.record.attributes.count(Attr::Total)?,
    };
    Ok(usage.tokens())
}
