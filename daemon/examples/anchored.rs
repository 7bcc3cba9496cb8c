//! How well the next request of a conversation is foretold, over a directory of transcripts:
//!
//!     cargo run --release -p tokmond --example anchored -- DIR
//!
//! Every step between two calls of every conversation is foretold by the daemon's own rule, from what was billed before
//! and the texts that were appended, by what the steps before it taught, and then held against its bill. Errors are
//! shares of the whole next prompt. A step is anchored when the daemon says so, before the bill is known: where it says
//! why it is not, the error is told apart.
//!
//! The order of learning is that of time, as in a daemon that has seen all of it; each conversation by itself, as in a
//! daemon that has seen nothing else; and each conversation after all others, from before and after.

#[path = "../src/calibration/belief.rs"]
mod belief;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use belief::Unsure;
use tokmon_capture::growth::{Growth, Hidden, Reader};
use tokmon_core::Name;
use tokmon_core::calibration::{Basis, Bill, Calibrations};
use tokmon_tokenizer::Tokenizer;

/// A step, counted.
struct Step {
    /// Which file it is of.
    file: usize,
    growth: Growth,
    bill: Bill,
}

/// How an estimate turned out.
struct Judged<'s> {
    step: &'s Step,
    foretold: u64,
    /// Share of the next prompt.
    error: f64,
    /// Inside the band, which rests on bills, and how large what was appended was estimated.
    inside: bool,
    learned: bool,
    appended: u64,
    /// Why it was not anchored, as it was said before the bill.
    unsure: Option<Unsure>,
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
    let in_time = judge_all(&tokenizer, &mut learned, steps.iter());
    let numbers = 0..files.len();
    let of_file = |number: usize| steps.iter().filter(move |step| step.file == number);
    let alone: Vec<Judged<'_>> = numbers
        .clone()
        .flat_map(|number| judge_all(&tokenizer, &mut Calibrations::default(), of_file(number)))
        .collect();
    let after_others: Vec<Judged<'_>> = numbers
        .flat_map(|number| {
            let mut learned = Calibrations::default();
            let others = steps
                .iter()
                .filter(|step| step.file != number && step.growth.teaches());
            others.for_each(|step| learned.learn(&step.bill));
            judge_all(&tokenizer, &mut learned, of_file(number))
        })
        .collect();
    let orders = [
        ("in the order of time", &in_time),
        ("each by itself", &alone),
        ("each after all others", &after_others),
    ];

    println!(
        "\n{:<44}{:>6}{:>8}{:>7}{:>7}{:>7}",
        "error of the next request", "steps", "median", "p90", "p99", "most"
    );
    for (order, judged) in orders {
        let anchored = |one: &&Judged<'_>| one.unsure.is_none();
        let claude = |one: &&Judged<'_>| &*one.step.bill.agent == "claude-code";
        errors(&format!("anchored, {order}"), judged.iter().filter(anchored));
        errors(
            "  Claude Code alone",
            judged.iter().filter(anchored).filter(claude),
        );
        errors("  all steps", judged.iter());
    }
    let late = in_time.len() / 2;
    errors(
        "anchored, second half of the time",
        in_time[late..].iter().filter(|one| one.unsure.is_none()),
    );
    errors(
        "all of which nothing is hidden",
        in_time.iter().filter(|one| usable(one)),
    );
    for why in std::iter::once(Unsure::Much).chain(Hidden::ALL.map(Unsure::Hidden)) {
        let of = |one: &&Judged<'_>| one.unsure == Some(why);
        if in_time.iter().any(|one| of(&one)) {
            errors(
                &format!("not anchored: {}", why.name()),
                in_time.iter().filter(of),
            );
            println!("  {}", why.reason());
        }
    }

    println!("\n{:<44}{:>6}{:>8}", "within the stated band", "steps", "share");
    for (order, judged) in orders {
        for (label, known) in [("prior", false), ("calibrated", true)] {
            let of = |one: &&Judged<'_>| usable(one) && one.learned == known;
            coverage(&format!("{label}, {order}"), judged.iter().filter(of));
            for (size, from, to) in [
                ("< 120", 0, 120),
                ("< 480", 120, 480),
                ("< 1,920", 480, 1_920),
                ("more", 1_920, u64::MAX),
            ] {
                let of = |one: &&Judged<'_>| of(one) && (from..to).contains(&one.appended);
                coverage(&format!("  {size} tokens appended"), judged.iter().filter(of));
            }
        }
    }
    for (order, judged) in orders {
        let mut models: Vec<&Name> = judged.iter().map(|one| &one.step.bill.model).collect();
        models.sort();
        models.dedup();
        println!("by model and by file, {order}");
        for model in models {
            let of = |one: &&Judged<'_>| usable(one) && one.step.bill.model == *model;
            coverage(&format!("  {model}"), judged.iter().filter(of));
        }
        let least = (0..files.len()).filter_map(|file| {
            let of = judged.iter().filter(|one| usable(one) && one.step.file == file);
            let inside: Vec<bool> = of.map(|one| one.inside).collect();
            let held = inside.iter().filter(|inside| **inside).count();
            (inside.len() >= 20).then(|| (held * 100 / inside.len(), file))
        });
        if let Some((_, file)) = least.min() {
            let of = |one: &&Judged<'_>| usable(one) && one.step.file == file;
            coverage("  least of any file of 20 or more", judged.iter().filter(of));
        }
    }
    coverage("not anchored", in_time.iter().filter(|one| one.unsure.is_some()));

    println!("\n{:<44}{:>6}{:>8}{:>7}", "learned", "bills", "slope", "block");
    for known in learned.iter() {
        let [slope, block] = known.calibration.line();
        println!(
            "{:<44}{:>6}{slope:>8.3}{block:>7.1}",
            known.model,
            known.calibration.observations()
        );
    }
    println!(
        "\n{:<44}{:>8}{:>10}{:>10}",
        "the ten worst that were anchored", "error", "billed", "foretold"
    );
    let mut worst: Vec<&Judged<'_>> = in_time.iter().filter(|one| one.unsure.is_none()).collect();
    worst.sort_by(|a, b| b.error.total_cmp(&a.error));
    for one in worst.iter().take(10) {
        let name = files[one.step.file]
            .file_stem()
            .map(|name| name.to_string_lossy());
        let name: String = name.iter().flat_map(|name| name.chars()).take(22).collect();
        println!(
            "{:<44}{:>7.2}%{:>10}{:>10}",
            format!("{name} {}", one.step.bill.at_ms),
            one.error * 100.0,
            one.step.growth.billed,
            one.foretold
        );
    }
    ExitCode::SUCCESS
}

/// How many of these steps were billed within the band that was stated for them.
fn coverage<'j>(name: &str, of: impl Iterator<Item = &'j Judged<'j>>) {
    let inside: Vec<bool> = of.map(|one| one.inside).collect();
    if !inside.is_empty() {
        let share = inside.iter().filter(|inside| **inside).count() as f64 / inside.len() as f64;
        println!("{name:<44}{:>6}{:>7.0}%", inside.len(), share * 100.0);
    }
}

/// Whether nothing is hidden: then the band is that of what was appended.
fn usable(one: &Judged<'_>) -> bool {
    !matches!(one.unsure, Some(Unsure::Hidden(_)))
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
        .map(|growth| Step {
            file: number,
            bill: belief::bill(tokenizer, &agent, &growth),
            growth,
        })
        .collect()
}

fn judge_all<'s>(
    tokenizer: &Tokenizer,
    learned: &mut Calibrations,
    steps: impl Iterator<Item = &'s Step>,
) -> Vec<Judged<'s>> {
    steps.map(|step| judge(tokenizer, learned, step)).collect()
}

fn judge<'s>(tokenizer: &Tokenizer, learned: &mut Calibrations, step: &'s Step) -> Judged<'s> {
    // Whoever foretells must not see what he foretells.
    let before = Growth {
        billed: 0,
        inflated: false,
        ..step.growth.clone()
    };
    let said = belief::foretell(tokenizer, learned, &step.bill.agent, &before);
    let billed = step.growth.billed;
    if step.growth.teaches() {
        learned.learn(&step.bill);
    }
    Judged {
        step,
        foretold: said.estimate.tokens,
        error: said.estimate.tokens.abs_diff(billed) as f64 / billed.max(1) as f64,
        inside: (said.estimate.low..=said.estimate.high).contains(&billed),
        learned: matches!(said.appended.basis, Basis::Calibrated { .. }),
        appended: said.appended.tokens,
        unsure: said.unsure,
    }
}

fn errors<'j>(name: &str, of: impl Iterator<Item = &'j Judged<'j>>) {
    let mut errors: Vec<f64> = of.map(|one| one.error).collect();
    if errors.is_empty() {
        return;
    }
    errors.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let at = (errors.len() as f64 * share) as usize;
        errors.get(at).or(errors.last()).copied().unwrap_or_default() * 100.0
    };
    println!(
        "{name:<44}{:>6}{:>7.3}%{:>6.2}%{:>6.2}%{:>6.2}%",
        errors.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}
