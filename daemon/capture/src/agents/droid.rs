//! Factory's Droid: `sessions/**/<id>.settings.json`, a small document for each session that holds what it has used
//! so far. The transcript beside it says where the session worked, but not what it used.
//!
//! The total is all there is, so what was used between two looks goes to the model that is set at the second.

use std::borrow::Cow;
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
    version: 1,
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
    // Thinking is counted beside the answer.
    tokens.output = tokens.output.saturating_add(tokens.reasoning);
    let session = notes.origin.name_without(".settings.json").to_owned();
    let Some(step) = notes.since(&session, tokens, None) else {
        return Ok(());
    };
    let started_ms = started.as_deref().and_then(instant).unwrap_or(i64::MIN);
    let at_ms = notes.origin.mtime_ms.max(started_ms).min(notes.now_ms);
    let model = model.as_deref().unwrap_or_default();
    let model = model.strip_prefix("custom:").unwrap_or(model);
    let mut seen = notes.call(step.key, at_ms, &session, model);
    if let Some(provider) = provider.filter(|provider| !provider.is_empty()) {
        seen.provider = notes.names.get(&provider);
    }
    if let Some(cwd) = notes
        .origin
        .beside(&format!("{session}.jsonl"), BEGINNING)
        .as_deref()
        .and_then(workplace)
    {
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
        _ => return reader.unknown(key),
    };
    *count = reader.count_up_to(field, MAX_SESSION_TOKENS)?.unwrap_or(0);
    Ok(())
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
            ["s1 claude-opus-4-8 300+950 r80000 w2000 reasoning 50"]
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
