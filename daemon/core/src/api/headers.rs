//! What a provider's headers say about its limits.

use jiff::{SignedDuration, Timestamp};

/// What is left of one limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// The limit; `None`: not said.
    pub limit: Option<u64>,
    /// What is left until then.
    pub remaining: Option<u64>,
    /// When it is full again, milliseconds since the epoch.
    pub reset_ms: Option<i64>,
}

/// What one answer's headers said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Calls.
    pub requests: Allowance,
    /// Tokens; where input and output are told apart, the one of which less is left.
    pub tokens: Allowance,
    /// Nothing is to be asked before this instant, milliseconds.
    pub retry_at_ms: Option<i64>,
    /// Headers that are about limits and cannot be read.
    pub ignored: Vec<String>,
}

/// Furthest instant that is believed: a week, the longest window of a provider.
const FURTHEST_MS: i64 = 7 * 24 * 60 * 60 * 1000;

impl Reported {
    /// Reads headers as the caller saw them. What is not about limits is passed over; names may be in any case.
    pub fn read<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>, now_ms: i64) -> Reported {
        let mut said = Reported::default();
        let (mut input, mut output) = (Allowance::default(), Allowance::default());
        for (name, value) in headers {
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            let understood = match name.as_str() {
                "retry-after" | "retry-after-ms" => {
                    let at = retry_at(&name, value, now_ms);
                    said.retry_at_ms = said.retry_at_ms.max(at);
                    at.is_some()
                }
                _ => {
                    let Some((which, what)) = parts(&name) else {
                        continue;
                    };
                    let allowance = match which {
                        "requests" => &mut said.requests,
                        "tokens" => &mut said.tokens,
                        "input-tokens" => &mut input,
                        _ => &mut output,
                    };
                    allowance.take(what, value, now_ms)
                }
            };
            if !understood {
                said.ignored.push(name);
            }
        }
        for part in [input, output] {
            if part.remaining.is_some() && part.remaining < said.tokens.remaining.or(Some(u64::MAX)) {
                said.tokens = part;
            }
        }
        said
    }
}

/// The limit and the figure that a header is about.
fn parts(name: &str) -> Option<(&str, &str)> {
    const WHICH: [&str; 4] = ["input-tokens", "output-tokens", "requests", "tokens"];
    const WHAT: [&str; 3] = ["limit", "remaining", "reset"];
    if let Some(rest) = name.strip_prefix("anthropic-ratelimit-") {
        let (which, what) = rest.rsplit_once('-')?;
        return (WHICH.contains(&which) && WHAT.contains(&what)).then_some((which, what));
    }
    let rest = name.strip_prefix("x-ratelimit-")?;
    let (what, which) = rest.split_once('-').unwrap_or((rest, "requests"));
    (WHICH.contains(&which) && WHAT.contains(&what)).then_some((which, what))
}

impl Allowance {
    fn take(&mut self, what: &str, value: &str, now_ms: i64) -> bool {
        let number = || value.parse::<u64>().ok();
        match what {
            "limit" => number().map(|n| self.limit = Some(n)).is_some(),
            "remaining" => number().map(|n| self.remaining = Some(n)).is_some(),
            _ => instant(value, now_ms)
                .map(|at| self.reset_ms = Some(at))
                .is_some(),
        }
    }
}

/// An instant, a duration such as "6m0s" or "20ms", seconds from now, or seconds or milliseconds of the epoch.
fn instant(value: &str, now_ms: i64) -> Option<i64> {
    let at = if let Ok(at) = value.parse::<Timestamp>() {
        at.as_millisecond()
    } else if let Ok(number) = value.parse::<f64>() {
        if !number.is_finite() || number < 0.0 {
            return None;
        }
        match number {
            n if n >= 1e12 => n as i64,
            n if n >= 1e9 => (n * 1e3) as i64,
            n => now_ms.saturating_add((n * 1e3).ceil() as i64),
        }
    } else {
        let lasts: SignedDuration = value.parse().ok().filter(|d| *d >= SignedDuration::ZERO)?;
        now_ms.saturating_add(i64::try_from(lasts.as_millis()).ok()?)
    };
    (at <= now_ms.saturating_add(FURTHEST_MS)).then_some(at)
}

fn retry_at(name: &str, value: &str, now_ms: i64) -> Option<i64> {
    if name == "retry-after-ms" {
        let ms = value.parse::<f64>().ok().filter(|ms| (0.0..1e12).contains(ms))?;
        let at = now_ms.saturating_add(ms.ceil() as i64);
        return (at <= now_ms.saturating_add(FURTHEST_MS)).then_some(at);
    }
    if let Ok(date) = jiff::fmt::rfc2822::parse(value) {
        let at = date.timestamp().as_millisecond();
        return (at <= now_ms.saturating_add(FURTHEST_MS)).then_some(at);
    }
    let seconds = value.parse::<f64>().ok().filter(|s| (0.0..1e9).contains(s))?;
    let at = now_ms.saturating_add((seconds * 1e3).ceil() as i64);
    (at <= now_ms.saturating_add(FURTHEST_MS)).then_some(at)
}
