//! `tokmonctl tips`: advice drawn from the user's own records, with its evidence and what it would save.

use serde_json::json;
use tokmon_client::v1::{Tip, TipsRequest, TipsResponse};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{count, dollars, pico};
use crate::show::{self, Screen, json as to_json};
use crate::waste::Period;

/// Where a long line goes on: below what follows its label.
const HANG: usize = 9;

/// Arguments of `tips`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which time
    #[arg(value_enum, default_value = "last_7_days")]
    period: Period,
    /// Time zone of days, e.g. Europe/Berlin [default: the daemon's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

/// `tokmonctl tips`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = TipsRequest {
        period: args.period.name().to_owned(),
        timezone: args.timezone.clone().unwrap_or_default(),
    };
    let answer = client.tips(request).await?;
    if context.json {
        return show::print(&to_json::document(&as_json(&answer)));
    }
    show::print(&draw(&answer, &context.screen()))
}

fn as_json(answer: &TipsResponse) -> serde_json::Value {
    let tip = |t: &Tip| {
        json!({
            "group": t.group, "title": t.title, "evidence": t.evidence, "advice": t.advice,
            "saved_tokens": t.saved_tokens, "saved_usd": to_json::money(t.saved_cost.as_ref()),
        })
    };
    json!({"period": answer.period, "tips": answer.tips.iter().map(tip).collect::<Vec<_>>()})
}

fn draw(answer: &TipsResponse, screen: &Screen) -> String {
    if answer.tips.is_empty() {
        return format!(
            "Nothing to improve was found in {}.\n",
            show::clean(&answer.period)
        );
    }
    let mut out = String::new();
    for (place, t) in answer.tips.iter().enumerate() {
        let group = format!("[{}]", t.group);
        let group = if t.group == "suggestion" {
            group
        } else {
            screen.warning(&show::clean(&group))
        };
        if place > 0 {
            out.push('\n');
        }
        out.push_str(&format!("{group} {}\n", screen.bold(&show::clean(&t.title))));
        for (label, text) in [("seen ", &t.evidence), ("do   ", &t.advice)] {
            let line = format!("  {label}  {}", show::clean(text));
            out.push_str(&format!("{}\n", screen.fold(&line, HANG)));
        }
        let tokens = (t.saved_tokens > 0).then(|| format!("{} tokens", count(t.saved_tokens)));
        let cost = t.saved_cost.as_ref().map(|c| dollars(pico(c)));
        let saved: Vec<String> = tokens.into_iter().chain(cost).collect();
        if !saved.is_empty() {
            out.push_str(&format!("  saves  {}\n", saved.join(", ")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tip_has_evidence_advice_and_saving() {
        let tip = Tip {
            group: "warning".into(),
            title: "T".into(),
            evidence: "E".into(),
            advice: "A".into(),
            saved_tokens: 1000,
            saved_cost: None,
        };
        let answer = TipsResponse {
            tips: vec![tip],
            period: "today".into(),
        };
        let text = draw(
            &answer,
            &Screen {
                width: None,
                colour: false,
            },
        );
        assert_eq!(
            text,
            "[warning] T\n  seen   E\n  do     A\n  saves  1,000 tokens\n"
        );
        assert_eq!(as_json(&answer)["tips"][0]["advice"], "A");
        assert!(
            draw(
                &TipsResponse::default(),
                &Screen {
                    width: None,
                    colour: false
                }
            )
            .starts_with("Nothing")
        );
    }
}
