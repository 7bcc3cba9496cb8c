//! Logs and spans out of OTLP's JSON, with the reader that transcripts are read with: what is not of interest is
//! skipped by looking for its end only.
//!
//! Numbers may be numbers or strings, ids are hexadecimal, and both spellings of a field's name are understood.

use std::borrow::Cow;

use super::attributes::{Attr, Attributes, Value};
use super::record::{Record, Signal, Visitor};
use crate::agents::json::{Problem, Reader};

type Result<T> = std::result::Result<T, Problem>;

/// Names of the outermost list, of the list in a group and of the list in a scope.
struct Names {
    groups: [&'static [u8]; 2],
    scopes: [&'static [u8]; 2],
    records: [&'static [u8]; 2],
}

fn names(signal: Signal) -> Names {
    match signal {
        Signal::Logs => Names {
            groups: [b"resourceLogs", b"resource_logs"],
            scopes: [b"scopeLogs", b"scope_logs"],
            records: [b"logRecords", b"log_records"],
        },
        Signal::Traces => Names {
            groups: [b"resourceSpans", b"resource_spans"],
            scopes: [b"scopeSpans", b"scope_spans"],
            records: [b"spans", b"spans"],
        },
        Signal::Metrics => Names {
            groups: [b"resourceMetrics", b"resource_metrics"],
            scopes: [b"scopeMetrics", b"scope_metrics"],
            records: [b"metrics", b"metrics"],
        },
    }
}

fn among(names: &[&[u8]], key: &[u8]) -> bool {
    names.contains(&key)
}

/// What a body carries, judged by its outermost list. `None`: none of the three.
pub(super) fn sniff(body: &[u8]) -> Option<Signal> {
    let mut found = None;
    let mut reader = Reader::new(body);
    let read = reader.object(|reader, key| {
        let this = Signal::ALL
            .into_iter()
            .find(|signal| among(&names(*signal).groups, key));
        found = found.or(this);
        reader.skip()
    });
    read.ok().and(found)
}

/// Reads the body of an export request of logs or spans.
///
/// # Errors
/// It is no such message. Records before the place where it breaks have been visited.
pub(super) fn decode(signal: Signal, body: &[u8], visitor: &mut dyn Visitor) -> Result<()> {
    let mut record = Record::default();
    each(signal, body, |resource, reader| {
        record.clear();
        let whole = match signal {
            Signal::Traces => span(reader, &mut record)?,
            _ => log(reader, &mut record)?,
        };
        if whole {
            visitor.record(resource, &record);
        }
        Ok(())
    })
}

/// Calls `visit` for each log record, span or metric with its resource's attributes; it must consume exactly it.
pub(super) fn each<'a>(
    signal: Signal,
    body: &'a [u8],
    mut visit: impl FnMut(&Attributes<'a>, &mut Reader<'a>) -> Result<()>,
) -> Result<()> {
    let names = names(signal);
    let mut resource = Attributes::default();
    let mut reader = Reader::new(body);
    let is_object = reader.object(|reader, key| {
        if !among(&names.groups, key) {
            return reader.skip();
        }
        reader.array(|reader| {
            resource.clear();
            // The resource may stand behind its scopes.
            let mut scopes: &[u8] = b"null";
            reader.object(|reader, key| {
                if key == b"resource" {
                    return reader
                        .object(|reader, key| match key {
                            b"attributes" => attributes(reader, &mut resource),
                            _ => reader.skip(),
                        })
                        .map(drop);
                }
                if among(&names.scopes, key) {
                    scopes = reader.raw()?;
                    return Ok(());
                }
                reader.skip()
            })?;
            Reader::new(scopes).array(|reader| {
                reader
                    .object(|reader, key| {
                        if among(&names.records, key) {
                            return reader.array(|reader| visit(&resource, reader));
                        }
                        reader.skip()
                    })
                    .map(drop)
            })
        })
    })?;
    if !is_object {
        return Err(Problem("the body is not a JSON object".into()));
    }
    reader.end()
}

/// Reads a list of keys with their values, as far as the keys are of interest.
pub(super) fn attributes<'a>(reader: &mut Reader<'a>, into: &mut Attributes<'a>) -> Result<()> {
    reader.array(|reader| {
        let mut attr = None;
        let mut value: &[u8] = b"null";
        reader.object(|reader, key| {
            match key {
                b"key" => attr = reader.text()?.as_deref().and_then(Attr::of),
                b"value" => value = reader.raw()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if let Some(attr) = attr
            && let Some(value) = any_value(&mut Reader::new(value))?
        {
            into.set(attr, value);
        }
        Ok(())
    })
}

fn any_value<'a>(reader: &mut Reader<'a>) -> Result<Option<Value<'a>>> {
    let mut value = None;
    reader.object(|reader, key| {
        value = match key {
            b"stringValue" | b"string_value" => reader.text()?.map(Value::Text),
            b"boolValue" | b"bool_value" => Some(Value::Bool(reader.flag()?)),
            b"intValue" | b"int_value" | b"doubleValue" | b"double_value" => number(reader)?,
            _ => {
                reader.skip()?;
                None
            }
        };
        Ok(())
    })?;
    Ok(value)
}

/// A number; one that is none stays as it is written, so that a count can be told to be wrong.
pub(super) fn number<'a>(reader: &mut Reader<'a>) -> Result<Option<Value<'a>>> {
    let raw = reader.raw()?;
    let text = match raw {
        b"null" => return Ok(None),
        [b'"', inside @ .., b'"'] => inside.trim_ascii(),
        _ => raw,
    };
    let text = String::from_utf8_lossy(text);
    Ok(Some(match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(number), _) => Value::Int(number),
        (_, Ok(number)) => Value::Double(number),
        _ => Value::Text(text),
    }))
}

/// Nanoseconds; 0 when they are none.
pub(super) fn nanos(reader: &mut Reader<'_>) -> Result<u64> {
    Ok(reader
        .number_text()?
        .and_then(|text| text.parse().ok())
        .unwrap_or(0))
}

fn id<'a>(reader: &mut Reader<'_>) -> Result<Cow<'a, [u8]>> {
    let text = reader.text()?.unwrap_or_default();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    // A trace's id has 32 digits, a span's 16.
    let bytes: Option<Vec<u8>> = (text.len() <= 32 && text.len() % 2 == 0)
        .then(|| {
            let pairs = text.as_bytes().chunks_exact(2);
            pairs
                .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
                .collect()
        })
        .flatten();
    Ok(Cow::Owned(bytes.unwrap_or_default()))
}

fn log<'a>(reader: &mut Reader<'a>, record: &mut Record<'a>) -> Result<bool> {
    let mut body: &[u8] = b"null";
    let whole = reader.object(|reader, key| {
        match key {
            b"timeUnixNano" | b"time_unix_nano" => record.at_nanos = nanos(reader)?,
            b"observedTimeUnixNano" | b"observed_time_unix_nano" => record.observed_nanos = nanos(reader)?,
            b"body" => body = reader.raw()?,
            b"attributes" => attributes(reader, &mut record.attributes)?,
            b"traceId" | b"trace_id" => record.trace = id(reader)?,
            b"spanId" | b"span_id" => record.span = id(reader)?,
            b"eventName" | b"event_name" => record.name = reader.text()?.unwrap_or_default(),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    if record.name.is_empty()
        && let Some(Value::Text(body)) = any_value(&mut Reader::new(body))?
    {
        record.take_body(body);
    }
    Ok(whole)
}

fn span<'a>(reader: &mut Reader<'a>, record: &mut Record<'a>) -> Result<bool> {
    reader.object(|reader, key| {
        match key {
            b"traceId" | b"trace_id" => record.trace = id(reader)?,
            b"spanId" | b"span_id" => record.span = id(reader)?,
            b"name" => record.name = reader.text()?.unwrap_or_default(),
            b"endTimeUnixNano" | b"end_time_unix_nano" => record.at_nanos = nanos(reader)?,
            b"attributes" => attributes(reader, &mut record.attributes)?,
            b"status" => {
                reader.object(|reader, key| {
                    if key == b"code" {
                        // The name of the number is against OTLP, and what some write.
                        record.failed = matches!(reader.raw()?, b"2" | b"\"STATUS_CODE_ERROR\"");
                        return Ok(());
                    }
                    reader.skip()
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })
}
