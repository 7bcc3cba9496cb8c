//! A forgiving, borrowing reader of one JSON value, for lines of which only a few fields matter.
//!
//! Transcripts are nine tenths text that nobody asks for, so values are skipped by looking for their end only; no
//! tree is built and nothing is copied. Forgiving: `null` and a value of another type count as absent, unknown
//! fields are skipped, of a repeated key the last one counts (as for JavaScript, which writes these files).
//! Unforgiving: a value that has no end is malformed, and a number that cannot be a count is a problem with a name.

use std::borrow::Cow;

use tokmon_core::limits::MAX_TOKENS_PER_CALL;

/// Why a line could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(pub(crate) String);

impl Problem {
    fn malformed(at: usize) -> Problem {
        Problem(format!("malformed JSON {at} bytes from its beginning"))
    }
}

type Result<T> = std::result::Result<T, Problem>;

/// Deepest nesting of values that are looked into; skipped values may nest as they like.
const MAX_NESTING: u32 = 64;

/// A place in a text that holds JSON.
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of a text.
    pub(crate) fn new(text: &'a [u8]) -> Reader<'a> {
        Reader {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// The next byte that is not blank, not consumed.
    fn peek(&mut self) -> Result<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(Problem::malformed(self.at))
    }

    /// Consumes `byte` when it comes next.
    fn eat(&mut self, byte: u8) -> Result<bool> {
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.eat(byte)? {
            Ok(())
        } else {
            Err(Problem::malformed(self.at))
        }
    }

    /// How many bytes have been consumed.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Where the next value begins.
    pub(crate) fn next_position(&mut self) -> Result<usize> {
        self.peek()?;
        Ok(self.at)
    }

    /// Whether the next value begins with this byte.
    pub(crate) fn next_is(&mut self, byte: u8) -> Result<bool> {
        Ok(self.peek()? == byte)
    }

    /// Nothing but blanks may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            Ok(_) => Err(Problem::malformed(self.at)),
            Err(_) => Ok(()),
        }
    }

    /// Calls `member` for each member of an object; it must consume exactly the member's value. Anything but an
    /// object is skipped; the answer says whether it was one.
    pub(crate) fn object(&mut self, mut member: impl FnMut(&mut Self, &[u8]) -> Result<()>) -> Result<bool> {
        if self.peek()? != b'{' {
            self.skip()?;
            return Ok(false);
        }
        self.enter()?;
        if !self.eat(b'}')? {
            loop {
                if self.peek()? != b'"' {
                    return Err(Problem::malformed(self.at));
                }
                let quoted = self.at;
                let key = self.string()?;
                let spelt = plain(key, &self.text[quoted..self.at]);
                self.expect(b':')?;
                member(self, &spelt)?;
                if !self.eat(b',')? {
                    break;
                }
            }
            self.expect(b'}')?;
        }
        self.depth -= 1;
        Ok(true)
    }

    /// Calls `element` for each element of an array; it must consume exactly the element. Anything but an array is
    /// skipped.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        if self.peek()? != b'[' {
            return self.skip();
        }
        self.enter()?;
        if !self.eat(b']')? {
            loop {
                element(self)?;
                if !self.eat(b',')? {
                    break;
                }
            }
            self.expect(b']')?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn enter(&mut self) -> Result<()> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_NESTING {
            Err(Problem("nested too deeply".into()))
        } else {
            Ok(())
        }
    }

    /// What is between the quotes of a string, escapes as they stand. The opening quote comes next.
    fn string(&mut self) -> Result<&'a [u8]> {
        let start = self.at + 1;
        let mut from = start;
        loop {
            let rest = self
                .text
                .get(from..)
                .ok_or_else(|| Problem::malformed(self.text.len()))?;
            let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                return Err(Problem::malformed(self.text.len()));
            };
            if rest[found] == b'"' {
                self.at = from + found + 1;
                return Ok(&self.text[start..from + found]);
            }
            from += found + 2;
        }
    }

    /// Skips one value.
    pub(crate) fn skip(&mut self) -> Result<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.skip_nested(),
            _ => self.scalar().map(drop),
        }
    }

    /// Skips an object or array by counting brackets outside of strings.
    fn skip_nested(&mut self) -> Result<()> {
        let mut depth = 0u64;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        Err(Problem::malformed(self.text.len()))
    }

    /// A number, `true`, `false` or `null` as it stands.
    fn scalar(&mut self) -> Result<&'a [u8]> {
        let rest = &self.text[self.at..];
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.'))
            .unwrap_or(rest.len());
        if length == 0 {
            return Err(Problem::malformed(self.at));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// The value's bytes as they stand.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8]> {
        self.peek()?;
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// A string; `None` for `null` and for any other type. Broken escapes and broken UTF-8 are replaced.
    pub(crate) fn text(&mut self) -> Result<Option<Cow<'a, str>>> {
        if self.peek()? != b'"' {
            self.skip()?;
            return Ok(None);
        }
        let quoted = self.at;
        let inside = self.string()?;
        if memchr::memchr(b'\\', inside).is_none() {
            return Ok(Some(String::from_utf8_lossy(inside)));
        }
        let whole = &self.text[quoted..self.at];
        Ok(Some(match serde_json::from_slice::<String>(whole) {
            Ok(text) => Cow::Owned(text),
            Err(_) => String::from_utf8_lossy(inside),
        }))
    }

    /// A text or a number as text; anything else is empty. For ids, which versions write either way.
    pub(crate) fn plain(&mut self) -> Result<String> {
        if self.peek()? == b'"' {
            return Ok(self.text()?.unwrap_or_default().into_owned());
        }
        let number = self.number_text()?;
        Ok(number.unwrap_or_default().to_owned())
    }

    /// A value among token counts under a name that is not known: it is passed over, and told of.
    pub(crate) fn unknown(&mut self, key: &[u8]) -> Result<()> {
        let raw = self.raw()?;
        super::unknown::meet(key, raw);
        Ok(())
    }

    /// The length in bytes of a string as it is written; of any other value too, `null` having none.
    pub(crate) fn length(&mut self) -> Result<u64> {
        let raw = self.raw()?;
        Ok(match raw {
            b"null" => 0,
            [b'"', .., b'"'] => raw.len() as u64 - 2,
            _ => raw.len() as u64,
        })
    }

    /// `true`; anything else counts as false.
    pub(crate) fn flag(&mut self) -> Result<bool> {
        Ok(matches!(self.raw()?, b"true" | b"\"true\""))
    }

    /// A number as text, also when it is written as a string.
    pub(crate) fn number_text(&mut self) -> Result<Option<&'a str>> {
        let raw = self.raw()?;
        let bare = match raw {
            [b'"', inside @ .., b'"'] => inside.trim_ascii(),
            _ => raw,
        };
        let starts_like_one = bare
            .first()
            .is_some_and(|byte| byte.is_ascii_digit() || b"+-.".contains(byte));
        Ok(if starts_like_one {
            std::str::from_utf8(bare).ok()
        } else {
            None
        })
    }

    /// A count of tokens or requests: a whole number, also as a string or with a fraction (cut off). Absent when
    /// `null`. Negative, not a number, or beyond [`MAX_TOKENS_PER_CALL`]: a problem that names the field.
    pub(crate) fn count(&mut self, field: &str) -> Result<Option<u64>> {
        self.count_up_to(field, MAX_TOKENS_PER_CALL)
    }

    /// A count with a bound of its own.
    pub(crate) fn count_up_to(&mut self, field: &str, most: u64) -> Result<Option<u64>> {
        let raw = self.raw()?;
        let bare = match raw {
            b"null" => return Ok(None),
            [b'"', inside @ .., b'"'] => inside.trim_ascii(),
            _ => raw,
        };
        let text = std::str::from_utf8(bare).unwrap_or("?");
        let parsed = match text.parse::<u64>() {
            Ok(count) => Some(count),
            // Only what looks like a number: "nan", "inf" and words are none.
            Err(_)
                if bare
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)) =>
            {
                text.parse::<f64>()
                    .ok()
                    .filter(|count| *count >= 0.0 && *count < 1e18)
                    .map(|count| count as u64)
            }
            Err(_) => None,
        };
        match parsed {
            Some(count) if count <= most => Ok(Some(count)),
            Some(_) => Err(Problem(format!("{field} is above {most}"))),
            None => Err(Problem(format!("{field} is not a whole number from 0 to {most}"))),
        }
    }
}

/// A key without its escapes, which hardly any has.
fn plain<'a>(inside: &'a [u8], quoted: &[u8]) -> Cow<'a, [u8]> {
    if memchr::memchr(b'\\', inside).is_none() {
        return Cow::Borrowed(inside);
    }
    match serde_json::from_slice::<String>(quoted) {
        Ok(text) => Cow::Owned(text.into_bytes()),
        Err(_) => Cow::Borrowed(inside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_as_they_come() {
        for (text, wanted) in [
            ("12", Ok(Some(12))),
            (" 12 ", Ok(Some(12))),
            ("null", Ok(None)),
            ("\"7\"", Ok(Some(7))),
            ("1.9", Ok(Some(1))),
            ("1e3", Ok(Some(1_000))),
            ("-0.0", Ok(Some(0))),
            ("-1", Err(())),
            ("\"-1\"", Err(())),
            ("1e400", Err(())),
            ("NaN", Err(())),
            ("\"inf\"", Err(())),
            ("99999999999999999999", Err(())),
            ("1000000001", Err(())),
            ("true", Err(())),
            ("{}", Err(())),
            ("\"\"", Err(())),
        ] {
            assert_eq!(
                Reader::new(text.as_bytes()).count("n").map_err(drop),
                wanted,
                "{text}"
            );
        }
    }

    #[test]
    fn texts_and_escapes() {
        for (text, wanted) in [
            (r#""a b""#, Some("a b")),
            (r#""a\"b\\""#, Some("a\"b\\")),
            (r#""\u0041\ud83d\ude00""#, Some("A😀")),
            ("null", None),
            ("[1]", None),
        ] {
            assert_eq!(
                Reader::new(text.as_bytes()).text().unwrap().as_deref(),
                wanted,
                "{text}"
            );
        }
        assert!(Reader::new(br#""open"#).text().is_err());
        assert!(Reader::new(br#""open\"#).text().is_err());
        assert_eq!(
            Reader::new(b"\"\\q\xff\"").text().unwrap().as_deref(),
            Some("\\q\u{fffd}")
        );
    }

    #[test]
    fn keys_are_what_they_spell() {
        let text = br#"{"input\u005ftokens":1,"a\"b":2,"\q":3}"#;
        assert_eq!(keys(text).unwrap(), ["input_tokens", "a\"b", "\\q"]);
    }

    #[test]
    fn looking_too_deep_is_refused_and_skipping_is_not() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        fn dive(reader: &mut Reader<'_>) -> Result<()> {
            reader.array(dive)
        }
        assert!(dive(&mut Reader::new(deep.as_bytes())).is_err());
        assert_eq!(Reader::new(deep.as_bytes()).skip(), Ok(()));
    }

    /// Keys of the outermost object, as this reader sees them.
    fn keys(text: &[u8]) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut reader = Reader::new(text);
        reader.object(|reader, key| {
            keys.push(String::from_utf8_lossy(key).into_owned());
            reader.skip()
        })?;
        reader.end()?;
        Ok(keys)
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map("[a-z]{0,4}", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn valid_json_is_read_to_its_end(value in any_json(), pretty: bool) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let wanted: Vec<String> = value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
            prop_assert_eq!(keys(&text), Ok(wanted));
            let cut = &text[..text.len() - 1];
            prop_assert!(!value.is_object() || keys(cut).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = keys(&bytes);
            let _ = Reader::new(&bytes).count("n");
            let _ = Reader::new(&bytes).text();
            let _ = Reader::new(&bytes).array(|reader| reader.length().map(drop));
        }
    }
}
