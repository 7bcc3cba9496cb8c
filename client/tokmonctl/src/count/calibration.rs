//! `tokmonctl count --calibration`: what bills taught about models whose encoding is not public.

use serde_json::{Value, json};
use tokmon_client::v1::{Calibration, CalibrationBand, CalibrationsRequest};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::count;
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// The sizes of what is appended.
const SIZES: [&str; 4] = ["Tiny", "Small", "Medium", "Large"];

/// Shows what was learned of a model, or of all.
pub(super) async fn run(model: Option<&str>, context: &Context) -> Result<(), Failure> {
    let request = CalibrationsRequest {
        agent: String::new(),
        model: model.unwrap_or_default().to_owned(),
    };
    let learned = context.client().await?.calibrations(request).await?.calibrations;
    if context.json {
        return show::print(&to_json::document(&as_json(&learned)));
    }
    show::print(&draw(&learned, &context.screen()))
}

fn percent(thousandths: u32) -> f64 {
    f64::from(thousandths) / 10.0
}

fn as_json(learned: &[Calibration]) -> Value {
    let band = |band: &CalibrationBand| {
        json!({
            "from_tokens": band.from_tokens, "observations": band.observations,
            "within_percent": (band.observations > 0).then(|| percent(band.within)),
        })
    };
    let one = |one: &Calibration| {
        json!({
            "agent": one.agent, "model": one.model, "observations": one.observations, "used": one.used,
            "slope": one.slope, "per_block": one.per_block,
            "prior_slope": one.prior_slope, "prior_per_block": one.prior_per_block,
            "last_at": to_json::time(one.at_ms), "bands": one.bands.iter().map(band).collect::<Vec<_>>(),
        })
    };
    json!({"calibrations": learned.iter().map(one).collect::<Vec<_>>()})
}

fn draw(learned: &[Calibration], screen: &Screen) -> String {
    if learned.is_empty() {
        return "Nothing was learned yet: that takes some seconds after the first calls in Claude Code's or Codex's own files.\n"
            .to_owned();
    }
    let mut columns = vec![
        text("Agent", 2),
        text("Model", 0),
        figures("Bills", 0),
        figures("Slope", 0),
        figures("Block", 1),
    ];
    let sizes: Vec<String> = learned[0]
        .bands
        .iter()
        .map(|band| count(typical(band.from_tokens)))
        .collect();
    columns.extend(SIZES.map(|size| figures(size, 0)));
    let mut table = Table::new(columns);
    for one in learned {
        let look = if one.used { Look::Plain } else { Look::Warning };
        let mut row = vec![
            one.agent.clone(),
            one.model.clone(),
            count(one.observations.into()),
            format!("{:.3}", one.slope),
            format!("{:.0}", one.per_block),
        ];
        let mut widths = one.bands.iter().map(width);
        row.extend(SIZES.map(|_| widths.next().unwrap_or_default()));
        table.row(look, row);
    }
    let mut out = table.render(screen);
    let how = format!(
        "What is appended to a prompt is billed as slope × the tokens that the public encoding counts, and so many for \
         each block. On the right, how many tokens nine in ten bills were off at most, where about {} tokens were \
         estimated.",
        sizes.join(", ")
    );
    out.push_str(&format!("{}\n", screen.fold(&how, 0)));
    if learned.iter().any(|one| !one.used) {
        out.push_str(&format!(
            "{}\n",
            screen.warning("Where there are few bills, estimates do not go by them yet.")
        ));
    }
    out
}

/// An estimate in the middle of the sizes that begin there.
fn typical(from_tokens: u64) -> u64 {
    match from_tokens {
        0 => 60,
        from => from * 2,
    }
}

fn width(band: &CalibrationBand) -> String {
    // The band is a share of the estimate and sixty tokens.
    let tokens = (typical(band.from_tokens) + 60) * u64::from(band.within) / 1000;
    match band.observations {
        0 => "–".to_owned(),
        _ => format!("±{}", count(tokens)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_yet_says_so() {
        let band = |from_tokens, observations| CalibrationBand {
            from_tokens,
            observations,
            within: 123,
        };
        let learned = [Calibration {
            agent: "claude-code".into(),
            model: "claude-opus-4-6".into(),
            observations: 7,
            slope: 1.2345,
            per_block: 31.4,
            bands: vec![band(0, 7), band(120, 0)],
            ..Calibration::default()
        }];
        let screen = Screen {
            width: Some(80),
            colour: false,
        };
        let text = draw(&learned, &screen);
        for part in [
            "claude-opus-4-6",
            "1.234",
            "31",
            "±14",
            "–",
            "Medium",
            "not go by them yet",
            "about 60, 240 tokens",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(draw(&[], &screen).contains("Nothing was learned"));
        assert_eq!(
            as_json(&learned)["calibrations"][0]["bands"][1]["within_percent"],
            Value::Null
        );
    }
}
