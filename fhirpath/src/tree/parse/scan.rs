//! The tokens of JSON (<https://www.rfc-editor.org/rfc/rfc8259>), and whole values that nobody wants.

use super::fault::Stop;
use super::{Parser, Span, json};
use crate::issue::IssueType;
use crate::primitive::is_number;

impl Parser<'_> {
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The colon after a name, and the white space around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), Stop> {
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.syntax("':'"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    pub(super) fn literal(&mut self, word: &'static str) -> Result<Span, Stop> {
        let start = self.at;
        let found = self.bytes.get(start..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        if !found {
            return Err(self.syntax("a value"));
        }
        self.at += word.len();
        Ok(Span { start, end: self.at, escaped: false })
    }

    pub(super) fn number(&mut self) -> Result<Span, Stop> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = self.peek() {
            self.at += 1;
        }
        let span = Span { start, end: self.at, escaped: false };
        if is_number(self.slice(span).as_bytes()) {
            return Ok(span);
        }
        self.at = start;
        Err(self.syntax("a number as JSON writes it"))
    }

    /// A string, `self.at` at its opening quote.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Span, Stop> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = special(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Span { start, end: at, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    at = self.escape(at)?;
                }
                found => {
                    let wanted = match found {
                        Some(_) => "no control character in a string (write it as \\u0000 or such)",
                        None => "the end of the string",
                    };
                    self.at = at;
                    return Err(self.syntax(wanted));
                }
            }
        }
    }

    /// Where the escape at `at` ends.
    fn escape(&mut self, at: usize) -> Result<usize, Stop> {
        match self.bytes.get(at..).and_then(json::read_escape) {
            Some((char, length)) => {
                if char == '\0' {
                    let details = "A string must not have the character U+0000.".to_owned();
                    self.fault(IssueType::Value, at, details)?;
                }
                Ok(at + length)
            }
            None => {
                self.at = at;
                Err(self.syntax("an escape of JSON, surrogates in pairs"))
            }
        }
    }

    /// Goes past any value; only its syntax and depth are judged.
    pub(super) fn skip_value(&mut self) -> Result<(), Stop> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't') => self.literal("true").map(drop),
            Some(b'f') => self.literal("false").map(drop),
            Some(b'n') => self.literal("null").map(drop),
            Some(b'{') => self.skip_items(b'}'),
            Some(b'[') => self.skip_items(b']'),
            _ => Err(self.syntax("a value")),
        }
    }

    fn skip_items(&mut self, end: u8) -> Result<(), Stop> {
        self.enter()?;
        self.at += 1;
        self.skip_space();
        if self.peek() != Some(end) {
            loop {
                if end == b'}' {
                    if self.peek() != Some(b'"') {
                        return Err(self.syntax("a name in quotes"));
                    }
                    self.string()?;
                    self.colon()?;
                }
                self.skip_value()?;
                self.skip_space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == end => break,
                    _ => return Err(self.syntax(if end == b'}' { "',' or '}'" } else { "',' or ']'" })),
                }
                self.skip_space();
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }
}

/// The first place from `at` on of a quote, a backslash or a control character; the length where there is none.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Eight bytes at once. A byte's high bit is set in the mask where it is wanted; carries can only spoil
    // bits above the lowest, and the lowest is the one that counts.
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let zero_at = |mask: u64| mask.wrapping_sub(ONES) & !mask;
        let quote = zero_at(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_at(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let wanted = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(wanted).unwrap_or(rest.len())
}
