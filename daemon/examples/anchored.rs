//! How well the next request of a conversation is foretold, over a directory of transcripts:
//!
//!     cargo run --release -p tokmond --example anchored -- DIR
//!
//! Every step between two calls of every conversation is estimated from what was billed before and the texts that were
//! appended, by what the steps before it taught, and then held against its bill. Errors are shares of the whole next
//! prompt. The steps in the second half show what a daemon that has been running for a while says. Each half of the
//! conversations by itself, with nothing learned from the other, shows whether the bands hold elsewhere.

#[path = "../src/calibration/belief.rs"]
mod belief;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokmon_capture::growth::{Growth, Reader};
use tokmon_core::Name;
use tokmon_core::calibration::{Basis, Bill, Calibration, Calibrations};
use tokmon_tokenizer::Tokenizer;

/// A step, counted.
struct Step {
    /// Which file it is of.
    file: usize,
    growth: Growth,
    known: u64,
    bill: Bill,
}

/// How an estimate turned out.
struct Judged {
    /// Share of the next prompt.
    error: f64,
    learned: bool,
    /// Of what was appended alone: inside the band, and how large it was estimated.
    inside: bool,
    appended: u64,
    usual: bool,
}

fn main() -> ExitCode {
    let Some(root) = std::env::args_os().nth(1) else {
        eprintln!("usage: anchored DIR");
        return ExitCode::from(2);
    };
    let mut files = Vec::new();
    walk(Path::new(&root), &mut files);
    let tokenizer = Tokenizer::new();
    files.sort();
    let numbered = files.iter().enumerate();
    let mut steps: Vec<Step> = numbered
        .flat_map(|(number, file)| read(&tokenizer, number, file))
        .collect();
    steps.sort_by_key(|step| step.bill.at_ms);
    println!("{} files, {} steps", files.len(), steps.len());

    let mut learned = Calibrations::default();
    let judged: Vec<Judged> = steps.iter().map(|step| judge(&mut learned, step)).collect();
    println!(
        "\n{:<34}{:>7}{:>9}{:>9}{:>9}{:>9}",
        "error of the next request", "steps", "median", "p90", "p99", "most"
    );
    let half = judged.len() / 2;
    let all: Vec<&Judged> = judged.iter().collect();
    let usual = |judged: &[&'_ Judged]| -> Vec<f64> {
        judged
            .iter()
            .filter(|one| one.usual)
            .map(|one| one.error)
            .collect()
    };
    distribution("all", all.iter().map(|one| one.error).collect());
    distribution("nothing hidden is seen", usual(&all));
    distribution("the same, second half", usual(&all[half..]));

    println!("\n{:<44}{:>7}{:>9}", "within the stated band", "steps", "share");
    for (name, known) in [("prior", false), ("calibrated", true)] {
        for (size, from, to) in [
            ("< 120", 0, 120),
            ("< 480", 120, 480),
            ("< 1,920", 480, 1_920),
            ("more", 1_920, u64::MAX),
        ] {
            let of = |one: &&&Judged| one.usual && one.learned == known && (from..to).contains(&one.appended);
            coverage(&format!("{name}, {size} tokens"), all.iter().filter(of).copied());
        }
    }
    coverage("all, what hides something too", all.iter().copied());
    for (half, name) in ["one half of the files by itself", "the other half"]
        .iter()
        .enumerate()
    {
        let mut learned = Calibrations::default();
        let of = steps.iter().filter(|step| step.file % 2 == half);
        let judged: Vec<Judged> = of.map(|step| judge(&mut learned, step)).collect();
        for (label, known) in [("prior", false), ("calibrated", true)] {
            let of = judged.iter().filter(|one| one.usual && one.learned == known);
            coverage(&format!("{name}, {label}"), of);
        }
    }

    println!("\n{:<34}{:>7}{:>9}{:>9}", "learned", "bills", "slope", "block");
    for known in learned.iter() {
        let [slope, block] = known.calibration.line();
        println!(
            "{:<34}{:>7}{slope:>9.3}{block:>9.1}",
            known.model,
            known.calibration.observations()
        );
    }
    ExitCode::SUCCESS
}

/// How many of these steps were billed within the band that was stated for them.
fn coverage<'j>(name: &str, of: impl Iterator<Item = &'j Judged>) {
    let inside: Vec<bool> = of.map(|one| one.inside).collect();
    let share = inside.iter().filter(|inside| **inside).count() as f64 / inside.len().max(1) as f64;
    println!("{name:<44}{:>7}{:>8.0}%", inside.len(), share * 100.0);
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| walk(&entry.path(), files));
    } else if path.extension().is_some_and(|end| end == "jsonl") {
        files.push(path.to_owned());
    }
}

fn read(tokenizer: &Tokenizer, number: usize, file: &Path) -> Vec<Step> {
    let codex = file
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("rollout-"));
    let (agent, kind) = match codex {
        true => ("codex", "codex-rollout"),
        false => ("claude-code", "claude-code-transcript"),
    };
    let agent: Name = agent.into();
    let (Some(mut reader), Ok(bytes)) = (Reader::new(kind), std::fs::read(file)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    bytes
        .split(|byte| *byte == b'\n')
        .for_each(|line| reader.line(line, &mut found));
    found
        .into_iter()
        .map(|growth| {
            let (known, bill) = belief::bill(tokenizer, &agent, &growth);
            Step {
                file: number,
                growth,
                known,
                bill,
            }
        })
        .collect()
}

fn judge(learned: &mut Calibrations, step: &Step) -> Judged {
    let begun;
    let calibration: &Calibration = match learned.get(&step.bill.agent, &step.bill.model) {
        Some(calibration) => calibration,
        None => {
            begun = learned.relative(step.bill.prior);
            &begun
        }
    };
    let appended = calibration.estimate(step.bill.measure);
    let next = appended.after(step.known);
    let actual = step.growth.billed;
    let error = next.tokens.abs_diff(actual) as f64 / actual.max(1) as f64;
    if std::env::var_os("SHOW").is_some() && error > 0.015 {
        println!(
            "{:.2}% {} {} {} -> {} estimated {}",
            error * 100.0,
            step.bill.model,
            step.bill.at_ms,
            step.growth.before,
            actual,
            next.tokens
        );
    }
    let judged = Judged {
        error,
        learned: matches!(appended.basis, Basis::Calibrated { .. }),
        inside: (next.low..=next.high).contains(&actual),
        appended: appended.tokens,
        usual: !step.growth.unusual,
    };
    if judged.usual {
        learned.learn(&step.bill);
    }
    judged
}

fn distribution(name: &str, mut errors: Vec<f64>) {
    errors.sort_by(f64::total_cmp);
    let at = |share: f64| {
        errors
            .get((errors.len() as f64 * share) as usize)
            .or(errors.last())
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{name:<34}{:>7}{:>8.3}%{:>8.2}%{:>8.2}%{:>8.2}%",
        errors.len(),
        at(0.5) * 100.0,
        at(0.9) * 100.0,
        at(0.99) * 100.0,
        at(1.0) * 100.0
    );
}
