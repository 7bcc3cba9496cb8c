//! Watching what one session's statusline tells: a difference to what is known counts only when it stays.

use super::{LEAST, Official, tolerance};
use crate::money::Pico;
use crate::witness::UNLOGGED_AFTER_MS;

/// What is remembered of the totals that one session's agent told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// The counter as it was told last.
    counter: Pico,
    /// What of it is not this session's. `None`: that is still open.
    carried: Option<Pico>,
    /// Since when there is more than is known and booked, and the least of it since then.
    more: Option<(i64, Pico)>,
}

/// What the ledger holds of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holds {
    /// What its calls cost, without what is booked for it.
    pub known: Pico,
    /// What is booked.
    pub booked: Pico,
    /// Calls without a price.
    pub unpriced: u64,
}

/// What is to be told to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What the session has cost by its agent's reckoning.
    pub own: Pico,
    /// See [`Told::carried`](super::Told::carried).
    pub carried: Pico,
    /// When it was seen, milliseconds.
    pub at_ms: i64,
}

impl Sight {
    /// A counter is told. `kept` is what the ledger remembers of the session.
    pub fn hear(&mut self, counter: Pico, holds: Holds, kept: Option<&Official>, now_ms: i64) {
        if self.carried.is_none() {
            self.carried = kept.map(|official| official.told.carried);
        }
        if counter < self.counter && Pico(counter.0 * 2) < self.counter && self.counter > LEAST {
            // It began anew. What the session has cost until then is what is known, or less.
            let own = self.counter - self.carried.unwrap_or_default();
            self.carried = Some(-own.min(holds.known + holds.booked).max(Pico::ZERO));
            self.counter = counter;
            self.more = None;
        }
        self.counter = self.counter.max(counter);
        self.look(holds, now_ms);
    }

    /// The ledger holds this of the session now.
    pub fn look(&mut self, holds: Holds, now_ms: i64) {
        if let Some(carried) = &mut self.carried
            && *carried > Pico::ZERO
        {
            // What was taken for another session's turned out to be a call of its own that was read late.
            *carried = (*carried).min(self.counter - holds.known).max(Pico::ZERO);
        }
        let own = self.counter - self.carried.unwrap_or_default();
        let beyond = own - holds.known;
        if holds.unpriced > 0 || beyond - holds.booked <= tolerance(own) {
            self.more = None;
            return;
        }
        let (since, least) = self.more.unwrap_or((now_ms, beyond));
        self.more = Some((since, least.min(beyond)));
    }

    /// When the difference will have stayed long enough. `None`: there is none.
    pub fn due_ms(&self) -> Option<i64> {
        self.more
            .map(|(since, _)| since.saturating_add(UNLOGGED_AFTER_MS))
    }

    /// What is to be told now, if anything is: a difference that stayed, or that a session has none, which is
    /// remembered once so that it is not doubted after a restart. `others` says what other sessions have cost that may
    /// have run the same counter; it is asked only where a session was first seen with more than is known of it.
    pub fn verdict(
        &mut self,
        holds: Holds,
        is_kept: bool,
        now_ms: i64,
        others: impl FnOnce() -> Pico,
    ) -> Option<Verdict> {
        let Some((since, least)) = self.more else {
            let own = self.counter - self.carried.unwrap_or_default();
            let settled = own <= holds.known + holds.booked + tolerance(own) && holds.unpriced == 0;
            if is_kept || !settled || self.counter <= LEAST {
                return None;
            }
            let carried = *self.carried.get_or_insert(Pico::ZERO);
            return Some(Verdict {
                own,
                carried,
                at_ms: now_ms,
            });
        };
        if now_ms < since.saturating_add(UNLOGGED_AFTER_MS) {
            return None;
        }
        self.more = None;
        let own = holds.known + least;
        let (own, carried) = match self.carried {
            Some(carried) => (own, carried),
            None => {
                let carried = others().min(least).max(Pico::ZERO);
                self.carried = Some(carried);
                (own - carried, carried)
            }
        };
        Some(Verdict {
            own,
            carried,
            at_ms: since,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_176_000_000;

    fn usd(cents: i128) -> Pico {
        Pico(cents * 10_000_000_000)
    }

    fn holds(known: i128, booked: i128) -> Holds {
        Holds {
            known: usd(known),
            booked: usd(booked),
            unpriced: 0,
        }
    }

    fn nobody() -> Pico {
        Pico::ZERO
    }

    #[test]
    fn a_difference_counts_when_it_stayed_and_then_the_least_of_it() {
        let mut sight = Sight::default();
        sight.hear(usd(100), holds(40, 0), None, NOW);
        assert_eq!(sight.due_ms(), Some(NOW + UNLOGGED_AFTER_MS));
        sight.look(holds(70, 0), NOW + 1);
        sight.hear(usd(150), holds(80, 0), None, NOW + 2);
        assert_eq!(sight.verdict(holds(80, 0), false, NOW + 3, nobody), None);
        let due = NOW + UNLOGGED_AFTER_MS;
        let verdict = sight.verdict(holds(120, 0), false, due, nobody).unwrap();
        assert_eq!((verdict.own, verdict.at_ms), (usd(150), NOW));
        assert_eq!(sight.verdict(holds(120, 30), true, due + 1, nobody), None);
    }

    #[test]
    fn what_other_witnesses_catch_up_with_is_none() {
        let mut sight = Sight::default();
        sight.hear(usd(100), holds(40, 0), None, NOW);
        sight.look(holds(97, 0), NOW + 1);
        assert_eq!(sight.due_ms(), None);
        // That is remembered once.
        let verdict = sight.verdict(holds(97, 0), false, NOW + 2, nobody).unwrap();
        assert_eq!((verdict.own, verdict.carried), (usd(100), Pico::ZERO));
        assert_eq!(sight.verdict(holds(97, 0), true, NOW + 2, nobody), None);
    }

    #[test]
    fn a_counter_that_another_session_has_run_is_laid_to_that() {
        let mut sight = Sight::default();
        sight.hear(usd(500), holds(0, 0), None, NOW);
        sight.hear(usd(560), holds(40, 0), None, NOW + 1);
        let due = NOW + UNLOGGED_AFTER_MS;
        let verdict = sight.verdict(holds(40, 0), false, due, || usd(480)).unwrap();
        assert_eq!(
            (verdict.own, verdict.carried),
            (usd(60), usd(480)),
            "least: {verdict:?}"
        );
        // From then on only what comes on top is its own.
        sight.hear(usd(700), holds(60, 20), None, due + 1);
        let verdict = sight.verdict(holds(60, 20), true, due * 2, nobody).unwrap();
        assert_eq!(verdict.own, usd(220));
    }

    #[test]
    fn a_call_that_was_read_late_is_no_other_session_s() {
        let mut sight = Sight {
            carried: Some(usd(30)),
            ..Sight::default()
        };
        sight.hear(usd(30), holds(0, 0), None, NOW);
        sight.look(holds(30, 0), NOW + 1);
        sight.hear(usd(80), holds(30, 0), None, NOW + 2);
        let verdict = sight
            .verdict(holds(30, 0), true, NOW + 2 + UNLOGGED_AFTER_MS, nobody)
            .unwrap();
        assert_eq!((verdict.own, verdict.carried), (usd(80), Pico::ZERO));
    }

    #[test]
    fn a_counter_that_begins_anew_goes_on_from_what_is_known() {
        let mut sight = Sight::default();
        sight.hear(usd(500), holds(500, 0), None, NOW);
        // An answer that came late is no new beginning.
        sight.hear(usd(490), holds(500, 0), None, NOW);
        assert_eq!(sight.counter, usd(500));
        sight.hear(usd(10), holds(510, 0), None, NOW);
        assert_eq!(sight.due_ms(), None);
        sight.hear(usd(110), holds(510, 0), None, NOW);
        let verdict = sight
            .verdict(holds(510, 0), true, NOW + UNLOGGED_AFTER_MS, nobody)
            .unwrap();
        assert_eq!(verdict.own, usd(610));
    }

    #[test]
    fn what_the_ledger_remembers_is_not_doubted_after_a_restart() {
        let told = super::super::Told {
            agent: "a".into(),
            session: "s".into(),
            own: usd(100),
            carried: Pico::ZERO,
            at_ms: NOW,
            model: "m".into(),
            project: "".into(),
        };
        let kept = Official {
            told,
            known: usd(90),
            unpriced: 0,
            parts: Vec::new(),
        };
        let mut sight = Sight::default();
        sight.hear(usd(200), holds(90, 0), Some(&kept), NOW);
        let other = || panic!("it is known whose the counter is");
        let verdict = sight
            .verdict(holds(90, 0), true, NOW + UNLOGGED_AFTER_MS, other)
            .unwrap();
        assert_eq!((verdict.own, verdict.carried), (usd(200), Pico::ZERO));
    }

    #[test]
    fn calls_without_a_price_cannot_be_held_against_a_total() {
        let mut sight = Sight::default();
        let unknown = Holds {
            unpriced: 1,
            ..holds(0, 0)
        };
        sight.hear(usd(500), unknown, None, NOW);
        assert_eq!(
            (sight.due_ms(), sight.verdict(unknown, false, NOW, nobody)),
            (None, None)
        );
    }
}
