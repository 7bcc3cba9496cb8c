//! Reading a tool call's arguments. What is wrong is said by name, with what is allowed, so that a model can mend it.

use rmcp::model::JsonObject;
use serde_json::Value;
use tokmon_client::v1::Money;

use crate::money;

/// Longest name (model, tool) in bytes, as in the contract.
const MAX_NAME_BYTES: usize = 1024;
/// Longest part of a note that is sent on, in characters: the daemon keeps no more.
const MAX_NOTE_CHARS: usize = 200;
/// Most of a wrong value that is quoted, in characters.
const MAX_QUOTE: usize = 40;

/// The arguments of one call.
pub(crate) struct Arguments {
    given: JsonObject,
}

impl Arguments {
    /// Errors: an argument that is not among `allowed`.
    pub(crate) fn new(given: Option<JsonObject>, allowed: &[&str]) -> Result<Arguments, String> {
        let given = given.unwrap_or_default();
        match given.keys().find(|name| !allowed.contains(&name.as_str())) {
            None => Ok(Arguments { given }),
            Some(name) if allowed.is_empty() => {
                Err(format!("unknown argument '{}': this tool takes none", cut(name)))
            }
            Some(name) => Err(format!(
                "unknown argument '{}': allowed are {}",
                cut(name),
                allowed.join(", ")
            )),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.given.get(name).filter(|value| !value.is_null())
    }

    /// A whole number within bounds, or `None` when it is not given.
    pub(crate) fn integer(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(wrong(name, &format!("a whole number from {min} to {max}"), value)),
        }
    }

    /// A whole number within bounds that must be there.
    pub(crate) fn required_integer(&self, name: &str, min: u64, max: u64) -> Result<u64, String> {
        self.integer(name, min, max)?
            .ok_or_else(|| format!("{name} is missing: a whole number from {min} to {max}"))
    }

    /// An amount of dollars above 0 and up to `max`.
    pub(crate) fn dollars(&self, name: &str, max: i64) -> Result<Option<Money>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let allowed = format!("a number of dollars above 0 and up to {max}, with at most 12 decimals");
        // The shortest decimal that means this number, never with an exponent.
        let text = match value {
            Value::Number(number) if number.is_u64() => number.to_string(),
            Value::Number(number) => number.as_f64().map(|f| f.to_string()).unwrap_or_default(),
            _ => String::new(),
        };
        money::parse(&text)
            .filter(|m| (m.usd, m.pico) > (0, 0) && (m.usd, m.pico) <= (max, 0))
            .map(Some)
            .ok_or_else(|| wrong(name, &allowed, value))
    }

    /// A name: text of 1 to 1024 bytes, or `None` when it is not given or empty.
    pub(crate) fn name(&self, name: &str) -> Result<Option<String>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_str().map(str::trim) {
            Some("") => Ok(None),
            Some(text) if text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control) => {
                Ok(Some(text.to_owned()))
            }
            _ => {
                let allowed = format!("text of at most {MAX_NAME_BYTES} bytes without control characters");
                Err(wrong(name, &allowed, value))
            }
        }
    }

    /// A name that must be there.
    pub(crate) fn required_name(&self, name: &str) -> Result<String, String> {
        self.name(name)?
            .ok_or_else(|| format!("{name} is missing: text of 1 to {MAX_NAME_BYTES} bytes"))
    }

    /// A note, cut to what is kept.
    pub(crate) fn note(&self, name: &str) -> Result<String, String> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.chars().take(MAX_NOTE_CHARS).collect()),
            Some(value) => Err(wrong(name, "text", value)),
        }
    }

    /// One of `allowed`, or `None` when it is not given.
    pub(crate) fn choice(
        &self,
        name: &str,
        allowed: &[&'static str],
    ) -> Result<Option<&'static str>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value.as_str().unwrap_or_default();
        match allowed.iter().find(|one| **one == text) {
            Some(one) => Ok(Some(one)),
            None => Err(wrong(name, &format!("one of {}", allowed.join(", ")), value)),
        }
    }

    /// A day of the calendar, as days since 1970-01-01, or `None` when it is not given.
    pub(crate) fn day(&self, name: &str) -> Result<Option<i64>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_str().and_then(crate::tools::daily::day_number) {
            Some(day) => Ok(Some(day)),
            None => Err(wrong(
                name,
                "a day that exists, as YYYY-MM-DD, from 2015 to 2999",
                value,
            )),
        }
    }
}

fn wrong(name: &str, allowed: &str, value: &Value) -> String {
    format!("{name} must be {allowed}, not {}", cut(&value.to_string()))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_QUOTE {
        return text.to_owned();
    }
    text.chars().take(MAX_QUOTE).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn arguments(value: Value) -> Arguments {
        Arguments {
            given: value.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn whole_numbers() {
        let good = [
            (json!(0), Some(0)),
            (json!(1000), Some(1000)),
            (json!(null), None),
        ];
        for (value, expected) in good {
            let read = arguments(json!({"n": value})).integer("n", 0, 1000);
            assert_eq!(read, Ok(expected), "{value}");
        }
        let bad = [
            json!(-1),
            json!(1001),
            json!(1.5),
            json!(1e30),
            json!("5"),
            json!(true),
            json!([1]),
            json!({}),
        ];
        for value in bad {
            let said = arguments(json!({"n": value})).integer("n", 0, 1000).unwrap_err();
            assert_eq!(
                said,
                format!("n must be a whole number from 0 to 1000, not {value}")
            );
        }
        let said = arguments(json!({})).required_integer("n", 0, 9).unwrap_err();
        assert_eq!(said, "n is missing: a whole number from 0 to 9");
    }

    #[test]
    fn dollars_are_exact() {
        let good = [
            (json!(20), Money { usd: 20, pico: 0 }),
            (
                json!(0.1),
                Money {
                    usd: 0,
                    pico: 100_000_000_000,
                },
            ),
            (
                json!(1e-7),
                Money {
                    usd: 0,
                    pico: 100_000,
                },
            ),
            (json!(100), Money { usd: 100, pico: 0 }),
        ];
        for (value, expected) in good {
            assert_eq!(
                arguments(json!({"d": value})).dollars("d", 100),
                Ok(Some(expected)),
                "{value}"
            );
        }
        for value in [
            json!(0),
            json!(-1),
            json!(-0.5),
            json!(100.5),
            json!(1e300),
            json!(1e-13),
            json!("20"),
        ] {
            let said = arguments(json!({"d": value})).dollars("d", 100).unwrap_err();
            assert!(
                said.starts_with("d must be a number of dollars above 0 and up to 100"),
                "{said}"
            );
        }
    }

    #[test]
    fn names_and_notes() {
        let given =
            arguments(json!({"a": " x ", "b": "", "c": 5, "d": "y".repeat(1025), "e": "z".repeat(999)}));
        assert_eq!(given.required_name("a").as_deref(), Ok("x"));
        assert_eq!(given.name("b"), Ok(None));
        assert_eq!(
            given.required_name("b").unwrap_err(),
            "b is missing: text of 1 to 1024 bytes"
        );
        assert_eq!(
            given.name("c").unwrap_err(),
            "c must be text of at most 1024 bytes without control characters, not 5"
        );
        let said = given.name("d").unwrap_err();
        assert!(said.len() < 120 && said.ends_with('…'), "{said}");
        let said = arguments(json!({"a": "x\ny"})).name("a").unwrap_err();
        assert!(said.ends_with(r#"not "x\ny""#), "{said}");
        assert_eq!(given.note("e").unwrap().len(), 200);
        assert_eq!(given.note("c").unwrap_err(), "c must be text, not 5");
    }

    #[test]
    fn choices_and_days() {
        let given = arguments(json!({"p": "today", "q": "yesterday", "d": "2026-02-29", "e": "2024-02-29"}));
        assert_eq!(given.choice("p", &["today", "all"]), Ok(Some("today")));
        assert_eq!(given.choice("x", &["today"]), Ok(None));
        assert_eq!(
            given.choice("q", &["today", "all"]).unwrap_err(),
            "q must be one of today, all, not \"yesterday\""
        );
        assert!(given.day("d").unwrap_err().contains("YYYY-MM-DD"));
        assert_eq!(given.day("e"), Ok(Some(19_782)));
    }

    #[test]
    fn unknown_arguments_are_named() {
        let given = || json!({"tokens": 1}).as_object().cloned();
        let said = Arguments::new(given(), &["input_tokens", "model"]).err().unwrap();
        assert_eq!(said, "unknown argument 'tokens': allowed are input_tokens, model");
        let said = Arguments::new(given(), &[]).err().unwrap();
        assert_eq!(said, "unknown argument 'tokens': this tool takes none");
        assert!(Arguments::new(None, &[]).is_ok());
    }
}
