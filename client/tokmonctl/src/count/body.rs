//! `tokmonctl count --request`: what the body of a request will be billed for, part by part.

use std::path::Path;

use serde_json::{Value, json};
use tokmon_client::v1::{Basis, CountBodyRequest, CountBodyResponse};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::count;
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// The rules that can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Provider {
    /// POST /v1/chat/completions
    Openai,
    /// POST /v1/responses
    OpenaiResponses,
    /// POST /v1/messages
    Anthropic,
    /// POST …:generateContent
    Gemini,
}

impl Provider {
    fn name(self) -> &'static str {
        match self {
            Provider::Openai => "openai",
            Provider::OpenaiResponses => "openai-responses",
            Provider::Anthropic => "anthropic",
            Provider::Gemini => "gemini",
        }
    }
}

/// Counts the body in `file`.
pub(super) async fn run(
    file: &Path,
    provider: Option<Provider>,
    model: Option<&str>,
    context: &Context,
) -> Result<(), Failure> {
    let body = super::read(file)?;
    let request = CountBodyRequest {
        body,
        provider: provider.map_or("", Provider::name).to_owned(),
        model: model.unwrap_or_default().to_owned(),
    };
    let counted = context.client().await?.count_body(request).await?;
    if context.json {
        return show::print(&to_json::document(&as_json(&counted)));
    }
    show::print(&draw(&counted, &context.screen()))
}

/// A label as JSON: its kind, and the band in percent.
pub(crate) fn basis(basis: Option<&Basis>) -> Value {
    let basis = basis.cloned().unwrap_or_default();
    let percent = |thousandths: u32| f64::from(thousandths) / 10.0;
    json!({
        "kind": basis.kind, "below_percent": percent(basis.below), "above_percent": percent(basis.above),
        "observations": basis.observations, "label": basis.label,
    })
}

fn as_json(counted: &CountBodyResponse) -> Value {
    let parts: Vec<Value> = counted
        .parts
        .iter()
        .map(|part| {
            json!({
                "kind": part.kind, "name": part.name, "tokens": part.tokens, "low": part.low, "high": part.high,
                "basis": basis(part.basis.as_ref()),
            })
        })
        .collect();
    json!({
        "model": counted.model, "provider": counted.provider, "encoding": counted.encoding,
        "tokens": counted.tokens, "low": counted.low, "high": counted.high, "exact_tokens": counted.exact_tokens,
        "basis": basis(counted.basis.as_ref()), "hidden": counted.hidden, "parts": parts,
    })
}

fn draw(counted: &CountBodyResponse, screen: &Screen) -> String {
    let mut table = Table::new(vec![
        figures("Tokens", 0),
        text("Part", 0),
        text("Which", 0),
        text("Basis", 1),
    ]);
    let label = |basis: Option<&Basis>| basis.map_or_else(String::new, |basis| basis.label.clone());
    for part in &counted.parts {
        table.row(
            Look::Plain,
            vec![
                count(part.tokens),
                part.kind.clone(),
                part.name.clone(),
                label(part.basis.as_ref()),
            ],
        );
    }
    table.row(
        Look::Total,
        vec![
            count(counted.tokens),
            "together".to_owned(),
            String::new(),
            // A band tells of what was counted, not of what could not be.
            if counted.hidden.is_empty() {
                label(counted.basis.as_ref())
            } else {
                "at least".to_owned()
            },
        ],
    );
    let mut out = table.render(screen);
    let model = if counted.model.is_empty() {
        "a model that it does not name"
    } else {
        &counted.model
    };
    let how = format!(
        "{} by the rules of {}, in {}.",
        show::clean(model),
        counted.provider,
        counted.encoding
    );
    out.push_str(&format!("{}\n", screen.fold(&how, 0)));
    if counted.low != counted.high {
        let band = format!(
            "Between {} and {} tokens; {} of them are exact.",
            count(counted.low),
            count(counted.high),
            count(counted.exact_tokens)
        );
        out.push_str(&format!("{}\n", screen.fold(&band, 0)));
    }
    for hidden in &counted.hidden {
        let line = format!("Not counted: {}.", show::clean(hidden));
        out.push_str(&format!("{}\n", screen.warning(&line)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::BodyPart;

    #[test]
    fn parts_and_what_could_not_be_counted_are_shown() {
        let prior = Basis {
            kind: "prior".into(),
            below: 150,
            above: 200,
            label: "prior (−15 to +20 %)".into(),
            ..Basis::default()
        };
        let counted = CountBodyResponse {
            model: "claude-opus-5".into(),
            provider: "anthropic".into(),
            encoding: "o200k_base".into(),
            parts: vec![BodyPart {
                kind: "tool".into(),
                name: "Bash\u{1b}[31m".into(),
                tokens: 1_234,
                low: 1_049,
                high: 1_481,
                basis: Some(prior.clone()),
            }],
            tokens: 1_234,
            low: 1_049,
            high: 1_481,
            exact_tokens: 0,
            basis: Some(prior),
            hidden: vec!["tools of remote servers".into()],
        };
        let screen = Screen {
            width: Some(80),
            colour: false,
        };
        let text = draw(&counted, &screen);
        for part in [
            "1,234",
            "tool",
            "prior (−15 to +20 %)",
            "at least",
            "Not counted: tools",
            "1,481",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.chars().count() <= 80));
        let value = as_json(&counted);
        assert_eq!(value["parts"][0]["basis"]["above_percent"], 20.0);
    }
}
