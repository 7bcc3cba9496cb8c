//! What a run found: samples, the target beside them, the peer's figure of the same run, and how both compare.

use std::cell::RefCell;

/// What a figure must reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Smaller is better, and it must not be above this.
    AtMost(f64),
    /// Larger is better, and it must not be below this.
    AtLeast(f64),
    /// Only told.
    Told,
}

/// What another program needed for the same in this run.
pub(crate) struct Peer {
    name: String,
    value: Option<f64>,
}

impl Peer {
    /// Measured in this run.
    pub(crate) fn measured(name: &str, samples: &[f64]) -> Peer {
        Peer {
            name: name.to_owned(),
            value: (!samples.is_empty()).then(|| median(samples)),
        }
    }

    /// Could not be run here, and why.
    pub(crate) fn absent(why: &str) -> Peer {
        Peer {
            name: why.to_owned(),
            value: None,
        }
    }

    /// There is nobody to compare with.
    pub(crate) fn none() -> Peer {
        Peer::absent("")
    }
}

/// All figures of the run; each is printed as soon as it is known.
#[derive(Default)]
pub(crate) struct Figures {
    missed: RefCell<Vec<String>>,
    met: RefCell<usize>,
}

impl Figures {
    /// Prints and keeps one figure. `samples` are single runs; their median counts.
    pub(crate) fn add(&self, what: &str, unit: &str, samples: &[f64], target: Target, peer: &Peer) {
        if samples.is_empty() {
            println!("  {what:<52} not measured on this system");
            return;
        }
        let ours = median(samples);
        let spread = match samples {
            [_] => "one run".to_owned(),
            _ => format!(
                "{}..{}, {} runs",
                number(min(samples)),
                number(max(samples)),
                samples.len()
            ),
        };
        let verdict = self.judge(what, unit, ours, target);
        println!("  {what:<52} {:>9} {unit:<12} ({spread}){verdict}", number(ours));
        match peer.value {
            Some(theirs) => println!(
                "  {:<52} {:>9} {unit:<12} ours/theirs ×{}",
                format!("  beside {}", peer.name),
                number(theirs),
                number(ours / theirs)
            ),
            None if peer.name.is_empty() => {}
            None => println!("    beside: peer not available: {}", peer.name),
        }
    }

    fn judge(&self, what: &str, unit: &str, ours: f64, target: Target) -> String {
        let (sign, goal, met) = match target {
            Target::Told => return String::new(),
            Target::AtMost(goal) => ("≤", goal, ours <= goal),
            Target::AtLeast(goal) => ("≥", goal, ours >= goal),
        };
        let factor = if goal == 0.0 {
            String::new()
        } else {
            format!(" (×{})", number(ours / goal))
        };
        let word = if met { "met" } else { "MISSED" };
        let verdict = format!("  target {sign} {}: {word}{factor}", number(goal));
        if met {
            *self.met.borrow_mut() += 1;
        } else {
            let missed = format!("{what}: {} {unit}, target {sign} {}", number(ours), number(goal));
            self.missed.borrow_mut().push(missed);
        }
        verdict
    }

    /// Says how many targets were met, and which were not.
    pub(crate) fn summary(&self) {
        let missed = self.missed.borrow();
        println!("\n{} targets met, {} missed", self.met.borrow(), missed.len());
        for line in missed.iter() {
            println!("  missed: {line}");
        }
    }
}

/// The middle one; the mean of the two in the middle for an even number.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let sorted = sorted(samples);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        f64::midpoint(sorted[half - 1], sorted[half])
    }
}

/// The sample that `share` (0 to 1) of all do not exceed.
pub(crate) fn percentile(samples: &[f64], share: f64) -> f64 {
    let sorted = sorted(samples);
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted[at.clamp(1, sorted.len()) - 1]
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    assert!(!samples.is_empty(), "a figure has samples");
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn min(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

fn max(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        v if v >= 0.01 || v == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}
