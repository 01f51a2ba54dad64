//! Where a page of `$everything` ends: at which patient, and how far in it. To be signed before a client sees it.

use fhirpath::{Issue, IssueType};
use interaction::{Failure, Status};
use store::{Cursor, Key};

/// The place at which the next page begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Position {
    /// Whose compartment.
    pub(super) subject: Key,
    /// The store's position after the subject, where all patients are gone through.
    pub(super) others: Option<Cursor>,
    /// How far.
    pub(super) within: Within,
}

/// How far a subject is done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Within {
    /// In its compartment, after a position of the store.
    Compartment(Option<Cursor>),
    /// In what its compartment refers to, after a key.
    Referred(Option<Key>),
}

impl Position {
    /// The beginning of a subject.
    pub(super) fn at(subject: Key, others: Option<Cursor>) -> Position {
        Position { subject, others, within: Within::Compartment(None) }
    }

    /// As bytes: the subject, the others, which part, and the place in it, each after its length but for the last two.
    pub(super) fn write(&self) -> Cursor {
        let mut out = Vec::new();
        let others = self.others.as_ref().map_or(&[][..], |cursor| &cursor.0);
        for part in [self.subject.as_str().as_bytes(), others] {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(part);
        }
        match &self.within {
            Within::Compartment(after) => {
                out.push(0);
                out.extend_from_slice(after.as_ref().map_or(&[], |cursor| &cursor.0));
            }
            Within::Referred(after) => {
                out.push(1);
                out.extend_from_slice(after.as_ref().map_or("", Key::as_str).as_bytes());
            }
        }
        Cursor(out.into())
    }

    /// The position of bytes.
    ///
    /// # Errors
    /// BadRequest for bytes that [`Position::write`] did not make.
    pub(super) fn read(cursor: &Cursor) -> Result<Position, Failure> {
        Position::parse(&cursor.0).ok_or_else(|| {
            let issue = Issue::error(IssueType::Value, "This page link belongs to another query.");
            Failure::of(Status::BadRequest, vec![issue.at("http._cursor")])
        })
    }

    fn parse(bytes: &[u8]) -> Option<Position> {
        let (subject, rest) = part(bytes)?;
        let (others, rest) = part(rest)?;
        let (which, place) = rest.split_first()?;
        let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| Cursor(bytes.into()));
        let within = match which {
            0 => Within::Compartment(some(place)),
            1 if place.is_empty() => Within::Referred(None),
            1 => Within::Referred(Some(key(place)?)),
            _ => return None,
        };
        Some(Position { subject: key(subject)?, others: some(others), within })
    }
}

fn key(bytes: &[u8]) -> Option<Key> {
    Key::parse(std::str::from_utf8(bytes).ok()?)
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let some = |bytes: &[u8]| Some(Cursor(bytes.into()));
        for (others, within) in [
            (None, Within::Compartment(None)),
            (some(b"\x01\x00"), Within::Compartment(some(b"\x00abc"))),
            (some(b"x"), Within::Referred(None)),
            (None, Within::Referred(Some(Key::new("Practitioner", "1")))),
        ] {
            let position = Position { subject: Key::new("Patient", "1"), others, within };
            assert_eq!(Position::read(&position.write()).unwrap(), position);
        }
        for bytes in [&b""[..], b"\x01\x00\x00\x00", b"\xff\xff\xff\xffPatient/1", b"\0\0\0\0\0\0\0\0\x02"] {
            let failure = Position::read(&Cursor(bytes.into())).unwrap_err();
            assert_eq!(failure.status, Status::BadRequest);
        }
    }
}
