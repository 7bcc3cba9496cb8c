//! Which limit would have fitted: what past windows used, and how often each limit would have denied.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::span::HOUR_MS;
use super::{Span, Unit, Used};
use crate::refusal::Refusal;

/// Sums what was used by window. Calls come in the order of time.
#[derive(Debug)]
pub struct Windows {
    span: Span,
    zone: TimeZone,
    now_ms: i64,
    /// The window of the last call.
    current: (i64, i64),
    totals: BTreeMap<(i64, u64), Used>,
}

impl Windows {
    /// No window yet.
    ///
    /// # Errors
    /// A lifetime has no past windows to learn from.
    pub fn new(span: Span, zone: TimeZone, now_ms: i64) -> Result<Windows, Refusal> {
        if span == Span::Lifetime {
            let allowed = "a window that ends: hour, day, week, month, session or a number of hours";
            return Err(Refusal::invalid(
                "window",
                "a lifetime has no past windows",
                allowed,
            ));
        }
        Ok(Windows {
            span,
            zone,
            now_ms,
            current: (i64::MIN, i64::MIN),
            totals: BTreeMap::new(),
        })
    }

    /// Adds what was used at an instant, in a session that is known by a number.
    pub fn add(&mut self, at_ms: i64, session: u64, used: &Used) {
        let key = match self.span {
            Span::Session => (0, session),
            _ => {
                if !(self.current.0..self.current.1).contains(&at_ms) {
                    self.current = self.around(at_ms);
                }
                // What still runs has not used all that it will.
                if self.current.1 > self.now_ms {
                    return;
                }
                (self.current.0, 0)
            }
        };
        self.totals.entry(key).or_default().add(used);
    }

    fn around(&self, at_ms: i64) -> (i64, i64) {
        match self.span {
            Span::Hours(hours) => {
                let start = (at_ms - at_ms.rem_euclid(HOUR_MS)).max(self.current.1);
                (start, start.saturating_add(i64::from(hours) * HOUR_MS))
            }
            Span::Rolling(_) => {
                let length = self.span.length_ms().max(1);
                let start = at_ms - at_ms.rem_euclid(length);
                (start, start.saturating_add(length))
            }
            calendar => calendar.around(at_ms, &self.zone).unwrap_or((at_ms, i64::MAX)),
        }
    }

    /// What was used in the last windows in which something was.
    pub fn last(self, most: usize) -> Vec<Used> {
        let skip = self.totals.len().saturating_sub(most);
        self.totals.into_values().skip(skip).collect()
    }
}

/// What past windows say of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// Which unit.
    pub unit: Unit,
    /// Half of the windows used at most this …
    pub p50: i128,
    /// … and nineteen in twenty this.
    pub p95: i128,
    /// The most that one used.
    pub max: i128,
    /// Limits to choose from, rising.
    pub limits: Vec<Limit>,
}

/// A limit, and what it would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What it is made of: "median", "p95", "p95 + 20 %", "max + 20 %", "as set".
    pub basis: &'static str,
    /// The limit.
    pub limit: i128,
    /// Windows that would have used more.
    pub denied: usize,
}

/// What fits past windows. `None`: nothing was used in this unit. `set` is the limit that is in force.
pub fn suggest(totals: &[Used], unit: Unit, set: Option<i128>) -> Option<Suggestion> {
    let mut amounts: Vec<i128> = totals.iter().map(|used| used.amount(unit).max(0)).collect();
    amounts.sort_unstable();
    let max = amounts.last().copied().filter(|&max| max > 0)?;
    let rank = |percent: usize| amounts[(amounts.len() * percent).div_ceil(100).saturating_sub(1)];
    let (p50, p95) = (rank(50), rank(95));
    let more = |amount: i128| amount.saturating_add(amount / 5);
    let limits = [
        ("median", Some(p50)),
        ("p95", Some(p95)),
        ("p95 + 20 %", Some(more(p95))),
        ("max + 20 %", Some(more(max))),
        ("as set", set),
    ];
    let mut limits: Vec<Limit> = limits
        .into_iter()
        .filter_map(|(basis, limit)| {
            let limit = limit.filter(|&limit| limit > 0)?;
            let denied = amounts.iter().filter(|&&amount| amount > limit).count();
            Some(Limit { basis, limit, denied })
        })
        .collect();
    limits.sort_by_key(|limit| limit.limit);
    Some(Suggestion {
        unit,
        p50,
        p95,
        max,
        limits,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(tokens: u64) -> Used {
        Used {
            tokens,
            ..Used::default()
        }
    }

    const DAY: i64 = 24 * HOUR_MS;

    fn sums(span: Span, calls: &[(i64, u64, u64)], now_ms: i64) -> Vec<u64> {
        let mut windows = Windows::new(span, TimeZone::UTC, now_ms).unwrap();
        for (at, session, used) in calls {
            windows.add(*at, *session, &tokens(*used));
        }
        windows.last(100).iter().map(|used| used.tokens).collect()
    }

    #[test]
    fn windows_are_those_of_the_budget_and_the_running_one_is_left_out() {
        let calls = [(1, 1, 5), (2, 2, 6), (DAY + 1, 1, 7), (3 * DAY, 1, 8)];
        assert_eq!(sums(Span::Day, &calls, 3 * DAY + 5), [11, 7]);
        assert_eq!(sums(Span::Session, &calls, 3 * DAY + 5), [20, 6]);
        let hours = [(HOUR_MS + 5, 1, 1), (6 * HOUR_MS - 1, 1, 2), (6 * HOUR_MS, 1, 4)];
        assert_eq!(sums(Span::Hours(5), &hours, DAY), [3, 4]);
        assert!(Windows::new(Span::Lifetime, TimeZone::UTC, 0).is_err());
    }

    #[test]
    fn limits_say_how_often_they_would_have_denied() {
        let totals: Vec<Used> = (1..=20).map(|n| tokens(n * 100)).collect();
        let got = suggest(&totals, Unit::Tokens, Some(1_500)).unwrap();
        assert_eq!((got.p50, got.p95, got.max), (1_000, 1_900, 2_000));
        let limits: Vec<_> = got.limits.iter().map(|l| (l.basis, l.limit, l.denied)).collect();
        assert_eq!(
            limits,
            [
                ("median", 1_000, 10),
                ("as set", 1_500, 5),
                ("p95", 1_900, 1),
                ("p95 + 20 %", 2_280, 0),
                ("max + 20 %", 2_400, 0)
            ]
        );
        assert_eq!(suggest(&totals, Unit::Usd, None), None);
        assert_eq!(suggest(&[], Unit::Tokens, None), None);
    }

    proptest! {
        #[test]
        fn a_higher_limit_denies_no_more(amounts in prop::collection::vec(0u64..1_000_000, 1..60), set in 1i128..2_000_000) {
            let totals: Vec<Used> = amounts.iter().map(|&n| tokens(n)).collect();
            if let Some(got) = suggest(&totals, Unit::Tokens, Some(set)) {
                prop_assert!(got.p50 <= got.p95 && got.p95 <= got.max);
                prop_assert!(got.limits.windows(2).all(|two| two[0].denied >= two[1].denied));
                let largest = got.limits.iter().find(|limit| limit.basis == "max + 20 %").unwrap();
                prop_assert_eq!(largest.denied, 0);
                let p95 = got.limits.iter().find(|limit| limit.basis == "p95").map_or(0, |limit| limit.denied);
                prop_assert!(p95 * 20 <= amounts.len());
            }
        }

        #[test]
        fn windows_lose_nothing_that_is_over(calls in prop::collection::vec((0i64..40 * DAY, 0u64..4, 1u64..100), 0..80)) {
            let mut calls = calls;
            calls.sort_unstable();
            let all: u64 = calls.iter().map(|call| call.2).sum();
            for span in [Span::Hour, Span::Day, Span::Week, Span::Month, Span::Session, Span::Hours(5), Span::Rolling(90)] {
                prop_assert_eq!(sums(span, &calls, 400 * DAY).iter().sum::<u64>(), all, "{:?}", span);
            }
        }
    }
}
