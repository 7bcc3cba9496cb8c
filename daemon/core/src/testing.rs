//! Examples that the tests of several modules start from.

use crate::id::Key;
use crate::observation::{Attribution, Observation, Provenance};
use crate::tokens::Tokens;

/// One plain call: 1,500 tokens in, 800 out, on `claude-sonnet-4-5`.
pub(crate) fn observation(key: &str, at_ms: i64) -> Observation {
    Observation {
        key: Key::new(0, &[key]),
        at_ms,
        who: Attribution {
            agent: "claude-code".into(),
            session: "s".into(),
            project: "/p".into(),
            user: "me".into(),
            tool: "".into(),
            context: None,
        },
        provider: "anthropic".into(),
        model: "claude-sonnet-4-5".into(),
        tokens: Tokens {
            input: 1_500,
            output: 800,
            ..Tokens::default()
        },
        source: Provenance {
            kind: "test".into(),
            path: "".into(),
            offset: 0,
            lines: 1,
        },
        ..Observation::default()
    }
}
