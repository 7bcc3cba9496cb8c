//! Records: how a row's values lie in bytes.

use std::borrow::Cow;

use super::pages::Encoding;
use super::{Result, unusable};

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    /// Nothing; also a column that the row was written without.
    Null,
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// A text as UTF-8.
    Text(Cow<'a, str>),
    /// Bytes.
    Blob(&'a [u8]),
}

impl Value<'_> {
    /// The text; `None` for anything else.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a text or a blob; `None` for anything else.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Text(text) => Some(text.as_bytes()),
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A whole number, also one that is written with a fraction or as a text. `None`: it is none.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            Value::Real(number) if number.is_finite() => Some(*number as i64),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

/// A number of one to nine bytes, and how many there were. `None`: it is cut off.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// How many bytes a value of this type has.
fn length(kind: u64) -> u64 {
    match kind {
        0 | 8..=11 => 0,
        1..=4 => kind,
        5 => 6,
        6 | 7 => 8,
        _ => (kind - 12) / 2,
    }
}

/// Where each value of a record begins, and its type.
#[derive(Debug, Default)]
pub(super) struct Layout {
    fields: Vec<(u64, u64)>,
}

impl Layout {
    /// How long a record's header is, by its first bytes.
    pub(super) fn header_length(start: &[u8]) -> Option<u64> {
        varint(start).map(|(length, _)| length)
    }

    /// Reads a whole header.
    pub(super) fn read(header: &[u8]) -> Result<Layout> {
        let cut = || unusable("it is damaged: a record's header");
        let Some((whole, mut at)) = varint(header) else {
            return cut();
        };
        let mut start = whole;
        let mut layout = Layout::default();
        while (at as u64) < whole {
            let Some((kind, taken)) = header.get(at..).and_then(varint) else {
                return cut();
            };
            at += taken;
            layout.fields.push((kind, start));
            start = match start.checked_add(length(kind)) {
                Some(next) => next,
                None => return cut(),
            };
        }
        Ok(layout)
    }

    /// Where a field ends; `None`: the record is shorter.
    pub(super) fn end(&self, field: usize) -> Option<u64> {
        self.fields.get(field).map(|(kind, start)| start + length(*kind))
    }

    /// A field's value in a record.
    pub(super) fn value<'a>(&self, record: &'a [u8], field: usize, encoding: Encoding) -> Result<Value<'a>> {
        let Some((kind, start)) = self.fields.get(field).copied() else {
            return Ok(Value::Null);
        };
        let range = usize::try_from(start)
            .ok()
            .zip(usize::try_from(start + length(kind)).ok());
        let Some(bytes) = range.and_then(|(start, end)| record.get(start..end)) else {
            return unusable("it is damaged: a value that ends behind its record");
        };
        Ok(match kind {
            0 => Value::Null,
            1..=6 => Value::Integer(whole(bytes)),
            7 => {
                let mut array = [0; 8];
                array.copy_from_slice(bytes);
                Value::Real(f64::from_be_bytes(array))
            }
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            10 | 11 => return unusable("it is damaged: a value of an unknown type"),
            _ if kind % 2 == 0 => Value::Blob(bytes),
            _ => Value::Text(text(bytes, encoding)),
        })
    }
}

/// A number in two's complement, most significant byte first.
fn whole(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1i64 } else { 0 };
    bytes
        .iter()
        .fold(start, |value, byte| value << 8 | i64::from(*byte))
}

fn text(bytes: &[u8], encoding: Encoding) -> Cow<'_, str> {
    let unit: fn([u8; 2]) -> u16 = match encoding {
        Encoding::Utf8 => return String::from_utf8_lossy(bytes),
        Encoding::Utf16le => u16::from_le_bytes,
        Encoding::Utf16be => u16::from_be_bytes,
    };
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let text = char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER));
    Cow::Owned(text.collect())
}
