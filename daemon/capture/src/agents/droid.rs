//! Factory's Droid: `sessions/**/<id>.settings.json`, a small document for each session that holds what it has used
//! so far. The transcript beside it says where the session worked, but not what it used; in former versions also which
//! model it was, in words.
//!
//! The total is all there is, so what was used between two looks goes to the model that is set at the second. Thinking is
//! a part of the answer. What subagents used stands in sessions of their own, and once more in their parents' as
//! `inclusiveTokenUsage`, which is passed over.
//!
//! A model of the user's own goes by its name on the screen, `custom:My-Model-0`; the settings say which it is.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokmon_core::observation::CallKind;
use tokmon_core::tokens::Tokens;

use super::json::{Problem, Reader};
use super::notes::Notes;
use super::values::instant;
use super::{Form, Format, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "droid",
    version: 3,
    places,
    forms: &[Form {
        files: "**/*.settings.json",
        kind: "droid-session",
        read: Reading::Document(read),
    }],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let sessions = at.var("DROID_SESSIONS_DIR").unwrap_or_else(|| {
        let factory = at.var("FACTORY_DIR").unwrap_or_else(|| at.home.join(".factory"));
        factory.join("sessions")
    });
    vec![sessions]
}

/// Most tokens of one session that is believed.
const MAX_SESSION_TOKENS: u64 = 1_000_000_000_000;
/// So much of the transcript is looked at for its first line.
const BEGINNING: usize = 64 * 1024;

/// So much of the settings is looked at for the user's own models.
const SETTINGS: usize = 512 * 1024;

/// Interfaces that stand where the provider should: whose model it is, its name says.
const INTERFACES: [&str; 1] = ["generic-chat-completion-api"];
/// What stands before the model in a transcript's first message.
const MODEL: &[u8] = b"Model:";
/// Longest name of a model that is believed there, in bytes.
const MAX_MODEL: usize = 100;

type Text<'a> = Option<Cow<'a, str>>;

fn read(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let (mut model, mut provider, mut started): (Text<'_>, Text<'_>, Text<'_>) = (None, None, None);
    let mut tokens = Tokens::default();
    let mut reader = Reader::new(bytes);
    let is_object = reader.object(|reader, key| {
        match key {
            b"model" => model = reader.text()?,
            b"providerLock" => provider = reader.text()?,
            b"providerLockTimestamp" => started = reader.text()?,
            b"tokenUsage" => {
                reader.object(|reader, key| usage(reader, key, &mut tokens))?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    if !is_object {
        return Err(Problem("not a JSON object".into()));
    }
    tokens.reasoning = tokens.reasoning.min(tokens.output);
    let session = notes.origin.name_without(".settings.json").to_owned();
    let name = format!("{session} whole");
    if let Some((mut before, _)) = notes.known(&session) {
        // A former version of this reader counted thinking beside the answer.
        before.output -= before.reasoning.min(before.output);
        notes.begin(&name, before, None);
    }
    let Some(step) = notes.since(&name, tokens, None) else {
        return Ok(());
    };
    let started_ms = started.as_deref().and_then(instant).unwrap_or(i64::MIN);
    let at_ms = notes.origin.mtime_ms.max(started_ms).min(notes.now_ms);
    let transcript = notes.origin.beside(&format!("{session}.jsonl"), BEGINNING);
    let transcript = transcript.unwrap_or_default();
    let model = model.map(|model| own_model(&model, notes).unwrap_or_else(|| plain(&model)));
    let model = model.filter(|model| !model.is_empty());
    let model = model.or_else(|| named(&transcript)).unwrap_or_default();
    let mut seen = notes.call(step.key, at_ms, &session, &model);
    let says_provider = |provider: &Cow<'_, str>| !provider.is_empty() && !INTERFACES.contains(&&**provider);
    if let Some(provider) = provider.filter(says_provider) {
        seen.provider = notes.names.get(&provider);
    }
    if let Some(cwd) = workplace(&transcript) {
        seen.who.project = notes.names.get(&cwd);
    }
    seen.tokens = step.tokens;
    seen.kind = CallKind::Several;
    notes.book(seen);
    Ok(())
}

fn usage(reader: &mut Reader<'_>, key: &[u8], tokens: &mut Tokens) -> Result<(), Problem> {
    let (field, count) = match key {
        b"inputTokens" => ("inputTokens", &mut tokens.input),
        b"outputTokens" => ("outputTokens", &mut tokens.output),
        b"cacheCreationTokens" => ("cacheCreationTokens", &mut tokens.cache_write_5m),
        b"cacheReadTokens" => ("cacheReadTokens", &mut tokens.cache_read),
        b"thinkingTokens" => ("thinkingTokens", &mut tokens.reasoning),
        b"factoryCredits" => return reader.skip(),
        _ => return reader.unknown(key),
    };
    *count = reader.count_up_to(field, MAX_SESSION_TOKENS)?.unwrap_or(0);
    Ok(())
}

/// Which model the user meant by `custom:NAME-NUMBER`, the number counting those that have the same name.
fn own_model(id: &str, notes: &Notes<'_>) -> Option<String> {
    if !id.starts_with("custom:") {
        return None;
    }
    let up = "../".repeat(notes.origin.below("sessions").len());
    let settings = notes.origin.beside(&format!("{up}settings.json"), SETTINGS)?;
    let (mut found, mut names) = (None, HashMap::<String, usize>::new());
    // What stands before a break in it counts.
    drop(Reader::new(&settings).object(|reader, key| {
        if key != b"customModels" {
            return reader.skip();
        }
        reader.array(|reader| {
            let (mut its_id, mut name, mut model) = (String::new(), String::new(), String::new());
            reader.object(|reader, key| {
                match key {
                    b"id" => its_id = reader.plain()?,
                    b"displayName" => name = reader.plain()?,
                    b"model" => model = reader.plain()?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            let name = name.split_whitespace().collect::<Vec<_>>().join("-");
            let number = names.entry(name.clone()).or_default();
            if !model.is_empty() && (its_id == id || format!("custom:{name}-{number}") == id) {
                found = found.take().or(Some(model));
            }
            *number += 1;
            Ok(())
        })
    }));
    found
}

/// A model's name as its provider knows it: models of the user's own are written "custom:Claude-Opus-4.5-Thinking-[Anthropic]-0".
fn plain(model: &str) -> String {
    let model = model.trim();
    let model = model.strip_prefix("custom:").unwrap_or(model);
    let Some((name, _)) = model.split_once(['[', '(']) else {
        return model.to_owned();
    };
    let name = name
        .trim_end_matches([' ', '-'])
        .to_ascii_lowercase()
        .replace(' ', "-");
    name.strip_suffix("-thinking").unwrap_or(&name).to_owned()
}

/// The model that a transcript tells of at its beginning.
fn named(transcript: &[u8]) -> Option<String> {
    let from = memchr::memmem::find(transcript, MODEL)? + MODEL.len();
    let rest = transcript.get(from..)?;
    let length = rest
        .iter()
        .take(MAX_MODEL)
        .position(|byte| b"\"\\[(\n".contains(byte))?;
    let name = std::str::from_utf8(&rest[..length]).ok()?.trim();
    let name = name.to_ascii_lowercase().replace(' ', "-");
    (!name.is_empty()).then_some(name)
}

/// The working directory in a transcript's first line.
fn workplace(transcript: &[u8]) -> Option<String> {
    let line = transcript.split(|byte| *byte == b'\n').next()?;
    let mut cwd = None;
    // The line may be longer than what was read of it: what stands before the cut counts.
    drop(Reader::new(line).object(|reader, key| {
        match key {
            b"cwd" => cwd = reader.text()?.map(Cow::into_owned),
            _ => reader.skip()?,
        }
        Ok(())
    }));
    cwd.filter(|cwd| Path::new(cwd).is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Beside;
    use crate::agents::testing::{Documents, rows};

    const FIRST: &str = r#"{"model":"claude-opus-4-8","providerLock":"anthropic","providerLockTimestamp":"2026-11-20T09:00:00Z","tokenUsage":{"inputTokens":300,"outputTokens":900,"cacheCreationTokens":2000,"cacheReadTokens":80000,"thinkingTokens":50}}"#;

    #[test]
    fn a_growing_total_gives_differences_to_the_model_of_the_moment() {
        let mut documents = Documents::new(read, "/f/sessions/-w-app/s1.settings.json");
        assert_eq!(
            rows(&documents.read(FIRST)),
            ["s1 claude-opus-4-8 300+900 r80000 w2000 reasoning 50"]
        );
        assert_eq!(rows(&documents.read(FIRST)), [""; 0]);
        let grown = FIRST
            .replace(":900,", ":1000,")
            .replace("claude-opus-4-8", "gpt-5.4");
        assert_eq!(rows(&documents.read(&grown)), ["s1 gpt-5.4 0+100 r0 w0"]);
        // A copy elsewhere tells nothing new, and the transcript says where.
        documents.origin.path = "/f/sessions/copy/s1.settings.json".into();
        documents.origin.beside = Beside(|path, _| {
            path.ends_with("copy/s1.jsonl")
                .then(|| br#"{"type":"session_start","cwd":"/w/app","title":"cut"#.to_vec())
        });
        assert_eq!(rows(&documents.read(&grown)), [""; 0]);
        let more = grown.replace(":300,", ":301,");
        let found = documents.read(&more);
        assert_eq!(rows(&found), ["s1 gpt-5.4 1+0 r0 w0"]);
        assert_eq!(&*found.observations[0].who.project, "/w/app");
        assert_eq!(&*found.observations[0].provider, "anthropic");
    }

    #[test]
    fn models_and_providers_are_told_in_many_ways() {
        for (settings, transcript, wanted) in [
            (
                r#""model":"claude-opus-4-8","providerLock":"anthropic""#,
                "",
                ("claude-opus-4-8", "anthropic"),
            ),
            (
                r#""model":"custom:Claude-Opus-4.5-Thinking-[Anthropic]-0""#,
                "",
                ("claude-opus-4.5", "anthropic"),
            ),
            (
                r#""model":"Claude Sonnet 5 Thinking [Anthropic]""#,
                "",
                ("claude-sonnet-5", "anthropic"),
            ),
            (r#""model":"custom:gpt-5.5 (high)""#, "", ("gpt-5.5", "openai")),
            (
                r#""model":"glm-4.6","providerLock":"generic-chat-completion-api","apiProviderLock":"fireworks""#,
                "",
                ("glm-4.6", "zai"),
            ),
            (
                r#""providerLock":"openai""#,
                r#"{"text":"...\nModel: GPT-5 Codex\nTools"}"#,
                ("gpt-5-codex", "openai"),
            ),
            (
                r#""model":"","providerLock":"openai""#,
                "Model:",
                ("unknown", "openai"),
            ),
            (r#""model":null"#, "", ("unknown", "")),
        ] {
            let text = format!(r#"{{{settings},"tokenUsage":{{"inputTokens":5,"factoryCredits":1.5}}}}"#);
            let mut documents = Documents::new(read, "/f/sessions/s1.settings.json");
            documents.origin.beside = match transcript {
                "" => Beside(|_, _| None),
                "Model:" => Beside(|_, _| Some(b"Model:".to_vec())),
                _ => Beside(|_, _| Some(br#"{"text":"...\nModel: GPT-5 Codex\nTools"}"#.to_vec())),
            };
            let mut found = documents.read(&text);
            let seen = &found.observations[0];
            assert_eq!((&*seen.model, &*seen.provider), wanted, "{settings}");
            found.take_unknown(0);
            assert_eq!(found.unknown, []);
        }
    }

    #[test]
    fn what_a_former_version_counted_counts_once() {
        let mut documents = Documents::new(read, "/f/sessions/-w-app/s1.settings.json");
        let before = Tokens {
            input: 300,
            output: 950,
            reasoning: 50,
            cache_read: 80_000,
            cache_write_5m: 2_000,
            ..Tokens::default()
        };
        documents.counters.begin("agent", "s1", before, None, "");
        assert_eq!(rows(&documents.read(FIRST)), [""; 0]);
        let grown = FIRST.replace(":900,", ":910,").replace(":50}", ":53}");
        assert_eq!(
            rows(&documents.read(&grown)),
            ["s1 claude-opus-4-8 0+10 r0 w0 reasoning 3"]
        );
        assert_eq!(rows(&documents.read(&grown)), [""; 0]);
    }

    #[test]
    fn models_of_the_users_own() {
        for (model, wanted) in [
            ("custom:My-Model-0", "m0"),
            ("custom:My-Model-1", "m2"),
            ("custom:x", "m1"),
            ("custom:gpt-5", "gpt-5"),
            ("custom:", "unknown"),
        ] {
            let mut documents = Documents::new(read, "/f/sessions/-w-app/s1.settings.json");
            documents.origin.beside = Beside(|path, _| {
                path.ends_with("sessions/-w-app/../../settings.json").then(|| {
                    br#"{"model":"x","customModels":[{"model":"m0","displayName":"My  Model"},
                    {"id":"custom:x","model":"m1","displayName":"Other"},{"model":"m2","displayName":" My Model "}"#
                        .to_vec()
                })
            });
            let text = FIRST
                .replace("claude-opus-4-8", model)
                .replace(":\"anthropic\"", ":\"generic-chat-completion-api\"");
            let found = documents.read(&text);
            let call = &found.observations[0];
            assert_eq!(
                (&*call.model, INTERFACES.contains(&&*call.provider)),
                (wanted, false),
                "{model}"
            );
        }
    }

    #[test]
    fn nothing_and_nonsense() {
        for (text, failures) in [
            ("{}", 0),
            (r#"{"tokenUsage":null}"#, 0),
            (r#"{"tokenUsage":{"inputTokens":0}}"#, 0),
            (r#"{"tokenUsage":{"inputTokens":-5}}"#, 1),
            (r#"{"tokenUsage":{"inputTokens":1e40}}"#, 1),
            (r#"{"tokenUsage":{"inputTokens":3"#, 1),
            ("[1]", 1),
        ] {
            let found = Documents::new(read, "/f/s1.settings.json").read(text);
            assert_eq!(
                (found.observations.len(), found.failures),
                (0, failures),
                "{text}"
            );
        }
    }
}
