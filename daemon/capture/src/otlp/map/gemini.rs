//! Gemini CLI and Qwen Code, its descendant: the event `….api_response` counts, `….api_error` is a failed call. What
//! they say in the words of the conventions besides (`gen_ai.client.inference.operation.details`) repeats it.
//!
//! Input includes what was read from the cache. Whether output includes thoughts, and input the results of tools,
//! depends on who answered: the total tells.

use tokmon_core::tokens::Tokens;

use super::{Facts, Said};
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
    let prompt = said.count(Attr::Input)?;
    let answer = said.count(Attr::Output)?;
    let thoughts = said.count(Attr::Reasoning)?;
    let tools = said.count(Attr::ToolTokens)?;
    let total = said.record.attributes.count(Attr::Total)?;
    // As Google's own API has it, both are extra; that is also what is believed when the total fits nothing.
    let readings = [(true, true), (true, false), (false, true), (false, false)];
    let extra = |counts: bool, tokens: u64| if counts { tokens } else { 0 };
    let fits = |(thoughts_extra, tools_extra): &(bool, bool)| {
        total == Some(prompt + answer + extra(*thoughts_extra, thoughts) + extra(*tools_extra, tools))
    };
    let (thoughts_extra, tools_extra) = readings.into_iter().find(fits).unwrap_or(readings[0]);
    let output = answer + extra(thoughts_extra, thoughts);
    let cached = said.count(Attr::CacheRead)?.min(prompt);
    Ok(Tokens {
        input: prompt - cached + extra(tools_extra, tools),
        output,
        reasoning: thoughts.min(output),
        cache_read: cached,
        ..Tokens::default()
    })
}
