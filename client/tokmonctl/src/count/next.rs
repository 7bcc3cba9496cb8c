//! `tokmonctl count --session`: what the next prompt of a session will be billed as.

use serde_json::{Value, json};
use tokmon_client::v1::{EstimateNextRequest, EstimateNextResponse};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{count, counted};
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// Foretells it.
pub(super) async fn run(
    session: &str,
    agent: String,
    model: String,
    context: &Context,
) -> Result<(), Failure> {
    let request = EstimateNextRequest {
        session: session.to_owned(),
        agent,
        model,
    };
    let next = context.client().await?.estimate_next(request).await?;
    if context.json {
        return show::print(&to_json::document(&as_json(&next)));
    }
    show::print(&draw(&next, &context.screen()))
}

fn as_json(next: &EstimateNextResponse) -> Value {
    let or_null = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "session": next.session, "agent": next.agent, "model": next.model,
        "tokens": next.tokens, "low": next.low, "high": next.high, "basis": super::basis(next.basis.as_ref()),
        "appended_tokens": next.appended, "anchored": next.anchored,
        "unsure": or_null(&next.unsure), "reason": or_null(&next.reason),
    })
}

fn draw(next: &EstimateNextResponse, screen: &Screen) -> String {
    let mut table = Table::new(vec![
        figures("Next prompt", 0),
        figures("From", 0),
        figures("To", 0),
        text("Basis", 0),
        text("Model", 1),
    ]);
    let look = if next.anchored { Look::Plain } else { Look::Warning };
    table.row(
        look,
        vec![
            count(next.tokens),
            count(next.low),
            count(next.high),
            next.basis
                .as_ref()
                .map_or_else(String::new, |basis| basis.label.clone()),
            show::clean(&next.model).into_owned(),
        ],
    );
    let mut out = table.render(screen);
    if next.anchored {
        let how = match next.appended {
            0 => "Anchored: all of it was billed before; nothing was appended since.".to_owned(),
            appended => format!(
                "Anchored: all but {}, appended since, was billed before.",
                counted(appended, "token")
            ),
        };
        out.push_str(&format!("{}\n", screen.fold(&how, 0)));
    } else {
        let why = format!("Not anchored: {}.", show::clean(&next.reason));
        out.push_str(&format!("{}\n", screen.warning(&screen.fold(&why, 0))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::Basis;

    #[test]
    fn it_says_whether_it_is_anchored_and_why_not() {
        let mut next = EstimateNextResponse {
            session: "s".into(),
            agent: "claude-code".into(),
            model: "claude-opus-4-6".into(),
            tokens: 51_417,
            low: 51_300,
            high: 51_534,
            basis: Some(Basis {
                kind: "calibrated".into(),
                label: "calibrated (±0.3 %, n = 122)".into(),
                ..Basis::default()
            }),
            appended: 2_211,
            anchored: true,
            ..EstimateNextResponse::default()
        };
        let screen = Screen {
            width: Some(80),
            colour: false,
        };
        let text = draw(&next, &screen);
        for part in [
            "51,417",
            "51,300",
            "±0.3 %",
            "Anchored: all but 2,211 tokens, appended",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(as_json(&next)["unsure"], Value::Null);
        next.appended = 0;
        assert!(draw(&next, &screen).contains("all of it was billed before"));
        next.anchored = false;
        (next.unsure, next.reason) = ("compacted".into(), "the conversation was compacted".into());
        assert!(draw(&next, &screen).contains("Not anchored: the conversation was compacted."));
        assert_eq!(as_json(&next)["unsure"], "compacted");
        assert!(
            draw(&next, &screen)
                .lines()
                .all(|line| line.chars().count() <= 80)
        );
    }
}
