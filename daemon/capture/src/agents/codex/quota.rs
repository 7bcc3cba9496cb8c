//! The limits of the subscription, which Codex writes down beside its token counts.

use tokmon_core::quota::{Reading, limit_name, share};

use super::line::Body;
use crate::agents::{Found, Origin};

/// The group of limits that an account has always; others are named.
const USUAL_GROUP: &str = "codex";

/// Takes over what a line says of limits.
pub(super) fn limits(body: &Body<'_>, at_ms: i64, origin: &Origin, found: &mut Found) {
    for (limit, place) in body.limits.iter().zip(["primary", "secondary"]) {
        let Some(limit) = limit else { continue };
        let Some(used) = share(limit.used_percent) else {
            continue;
        };
        let resets_at_ms = match (limit.resets_at, limit.resets_in) {
            (0, 0) => 0,
            (0, seconds) => at_ms.saturating_add(seconds.saturating_mul(1000)),
            (at, _) => at.saturating_mul(1000),
        };
        let name = limit_name(limit.window_minutes).unwrap_or(place);
        let group = body.limit_group.as_deref().unwrap_or(USUAL_GROUP);
        found.quota(Reading {
            agent: "codex".into(),
            account: origin.user.clone(),
            limit: match group {
                "" | USUAL_GROUP => name.into(),
                other => format!("{other}.{name}").into(),
            },
            window_minutes: limit.window_minutes,
            used,
            resets_at_ms,
            at_ms,
            plan: body.plan.as_deref().unwrap_or_default().into(),
            source: "codex-rollout".into(),
        });
    }
}
