//! Small values that every transcript has: instants, names that repeat, hashes.

use std::sync::Arc;

use tokmon_core::Name;
use tokmon_core::limits::{MAX_NAME_BYTES, MAX_REPORTED_USD, MAX_TOKENS_PER_CALL};
use tokmon_core::money::{PICO_PER_USD, Pico};
use tokmon_core::observation::Place;

use super::json::{Problem, Reader};
use crate::sqlite::Value;

/// Reads an RFC 3339 instant as milliseconds since the epoch.
pub(crate) fn instant(text: &str) -> Option<i64> {
    plain_utc(text.as_bytes()).or_else(|| text.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond()))
}

/// The one form that nearly every line has, `2026-11-20T09:15:02.311Z`, without a general parser.
fn plain_utc(text: &[u8]) -> Option<i64> {
    let [
        y0,
        y1,
        y2,
        y3,
        b'-',
        m0,
        m1,
        b'-',
        d0,
        d1,
        b'T',
        h0,
        h1,
        b':',
        n0,
        n1,
        b':',
        s0,
        s1,
        b'.',
        f0,
        f1,
        f2,
        b'Z',
    ] = *text
    else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0i64, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
        })
    };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[n0, n1])?, number(&[s0, s1])?);
    // Odd dates and leap seconds are the general parser's.
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days of the civil calendar: years begin in March, so that the leap day is the last one.
    let (shifted_year, shifted_month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + number(&[f0, f1, f2])?)
}

/// A time: text, or a number of seconds or milliseconds, also within quotes.
pub(crate) fn moment(reader: &mut Reader<'_>) -> Result<Option<i64>, Problem> {
    let raw = reader.raw()?;
    let bare = match raw {
        [b'"', inside @ .., b'"'] => inside,
        _ => raw,
    };
    let Ok(text) = std::str::from_utf8(bare) else {
        return Ok(None);
    };
    if raw.len() > bare.len()
        && let Some(at_ms) = instant(text)
    {
        return Ok(Some(at_ms));
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    Ok(number.map(|number| {
        if number.abs() < 1e11 {
            (number * 1000.0) as i64
        } else {
            number as i64
        }
    }))
}

/// An id that is the only one of its kind; one too long to be an id is none.
pub(crate) fn id(text: &str) -> Name {
    let fits = text.len() <= MAX_NAME_BYTES;
    Name::from(if fits { text } else { "" })
}

/// Whether an id is a UUID by its shape, which no two agents share by chance.
pub(crate) fn is_uuid(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// When a UUID of version 7 was made, milliseconds since the epoch.
pub(crate) fn uuid_v7_ms(uuid: &str) -> Option<i64> {
    if !is_uuid(uuid) || uuid.as_bytes()[14] != b'7' {
        return None;
    }
    let (high, low) = (
        i64::from_str_radix(&uuid[..8], 16).ok()?,
        i64::from_str_radix(&uuid[9..13], 16).ok()?,
    );
    Some(high << 16 | low)
}

/// Names seen lately, so that thousands of records share one copy.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: Vec<Name>,
    next: usize,
    /// The last model that was asked for, and whose it is.
    vendor: Option<(Name, Name)>,
    /// Places seen lately, the latest last.
    places: Vec<Arc<Place>>,
}

/// Places of one file that share one copy: a branch or two, with the MCP servers and skills that are used in turn.
const PLACES_KEPT: usize = 8;

/// Sessions, projects, models and tools of one file: rarely more than this.
const NAMES_KEPT: usize = 32;

impl Names {
    /// The shared copy of a name; cut at [`MAX_NAME_BYTES`].
    pub(crate) fn get(&mut self, name: &str) -> Name {
        let mut length = name.len().min(MAX_NAME_BYTES);
        while !name.is_char_boundary(length) {
            length -= 1;
        }
        let name = &name[..length];
        let Some(end) = name.as_bytes().last() else {
            return Name::default();
        };
        // Names of one length (sessions, models) differ at their ends: most are told apart without comparing them.
        let mut known = (self.known.iter()).filter(|known| known.len() == length);
        if let Some(known) = known.find(|known| known.as_bytes().last() == Some(end) && &***known == name) {
            return known.clone();
        }
        let fresh = Name::from(name);
        if self.known.len() < NAMES_KEPT {
            self.known.push(fresh.clone());
        } else {
            self.known[self.next] = fresh.clone();
            self.next = (self.next + 1) % NAMES_KEPT;
        }
        fresh
    }
}

impl Names {
    /// Whose model it is, judged by its name; empty when that does not tell.
    pub(crate) fn provider(&mut self, model: &Name) -> Name {
        if let Some((known, provider)) = &self.vendor
            && known == model
        {
            return provider.clone();
        }
        let provider = self.get(tokmon_core::model::guess_provider(model).unwrap_or_default());
        self.vendor = Some((model.clone(), provider.clone()));
        provider
    }

    /// The shared copy of a place; `None` when nothing is known of it.
    pub(crate) fn place(&mut self, place: Place) -> Option<Arc<Place>> {
        if place == Place::default() {
            return None;
        }
        if let Some(known) = self.places.iter().find(|known| ***known == place) {
            return Some(known.clone());
        }
        if self.places.len() >= PLACES_KEPT {
            self.places.remove(0);
        }
        let fresh = Arc::new(place);
        self.places.push(fresh.clone());
        Some(fresh)
    }

    /// The server of a tool that came over MCP, by the name that agents give such tools: `mcp__server__tool`. Empty for
    /// any other tool.
    pub(crate) fn mcp_server(&mut self, tool: &str) -> Name {
        let server = tool.strip_prefix("mcp__").and_then(|rest| rest.split_once("__"));
        self.get(server.map_or("", |(server, _)| server))
    }
}

/// A cost that an agent may claim; nonsense is left out rather than believed.
pub(crate) fn reported_cost(text: &str) -> Option<Pico> {
    Pico::parse_usd(text).filter(|cost| (0..=MAX_REPORTED_USD * PICO_PER_USD).contains(&cost.0))
}

/// What an agent says that a call cost, in dollars. `None` for nothing, which agents also write for calls that a
/// subscription pays, and for what is no amount.
pub(crate) fn cost(reader: &mut Reader<'_>) -> Result<Option<Pico>, Problem> {
    let amount = reader.number_text()?.and_then(reported_cost);
    Ok(amount.filter(|amount| *amount > Pico::ZERO))
}

/// The same from a database.
pub(crate) fn dollars(value: &Value<'_>) -> Option<Pico> {
    let text = match value {
        Value::Integer(number) => number.to_string(),
        // The shortest decimal that is this number: what the agent's own language shows.
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Null | Value::Blob(_) => return None,
    };
    reported_cost(&text).filter(|amount| *amount > Pico::ZERO)
}

/// Most tokens of one session that is believed.
pub(crate) const MAX_SESSION_TOKENS: u64 = 1_000 * MAX_TOKENS_PER_CALL;

/// What a session used so far, from a database; nothing counts as none. Negative, no number, or beyond belief: a
/// problem that names the column.
pub(crate) fn total(value: &Value<'_>, column: &str) -> Result<u64, Problem> {
    if *value == Value::Null {
        return Ok(0);
    }
    let count = value.integer().and_then(|count| u64::try_from(count).ok());
    match count.filter(|count| *count <= MAX_SESSION_TOKENS) {
        Some(count) => Ok(count),
        None => Err(Problem(format!(
            "{column} is not a whole number from 0 to {MAX_SESSION_TOKENS}"
        ))),
    }
}

/// The place of a call that a subagent of this kind made.
pub(crate) fn subagent(kind: &str) -> Option<Arc<Place>> {
    (!kind.is_empty()).then(|| {
        Arc::new(Place {
            subagent: kind.into(),
            ..Place::default()
        })
    })
}

/// A quick hash of bytes, the same on every machine and in every version. Not for keys.
pub(crate) fn hash(parts: &[&[u8]]) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = MIX;
    for part in parts {
        let mut chunks = part.chunks_exact(8);
        for chunk in &mut chunks {
            let word = chunk
                .iter()
                .rev()
                .fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            state = (state ^ word).wrapping_mul(MIX).rotate_left(29);
        }
        let rest = chunks
            .remainder()
            .iter()
            .fold(part.len() as u64, |word, byte| word << 8 | u64::from(*byte));
        state = (state ^ rest).wrapping_mul(MIX).rotate_left(29);
    }
    state ^= state >> 32;
    state.wrapping_mul(MIX) ^ state >> 29
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instants() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00.000Z", Some(0)),
            ("2026-11-20T09:15:02.311Z", Some(1_795_166_102_311)),
            ("2024-02-29T23:59:59.999Z", Some(1_709_251_199_999)),
            ("2026-11-20T10:15:02.311+01:00", Some(1_795_166_102_311)),
            ("2026-11-20T09:15:02Z", Some(1_795_166_102_000)),
            ("2026-02-30T00:00:00.000Z", None),
            ("2026-13-01T00:00:00.000Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(instant(text), wanted, "{text}");
        }
    }

    #[test]
    fn uuid_times() {
        assert_eq!(
            uuid_v7_ms("019ed917-1cf7-72a3-92f5-c0aa98fb134e"),
            Some(0x019e_d917_1cf7)
        );
        for other in [
            "",
            "0197-a",
            "019ed917-1cf7-42a3-92f5-c0aa98fb134e",
            "019ed917-1cf7-72a3-92f5-c0aa98fb134é",
        ] {
            assert_eq!(uuid_v7_ms(other), None, "{other}");
        }
    }

    #[test]
    fn names_are_shared_and_cut_between_characters() {
        let mut names = Names::default();
        let long = "é".repeat(MAX_NAME_BYTES);
        assert_eq!(names.get(&long).len(), MAX_NAME_BYTES);
        assert!(Name::ptr_eq(&names.get("a"), &names.get("a")));
        for number in 0..100 {
            assert_eq!(&*names.get(&number.to_string()), number.to_string());
        }
    }

    #[test]
    fn places_are_shared_and_servers_are_in_the_names_of_tools() {
        let mut names = Names::default();
        let place = |branch: &str| Place {
            branch: branch.into(),
            ..Place::default()
        };
        assert_eq!(names.place(place("")), None);
        let (first, again) = (
            names.place(place("main")).unwrap(),
            names.place(place("main")).unwrap(),
        );
        assert!(Arc::ptr_eq(&first, &again));
        for number in 0..20 {
            assert_eq!(
                &*names.place(place(&number.to_string())).unwrap().branch,
                number.to_string()
            );
        }
        for (tool, server) in [
            ("mcp__github__get_issue", "github"),
            ("mcp__a_b__c__d", "a_b"),
            ("mcp__half", ""),
            ("Read", ""),
            ("", ""),
        ] {
            assert_eq!(&*names.mcp_server(tool), server, "{tool}");
        }
    }

    #[test]
    fn hashes_know_boundaries() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"a"]), hash(&[b"a\0"]));
        assert_eq!(hash(&[b"stable"]), hash(&[b"stable"]));
    }

    proptest! {
        #[test]
        fn the_quick_way_says_what_the_general_parser_says(ms in -62_135_596_800_000i64..253_402_300_799_999) {
            let at = jiff::Timestamp::from_millisecond(ms).unwrap();
            let text = format!("{at:.3}");
            prop_assert_eq!(instant(&text), Some(ms), "{}", text);
        }
    }
}
