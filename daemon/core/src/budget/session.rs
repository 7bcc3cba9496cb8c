//! Budgets of one session: a day's, a month's and a hard limit, which are three ordinary budgets.

use super::{Action, Budget, Scope, Span, Unreachable, Weights};
use crate::Name;
use crate::id::Key;
use crate::money::Pico;
use crate::runaway::OnRunaway;

/// What a session budget limits, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// In a day.
    pub daily: u64,
    /// In a month.
    pub monthly: u64,
    /// Ever.
    pub hard: u64,
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            daily: 10_000,
            monthly: 300_000,
            hard: 1_000_000,
        }
    }
}

/// Longest session that can stand in a budget's name as it is.
const LONGEST: usize = 48;

/// The names of a session's three budgets: daily, monthly, hard. A session that cannot stand in a name stands as a hash.
pub fn session_budget_names(session: &str) -> [Name; 3] {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let short = if !session.is_empty() && session.len() <= LONGEST && session.bytes().all(plain) {
        session.to_owned()
    } else {
        let hash = Key::new(0, &["session budget", session]).hash;
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    ["daily", "monthly", "hard"].map(|which| format!("session.{short}.{which}").into())
}

/// A session's three budgets. They deny; warned is at 80 %, critical is 95 %.
pub fn session_budgets(
    session: &str,
    limits: &SessionLimits,
    timezone: &Name,
    unreachable: Unreachable,
) -> [Budget; 3] {
    let [daily, monthly, hard] = session_budget_names(session);
    let budget = |name: Name, limit_tokens: u64, window: Span| Budget {
        name,
        scope: Scope {
            sessions: vec![session.to_owned()],
            ..Scope::default()
        },
        limit_tokens,
        limit_usd: Pico::ZERO,
        limit_requests: 0,
        window,
        timezone: timezone.clone(),
        warn_percent: 80,
        critical_percent: 95,
        action: Action::Deny,
        weights: Weights::default(),
        shadow: false,
        unreachable,
        on_runaway: OnRunaway::default(),
        adjust: None,
    };
    [
        budget(daily, limits.daily, Span::Day),
        budget(monthly, limits.monthly, Span::Month),
        budget(hard, limits.hard, Span::Lifetime),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_has_budgets_of_its_own_with_names_that_budgets_may_have() {
        let sessions = [
            "s1",
            "",
            "S1",
            "s 1",
            "ü",
            &"x".repeat(48),
            &"x".repeat(49),
            &"x".repeat(50),
        ];
        let mut names = std::collections::BTreeSet::new();
        for session in sessions {
            for budget in session_budgets(session, &SessionLimits::default(), &"".into(), Unreachable::Allow)
            {
                let budget = budget.checked().unwrap();
                assert_eq!(budget.thresholds(), [80, 95, 100]);
                assert!(names.insert(budget.name), "{session}");
            }
        }
        assert_eq!(&*session_budget_names("s1")[2], "session.s1.hard");
    }
}
