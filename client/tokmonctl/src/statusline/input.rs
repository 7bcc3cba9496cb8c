//! What an agent tells its statusline. Everything may be missing, null or of another type.

use serde_json::Value;
use tokmon_client::v1::{Money, PromptCache, QuotaReading};

/// Longest name that is taken; the daemon takes no longer one.
const LONGEST_NAME: usize = 1024;
/// Largest cost that is believed, in dollars.
const MOST_DOLLARS: f64 = 1e6;
const PICO_PER_USD: f64 = 1e12;

/// What is known of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) session: String,
    pub(crate) project: String,
    pub(crate) model: String,
    /// The model's name for people.
    pub(crate) model_name: String,
    pub(crate) cost: Option<Money>,
    /// Used share of the context window.
    pub(crate) context_percent: Option<f64>,
    pub(crate) cache: Option<PromptCache>,
    /// Name, used percent, reset in seconds since 1970.
    pub(super) limits: Vec<(String, f64, i64)>,
}

impl Told {
    /// Reads as much as can be read.
    pub(crate) fn parse(bytes: &[u8]) -> Told {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let Ok(json) = serde_json::from_slice::<Value>(bytes) else {
            return Told::default();
        };
        let text = |path: &str| -> String {
            let found = json.pointer(path).and_then(Value::as_str).unwrap_or_default();
            if found.len() <= LONGEST_NAME {
                found.to_owned()
            } else {
                String::new()
            }
        };
        let first = |paths: [&str; 2]| {
            paths
                .into_iter()
                .map(text)
                .find(|t| !t.is_empty())
                .unwrap_or_default()
        };
        Told {
            session: text("/session_id"),
            project: first(["/workspace/project_dir", "/cwd"]),
            model: first(["/model/id", "/model"]),
            model_name: first(["/model/display_name", "/model/id"]),
            cost: json
                .pointer("/cost/total_cost_usd")
                .and_then(Value::as_f64)
                .and_then(money),
            context_percent: context(&json),
            cache: json.get("prompt_cache").filter(|c| c.is_object()).map(cache),
            limits: limits(&json),
        }
    }

    /// The limits as the daemon takes them.
    pub(crate) fn quotas(&self) -> Vec<QuotaReading> {
        let reading = |(limit, used, resets): &(String, f64, i64)| QuotaReading {
            limit: limit.clone(),
            used_percent: *used,
            resets_at_ms: resets.saturating_mul(1000),
            source: "statusline".to_owned(),
            ..QuotaReading::default()
        };
        self.limits.iter().map(reading).collect()
    }
}

fn money(dollars: f64) -> Option<Money> {
    if !(0.0..=MOST_DOLLARS).contains(&dollars) {
        return None;
    }
    // Agents add up floats: what lies below a pico-dollar is noise.
    let usd = dollars.trunc();
    Some(Money {
        usd: usd as i64,
        pico: ((dollars - usd) * PICO_PER_USD).round().min(PICO_PER_USD - 1.0) as i64,
    })
}

/// Older versions give tokens instead of a share.
fn context(json: &Value) -> Option<f64> {
    let number = |path: &str| json.pointer(path).and_then(Value::as_f64);
    let given = number("/context_window/used_percentage");
    let reckoned = || {
        let size = number("/context_window/context_window_size").filter(|size| *size > 0.0)?;
        let usage = json.pointer("/context_window/current_usage")?.as_object()?;
        let prompt = [
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
        ];
        let used: f64 = prompt.iter().filter_map(|name| usage.get(*name)?.as_f64()).sum();
        Some(100.0 * used / size)
    };
    given
        .or_else(reckoned)
        .filter(|percent| (0.0..=1000.0).contains(percent))
}

fn cache(json: &Value) -> PromptCache {
    let number = |name: &str| json.get(name).and_then(Value::as_u64).unwrap_or(0);
    let expires = json.get("expires_at").and_then(Value::as_f64).unwrap_or(0.0);
    PromptCache {
        warm: json.get("warm").and_then(Value::as_bool).unwrap_or(false),
        requests: number("requests"),
        misses: number("misses"),
        // Seconds or milliseconds, by their size.
        expires_at_ms: if expires > 1e11 {
            expires as i64
        } else {
            (expires * 1000.0) as i64
        },
        recache_tokens: number("recache_tokens_if_cold"),
    }
}

fn limits(json: &Value) -> Vec<(String, f64, i64)> {
    let Some(all) = json.get("rate_limits").and_then(Value::as_object) else {
        return Vec::new();
    };
    let limit = |(name, limit): (&String, &Value)| {
        let used = limit.get("used_percentage")?.as_f64()?;
        let resets = limit.get("resets_at").and_then(Value::as_f64).unwrap_or(0.0);
        (name.len() <= LONGEST_NAME).then(|| (name.clone(), used, resets as i64))
    };
    all.iter().take(16).filter_map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read() {
        let told = Told::parse(
            br#"{"session_id":"s1","cwd":"/a","model":{"id":"claude-opus-4-8","display_name":"Opus 4.8"},
            "workspace":{"project_dir":"/p"},"cost":{"total_cost_usd":1.25},
            "context_window":{"used_percentage":38},
            "rate_limits":{"five_hour":{"used_percentage":24.5,"resets_at":1795200000},"seven_day":{"used_percentage":41}},
            "prompt_cache":{"warm":true,"requests":9,"misses":1,"expires_at":1795170000}}"#,
        );
        assert_eq!(
            (&*told.session, &*told.project, &*told.model_name),
            ("s1", "/p", "Opus 4.8")
        );
        assert_eq!(told.cost.map(|m| (m.usd, m.pico)), Some((1, 250_000_000_000)));
        assert_eq!(told.context_percent, Some(38.0));
        let quotas = told.quotas();
        assert_eq!((&*quotas[0].limit, quotas[0].used_percent), ("five_hour", 24.5));
        assert_eq!(
            (quotas[0].resets_at_ms, quotas[1].resets_at_ms),
            (1_795_200_000_000, 0)
        );
        assert_eq!(
            told.cache.map(|c| (c.warm, c.expires_at_ms)),
            Some((true, 1_795_170_000_000))
        );
    }

    #[test]
    fn what_is_wrong_is_left_out() {
        for text in [
            "",
            "nonsense",
            "[1]",
            "null",
            r#"{"session_id":5,"model":[],"cost":{"total_cost_usd":"x"},"context_window":null,"rate_limits":[],"prompt_cache":3}"#,
            r#"{"cost":{"total_cost_usd":-1},"context_window":{"used_percentage":-3},"rate_limits":{"x":{"used_percentage":null}}}"#,
            r#"{"cost":{"total_cost_usd":1e300},"context_window":{"context_window_size":0,"current_usage":{"input_tokens":1}}}"#,
        ] {
            assert_eq!(Told::parse(text.as_bytes()), Told::default(), "{text}");
        }
        let long = format!(r#"{{"session_id":"{}"}}"#, "x".repeat(5_000));
        assert_eq!(Told::parse(long.as_bytes()), Told::default());
    }

    #[test]
    fn the_context_is_reckoned_where_no_share_is_given() {
        let told = Told::parse(
            br#"{"model":"m","context_window":{"context_window_size":200000,"used_percentage":null,
            "current_usage":{"input_tokens":10,"cache_creation_input_tokens":990,"cache_read_input_tokens":49000,"output_tokens":7}}}"#,
        );
        assert_eq!((told.context_percent, &*told.model), (Some(25.0), "m"));
    }
}
