//! How sure a figure is, said with every figure.

use std::fmt;

/// What a number of tokens rests on, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// The provider said so.
    Billed,
    /// The model's own encoding, and a rule for what is around the text that was checked against bills.
    Exact,
    /// An estimate that learned from bills of the same model.
    Calibrated {
        /// Half the width of the band that holds nine in ten, in thousandths of the figure.
        within: u32,
        /// Bills that it learned from.
        observations: u32,
    },
    /// An estimate from published measurements, before any bill was seen. Thousandths of the figure.
    Prior {
        /// How far below the figure the band begins.
        below: u32,
        /// How far above it the band ends.
        above: u32,
    },
}

impl Label {
    /// The label of a figure with this band.
    pub(crate) fn prior(tokens: u64, low: u64, high: u64) -> Label {
        let share = |part: u64| {
            let thousandths = u128::from(part) * 1000 / u128::from(tokens.max(1));
            u32::try_from(thousandths).unwrap_or(u32::MAX)
        };
        Label::Prior {
            below: share(tokens.saturating_sub(low)),
            above: share(high.saturating_sub(tokens)),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |thousandths: u32| f64::from(thousandths) / 10.0;
        match *self {
            Label::Billed => f.write_str("billed"),
            Label::Exact => f.write_str("exact"),
            Label::Calibrated { within, observations } => {
                write!(f, "calibrated (±{:.1} %, n = {observations})", percent(within))
            }
            Label::Prior { below, above } => {
                // Of a narrow band a whole percent says nothing.
                let digits = usize::from(below.max(above) < 100);
                let (below, above) = (percent(below), percent(above));
                match below == above {
                    true => write!(f, "prior (±{below:.digits$} %)"),
                    false => write!(f, "prior (−{below:.digits$} to +{above:.digits$} %)"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_read_well() {
        let cases = [
            (Label::Billed, "billed"),
            (Label::Exact, "exact"),
            (
                Label::Calibrated {
                    within: 42,
                    observations: 120,
                },
                "calibrated (±4.2 %, n = 120)",
            ),
            (Label::prior(100, 85, 115), "prior (±15 %)"),
            (Label::prior(1000, 850, 1200), "prior (−15 to +20 %)"),
            (Label::prior(1000, 996, 1012), "prior (−0.4 to +1.2 %)"),
            (Label::prior(0, 0, 0), "prior (±0.0 %)"),
        ];
        for (label, text) in cases {
            assert_eq!(label.to_string(), text);
        }
    }
}
