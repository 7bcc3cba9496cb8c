//! `tokmonctl price reprice`: what today's price book makes of the kept records.

use serde_json::json;
use tokmon_client::Client;
use tokmon_client::v1::{RepriceRequest, RepriceResponse};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{count, counted, dollars, exact, pico_or_zero};
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// Asks for it and prints what changed, or would.
pub(crate) async fn run(client: &Client, dry_run: bool, context: &Context) -> Result<(), Failure> {
    let answer = client.reprice(RepriceRequest { dry_run }).await?;
    if context.json {
        let models: Vec<_> = answer
            .models
            .iter()
            .map(|m| {
                let (before, after) = (
                    to_json::money(m.before.as_ref()),
                    to_json::money(m.after.as_ref()),
                );
                json!({"model": m.model, "records": m.records, "before_usd": before, "after_usd": after})
            })
            .collect();
        return show::print(&to_json::document(&json!({
            "dry_run": dry_run, "records": answer.records, "changed": answer.changed,
            "before_usd": exact(pico_or_zero(answer.before.as_ref())),
            "after_usd": exact(pico_or_zero(answer.after.as_ref())), "models": models,
        })));
    }
    show::print(&draw(&answer, dry_run, &context.screen()))
}

fn draw(a: &RepriceResponse, dry_run: bool, screen: &Screen) -> String {
    let (before, after) = (pico_or_zero(a.before.as_ref()), pico_or_zero(a.after.as_ref()));
    let mut out = String::new();
    if !a.models.is_empty() {
        let columns = vec![
            text("Model", 0),
            figures("Records", 1),
            figures("Before", 0),
            figures("After", 0),
            figures("Difference", 2),
        ];
        let mut table = Table::new(columns);
        for m in &a.models {
            let (before, after) = (pico_or_zero(m.before.as_ref()), pico_or_zero(m.after.as_ref()));
            let cells = vec![
                m.model.clone(),
                count(m.records),
                dollars(before),
                dollars(after),
                dollars(after - before),
            ];
            table.row(Look::Plain, cells);
        }
        out.push_str(&table.render(screen));
    }
    let verb = if dry_run { "would change" } else { "changed" };
    out.push_str(&format!(
        "{} of {} {verb}: ${} before, ${} after.\n",
        count(a.changed),
        counted(a.records, "record"),
        exact(before),
        exact(after)
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::{Money, RepricedModel};

    #[test]
    fn before_and_after_are_exact() {
        let (before, after) = (
            Some(Money { usd: 1, pico: 0 }),
            Some(Money {
                usd: 0,
                pico: 16_500_000_000,
            }),
        );
        let model = RepricedModel {
            model: "m".into(),
            records: 2,
            before,
            after,
        };
        let answer = RepriceResponse {
            records: 2,
            changed: 1,
            before,
            after,
            models: vec![model],
        };
        let text = draw(
            &answer,
            true,
            &Screen {
                width: Some(80),
                colour: false,
            },
        );
        assert!(
            text.contains("1 of 2 records would change: $1 before, $0.0165 after."),
            "{text}"
        );
        assert!(text.contains("-$0.9835"), "{text}");
    }
}
