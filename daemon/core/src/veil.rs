//! Names behind a veil: for exports that leave the machine. A name becomes a keyed hash, the same name the same hash under
//! the same key, so that figures of one session or project still stand together; nobody without the key can tell which
//! name it was, nor try out guesses.
//!
//! What the world knows stays as it is: models and providers of the bundled price book, and the agents that this program
//! knows by itself. Notes, reasons, paths of files and processes are left out.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Name;
use crate::actor::Actor;
use crate::audit::Act;
use crate::export::Analysis;
use crate::price::PriceBook;
use crate::refusal::Refusal;

/// What separates this use of a key from any other.
const CONTEXT: &str = "tokmon 2026-11-20 names in anonymised exports";
/// Shortest key, in bytes: what is shorter can be guessed.
pub const MIN_KEY_BYTES: usize = 16;
/// Longest key, in bytes: it is only hashed.
pub const MAX_KEY_BYTES: usize = 4_096;

/// Agents whose names tell nothing of anybody.
const AGENTS: [&str; 14] = [
    "claude-code",
    "codex",
    "gemini-cli",
    "qwen-code",
    "copilot-cli",
    "opencode",
    "kilo-cli",
    "cursor",
    "amp",
    "droid",
    "goose",
    "zed",
    "api",
    "mcp",
];

/// Veils names with a key.
#[derive(Clone)]
pub struct Veil {
    key: [u8; 32],
}

impl Veil {
    /// A veil of a secret.
    ///
    /// # Errors
    /// The secret is too short or too long.
    pub fn new(secret: &[u8]) -> Result<Veil, Refusal> {
        if !(MIN_KEY_BYTES..=MAX_KEY_BYTES).contains(&secret.len()) {
            let allowed = format!("{MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes");
            return Err(Refusal::invalid(
                "key",
                format!("{} bytes", secret.len()),
                allowed,
            ));
        }
        Ok(Veil {
            key: blake3::derive_key(CONTEXT, secret),
        })
    }

    /// A name as outsiders see it: "x-" and 16 hexadecimal digits. No name stays none.
    pub fn name(&self, raw: &str) -> Name {
        if raw.is_empty() {
            return "".into();
        }
        let hash = blake3::keyed_hash(&self.key, raw.as_bytes()).to_hex();
        format!("x-{}", &hash[..16]).into()
    }

    /// An agent: the well-known ones stay.
    fn agent(&self, raw: &Name) -> Name {
        if AGENTS.contains(&&**raw) {
            raw.clone()
        } else {
            self.name(raw)
        }
    }

    /// An act without a name, a path, a process or a word of anybody.
    pub fn act(&self, act: &mut Act, public: &Public) {
        let who = &mut act.caller;
        who.agent = self.agent(&who.agent);
        for name in [
            &mut who.session,
            &mut who.task,
            &mut who.project,
            &mut who.user,
            &mut who.tool,
        ] {
            *name = self.name(name);
        }
        who.provider = self.known(&who.provider, public);
        who.model = self.known(&who.model, public);
        for name in [&mut act.budget, &mut act.reservation, &mut act.subject] {
            *name = self.name(name);
        }
        act.reason = "".into();
        act.by = act.by.as_deref().map(|by| {
            Arc::new(Actor {
                user: self.name(&by.user),
                client: self.name(&by.client),
                pid: 0,
            })
        });
        if let Some(grounds) = &mut act.grounds {
            if let Some(binding) = &mut grounds.binding {
                binding.budget = self.name(&binding.budget);
            }
            for budget in &mut grounds.would_deny {
                *budget = self.name(budget);
            }
        }
        if let Some(episode) = &mut act.episode {
            episode.agent = self.agent(&episode.agent);
            episode.session = self.name(&episode.session);
            for budget in &mut episode.stops {
                *budget = self.name(budget);
            }
        }
    }

    fn known(&self, raw: &Name, public: &Public) -> Name {
        if public.knows(raw) {
            raw.clone()
        } else {
            self.name(raw)
        }
    }

    /// An analysis whose tools, and models that the world does not know, have no names. Tips quote them, so they are
    /// replaced there, too.
    pub fn analysis(&self, analysis: &mut Analysis, public: &Public) {
        let mut veiled: HashMap<String, String> = HashMap::new();
        let mut hide = |name: &mut String, stays: bool| {
            if !stays && !name.is_empty() {
                let hash = self.name(name).to_string();
                veiled.insert(std::mem::replace(name, hash.clone()), hash);
            }
        };
        for row in &mut analysis.by_tool.rows {
            row.keys.iter_mut().for_each(|tool| hide(tool, false));
        }
        for tool in &mut analysis.waste.tools {
            hide(&mut tool.tool, false);
        }
        for row in &mut analysis.by_model.rows {
            for key in &mut row.keys {
                let stays = public.knows(key);
                hide(key, stays);
            }
        }
        for report in [
            &mut analysis.by_model,
            &mut analysis.by_tool,
            &mut analysis.by_day,
        ] {
            for name in &mut report.unpriced {
                let parts = name.split('/').map(|part| {
                    let mut part = part.to_owned();
                    let stays = public.knows(&part);
                    hide(&mut part, stays);
                    part
                });
                *name = parts.collect::<Vec<_>>().join("/");
            }
        }
        let mut names: Vec<(String, String)> = veiled.into_iter().collect();
        // A name that contains another goes first.
        names.sort_by(|a, b| (b.0.len(), &a.0).cmp(&(a.0.len(), &b.0)));
        for tip in &mut analysis.tips {
            for text in [&mut tip.title, &mut tip.evidence, &mut tip.advice] {
                *text = replaced(text, &names);
            }
        }
    }
}

/// Replaces names in one pass, so that nothing is replaced within what was put in.
fn replaced(text: &str, names: &[(String, String)]) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(next) = rest.chars().next() {
        match names.iter().find(|(raw, _)| rest.starts_with(raw.as_str())) {
            Some((raw, veiled)) => {
                out.push_str(veiled);
                rest = &rest[raw.len()..];
            }
            None => {
                out.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    out
}

/// Models and providers that everybody knows.
#[derive(Debug, Clone, Default)]
pub struct Public {
    names: std::collections::HashSet<Name>,
}

impl Public {
    /// Those of the bundled price book.
    pub fn bundled() -> Public {
        let book = PriceBook::bundled();
        let names = book
            .rows()
            .flat_map(|row| [row.provider.clone(), row.model.clone()]);
        Public {
            names: names.collect(),
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

#[cfg(test)]
mod tests;
