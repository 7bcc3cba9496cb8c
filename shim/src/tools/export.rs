//! `export_analysis`: one analysis as a document.

use rmcp::model::JsonObject;
use tokmon_client::v1::ExportRequest;

use super::{Context, Failure};
use crate::answer::Answer;
use crate::arguments::Arguments;

const FORMATS: [&str; 3] = ["json", "csv", "html"];
const PERIODS: [&str; 4] = ["today", "last_7_days", "last_30_days", "all"];

pub(super) async fn export_analysis(
    context: &Context<'_>,
    given: Option<JsonObject>,
) -> Result<Answer, Failure> {
    let request = request(given)?;
    let export = context
        .daemon
        .call(async |client| client.export(request.clone()).await)
        .await?;
    // The document is the answer: as an object beside it, it would be paid for twice.
    Ok(Answer {
        text: export.content,
        object: None,
    })
}

fn request(given: Option<JsonObject>) -> Result<ExportRequest, String> {
    let arguments = Arguments::new(given, &["format", "period"])?;
    let required = |name: &str, allowed: &[&'static str]| {
        arguments
            .choice(name, allowed)?
            .ok_or_else(|| format!("{name} is missing: one of {}", allowed.join(", ")))
    };
    Ok(ExportRequest {
        format: required("format", &FORMATS)?.to_owned(),
        period: required("period", &PERIODS)?.to_owned(),
        ..ExportRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn format_and_period_are_checked() {
        let read = |value: serde_json::Value| request(value.as_object().cloned());
        let good = read(json!({"format": "csv", "period": "all"})).unwrap();
        assert_eq!((good.format.as_str(), good.period.as_str()), ("csv", "all"));
        for (arguments, expected) in [
            (
                json!({"period": "all"}),
                "format is missing: one of json, csv, html",
            ),
            (
                json!({"format": "pdf", "period": "all"}),
                "format must be one of json, csv, html, not \"pdf\"",
            ),
            (
                json!({"format": "csv", "period": "current_session"}),
                "period must be one of today, last_7_days, last_30_days, all, not \"current_session\"",
            ),
        ] {
            assert_eq!(read(arguments).unwrap_err(), expected);
        }
    }
}
