//! Lines out of a text that may be of any size, of lines that may be of any length.

use std::io::{BufRead, ErrorKind, Result};

/// Lines of a chunk.
pub(crate) const CHUNK_LINES: usize = 1000;
/// A chunk with more bytes than this is closed early.
const CHUNK_BYTES: usize = 4 << 20;

/// Some lines.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Those that are not blank, with their numbers.
    pub(crate) lines: Vec<(u64, Vec<u8>)>,
    /// The numbers of those that are too long, and were passed over.
    pub(crate) too_long: Vec<u64>,
    /// Whether there are no more.
    pub(crate) is_last: bool,
    /// Why no more can be read.
    pub(crate) broken: Option<std::io::Error>,
}

/// The lines of a text, those after the first `passed`.
pub(crate) struct Lines<R> {
    reader: R,
    /// How many were read.
    pub(crate) number: u64,
    passed: u64,
    max_bytes: usize,
}

/// What was read of a line.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Line,
    TooLong,
    End,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R, passed: u64, max_bytes: usize) -> Lines<R> {
        Lines { reader, number: 0, passed, max_bytes }
    }

    /// A chunk of them.
    pub(crate) fn next(&mut self) -> Part {
        let (mut part, mut bytes) = (Part::default(), 0);
        while part.lines.len() + part.too_long.len() < CHUNK_LINES && bytes < CHUNK_BYTES {
            let mut text = Vec::new();
            let read = match self.line(&mut text) {
                Ok(Read::End) => {
                    part.is_last = true;
                    break;
                }
                Ok(read) => read,
                Err(error) => {
                    part.broken = Some(error);
                    part.is_last = true;
                    break;
                }
            };
            self.number += 1;
            if self.number <= self.passed {
                continue;
            }
            if read == Read::TooLong {
                part.too_long.push(self.number);
            } else if !text.trim_ascii().is_empty() {
                bytes += text.len();
                part.lines.push((self.number, text));
            }
        }
        part
    }

    /// Reads a line, and no more of it into memory than one may have.
    fn line(&mut self, text: &mut Vec<u8>) -> Result<Read> {
        let (mut is_long, mut is_there) = (false, false);
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = memchr::memchr(b'\n', buffer);
            let part = end.and_then(|end| buffer.get(..end)).unwrap_or(buffer);
            is_there |= !buffer.is_empty();
            is_long |= text.len() + part.len() > self.max_bytes;
            match is_long {
                true => *text = Vec::new(),
                false => text.extend_from_slice(part),
            }
            let is_at_end = buffer.is_empty();
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() || is_at_end {
                return Ok(match (is_there, is_long) {
                    (false, _) => Read::End,
                    (true, true) => Read::TooLong,
                    (true, false) => Read::Line,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Read as _};

    fn lines(text: &[u8], passed: u64, max_bytes: usize) -> Lines<BufReader<&[u8]>> {
        // A small buffer, so that lines lie across its ends.
        Lines::new(BufReader::with_capacity(7, text), passed, max_bytes)
    }

    #[test]
    fn chunks_know_their_lines() {
        let text = "a\n\n  \nb\n".to_owned() + &"c\n".repeat(CHUNK_LINES) + "last";
        let mut lines = lines(text.as_bytes(), 1, 100);
        let first = lines.next();
        assert_eq!((first.lines.len(), lines.number, first.is_last), (CHUNK_LINES, 1003, false));
        assert_eq!(first.lines.first(), Some(&(4, b"b".to_vec())));
        let rest = lines.next();
        assert_eq!(rest.lines, [(1004, b"c".to_vec()), (1005, b"last".to_vec())]);
        assert!(rest.is_last && rest.broken.is_none());
    }

    #[test]
    fn a_long_line_is_passed_over() {
        let text = format!("one\n{}\ntwo\n{}", "x".repeat(50 << 20), "y".repeat(11));
        let part = lines(text.as_bytes(), 0, 10).next();
        assert_eq!(part.lines, [(1, b"one".to_vec()), (3, b"two".to_vec())]);
        assert_eq!((part.too_long, part.is_last), (vec![2, 4], true));
        let part = lines(b"0123456789\n", 0, 10).next();
        assert_eq!((part.lines.len(), part.too_long.len(), part.is_last), (1, 0, true));
    }

    #[test]
    fn a_text_that_breaks_off() {
        struct Broken;
        impl std::io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> Result<usize> {
                Err(std::io::Error::other("torn"))
            }
        }
        let reader = BufReader::new(b"one\nha".as_slice().chain(Broken));
        let part = Lines::new(reader, 0, 10).next();
        assert_eq!(part.lines, [(1, b"one".to_vec())]);
        assert_eq!(
            (part.is_last, part.broken.map(|error| error.to_string())),
            (true, Some("torn".to_owned()))
        );
    }
}
