//! Logs and spans out of protocol buffers, by hand: fields that are not of interest are stepped over, not decoded.
//! There is no recursion, so no body can nest too deeply, and nothing is copied.

use std::borrow::Cow;

use super::attributes::{Attr, Attributes, Value};
use super::record::{Record, Signal, Visitor};
use crate::agents::json::Problem;

type Result<T> = std::result::Result<T, Problem>;

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Field<'a> {
    /// The bytes of a nested message or text; empty for any other kind of field.
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// A fixed 64-bit number; 0 for any other kind of field.
    pub(super) fn fixed64(self) -> u64 {
        match self {
            Field::Fixed64(number) => number,
            _ => 0,
        }
    }

    /// A variable-length number; 0 for any other kind of field.
    pub(super) fn varint(self) -> u64 {
        match self {
            Field::Varint(number) => number,
            _ => 0,
        }
    }

    /// A text; broken UTF-8 is replaced.
    pub(super) fn text(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes())
    }
}

/// Steps through the fields of one message.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

fn broken(what: &str) -> Problem {
    Problem(format!("malformed protobuf: {what}"))
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| broken("a field is longer than what is left of its message"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self
                .rest
                .split_first()
                .ok_or_else(|| broken("it ends within a number"))?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(broken("a number of more than ten bytes"))
    }

    /// The next field and its number; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 {
            return Err(broken("a field with the number 0"));
        }
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?.try_into().unwrap_or_default();
                Field::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Field::Fixed32
            }
            _ => return Err(broken("a wire type that OTLP does not have")),
        };
        Ok(Some((number, field)))
    }
}

/// Reads the body of an export request of logs or spans.
///
/// # Errors
/// It is no such message. Records before the place where it breaks have been visited.
pub(super) fn decode(signal: Signal, body: &[u8], visitor: &mut dyn Visitor) -> Result<()> {
    let mut record = Record::default();
    each_scope(body, |resource, scope| {
        let mut fields = Fields::new(scope);
        while let Some((number, field)) = fields.next()? {
            if number == 2 {
                record.clear();
                match signal {
                    Signal::Traces => span(field.bytes(), &mut record)?,
                    _ => log(field.bytes(), &mut record)?,
                }
                visitor.record(resource, &record);
            }
        }
        Ok(())
    })
}

/// Calls `visit` for each scope (of logs, spans or metrics, which nest alike) with its resource's attributes.
pub(super) fn each_scope<'a>(
    body: &'a [u8],
    mut visit: impl FnMut(&Attributes<'a>, &'a [u8]) -> Result<()>,
) -> Result<()> {
    let mut resource = Attributes::default();
    let mut groups = Fields::new(body);
    while let Some((number, group)) = groups.next()? {
        if number != 1 {
            continue;
        }
        // The resource may stand behind its scopes.
        resource.clear();
        let mut fields = Fields::new(group.bytes());
        while let Some((number, field)) = fields.next()? {
            if number == 1 {
                attributes_in(field.bytes(), 1, &mut resource)?;
            }
        }
        let mut fields = Fields::new(group.bytes());
        while let Some((number, field)) = fields.next()? {
            if number == 2 {
                visit(&resource, field.bytes())?;
            }
        }
    }
    Ok(())
}

fn attributes_in<'a>(message: &'a [u8], wanted: u64, into: &mut Attributes<'a>) -> Result<()> {
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        if number == wanted {
            attribute(field.bytes(), into)?;
        }
    }
    Ok(())
}

/// Reads one key with its value, if the key is of interest.
pub(super) fn attribute<'a>(message: &'a [u8], into: &mut Attributes<'a>) -> Result<()> {
    let (mut attr, mut value): (_, &[u8]) = (None, &[]);
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => attr = std::str::from_utf8(field.bytes()).ok().and_then(Attr::of),
            2 => value = field.bytes(),
            _ => {}
        }
    }
    if let Some(attr) = attr
        && let Some(value) = any_value(value)?
    {
        into.set(attr, value);
    }
    Ok(())
}

fn any_value(message: &[u8]) -> Result<Option<Value<'_>>> {
    let mut value = None;
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        value = match (number, field) {
            (1, Field::Bytes(_)) => Some(Value::Text(field.text())),
            (2, Field::Varint(number)) => Some(Value::Bool(number != 0)),
            (3, Field::Varint(number)) => Some(Value::Int(number.cast_signed())),
            (4, Field::Fixed64(bits)) => Some(Value::Double(f64::from_bits(bits))),
            _ => None,
        };
    }
    Ok(value)
}

fn log<'a>(message: &'a [u8], record: &mut Record<'a>) -> Result<()> {
    let mut fields = Fields::new(message);
    let mut body: &[u8] = &[];
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => record.at_nanos = field.fixed64(),
            5 => body = field.bytes(),
            6 => attribute(field.bytes(), &mut record.attributes)?,
            9 => record.trace = Cow::Borrowed(field.bytes()),
            10 => record.span = Cow::Borrowed(field.bytes()),
            11 => record.observed_nanos = field.fixed64(),
            12 => record.name = field.text(),
            _ => {}
        }
    }
    if record.name.is_empty()
        && let Some(Value::Text(body)) = any_value(body)?
    {
        record.take_body(body);
    }
    Ok(())
}

fn span<'a>(message: &'a [u8], record: &mut Record<'a>) -> Result<()> {
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => record.trace = Cow::Borrowed(field.bytes()),
            2 => record.span = Cow::Borrowed(field.bytes()),
            5 => record.name = field.text(),
            8 => record.at_nanos = field.fixed64(),
            9 => attribute(field.bytes(), &mut record.attributes)?,
            15 => record.failed = is_error(field.bytes())?,
            _ => {}
        }
    }
    Ok(())
}

/// Whether a span's status is the one of errors.
fn is_error(status: &[u8]) -> Result<bool> {
    let mut fields = Fields::new(status);
    let mut code = 0;
    while let Some((number, field)) = fields.next()? {
        if number == 3 {
            code = field.varint();
        }
    }
    Ok(code == 2)
}
