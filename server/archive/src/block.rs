//! Blocks: a payload with its kind, its length, and a checksum that is chained to the block before. Knows nothing of what a
//! payload says.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | kind: `H`, `C` or `F` |
//! | 1..5 | length of the payload, u32 BE |
//! | 5..37 | SHA-256 of: the checksum of the block before (zeros before the first of an archive), kind, length, payload |
//! | 37.. | payload |

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// The checksum of a block, and so of all blocks up to it.
pub(crate) type Checksum = [u8; 32];

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Header,
    Commits,
    Footer,
}

/// A block that was not written so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlockError {
    #[error("it ends too soon")]
    Truncated,
    #[error("its checksum differs")]
    Checksum,
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Bytes before the payload.
const HEAD: usize = 37;

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Header => b'H',
            Kind::Commits => b'C',
            Kind::Footer => b'F',
        }
    }

    fn of(code: u8) -> Option<Kind> {
        [Kind::Header, Kind::Commits, Kind::Footer].into_iter().find(|kind| kind.code() == code)
    }
}

/// Writes a block; `chain` is the checksum before it, and then its own. How many bytes it has.
///
/// # Errors
/// The output fails, or the payload is too long for a block (4 GiB).
pub(crate) fn write(
    out: &mut impl Write,
    chain: &mut Checksum,
    kind: Kind,
    payload: &[u8],
) -> io::Result<u64> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let checksum = checksum(chain, kind.code(), length.to_be_bytes(), payload);
    out.write_all(&[kind.code()])?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(&checksum)?;
    out.write_all(payload)?;
    *chain = checksum;
    Ok(HEAD as u64 + u64::from(length))
}

/// Reads a block that must follow `chain`; `None` at the end. How many bytes it had.
///
/// # Errors
/// [`BlockError`]
pub(crate) fn read(
    input: &mut impl Read,
    chain: &mut Checksum,
) -> Result<Option<(Kind, Vec<u8>, u64)>, BlockError> {
    let Some((head, payload)) = parts(input)? else { return Ok(None) };
    let kind = Kind::of(head.code).ok_or(BlockError::Checksum)?;
    if checksum(chain, head.code, head.length, &payload) != head.checksum {
        return Err(BlockError::Checksum);
    }
    *chain = head.checksum;
    Ok(Some((kind, payload, HEAD as u64 + u64::from(u32::from_be_bytes(head.length)))))
}

/// The payload of the next block if it is of this kind; its checksum is not looked at.
///
/// # Errors
/// [`BlockError`]
pub(crate) fn peek(input: &mut impl Read, kind: Kind) -> Result<Option<Vec<u8>>, BlockError> {
    let found = parts(input)?.filter(|(head, _)| Kind::of(head.code) == Some(kind));
    Ok(found.map(|(_, payload)| payload))
}

/// What stands before a payload.
struct Head {
    code: u8,
    length: [u8; 4],
    checksum: Checksum,
}

fn parts(input: &mut impl Read) -> Result<Option<(Head, Vec<u8>)>, BlockError> {
    let mut head = Vec::with_capacity(HEAD);
    input.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    if head.is_empty() {
        return Ok(None);
    }
    let (&[code], rest) = head.split_first_chunk().ok_or(BlockError::Truncated)?;
    let (&length, rest) = rest.split_first_chunk::<4>().ok_or(BlockError::Truncated)?;
    let checksum: Checksum = rest.try_into().map_err(|_| BlockError::Truncated)?;
    // The length may be damaged too: nothing is set aside for it.
    let bytes = u64::from(u32::from_be_bytes(length));
    let mut payload = Vec::new();
    input.by_ref().take(bytes).read_to_end(&mut payload)?;
    match payload.len() as u64 == bytes {
        true => Ok(Some((Head { code, length, checksum }, payload))),
        false => Err(BlockError::Truncated),
    }
}

fn checksum(chain: &Checksum, code: u8, length: [u8; 4], payload: &[u8]) -> Checksum {
    let hash = Sha256::new().chain_update(chain).chain_update([code]).chain_update(length);
    hash.chain_update(payload).finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let (mut bytes, mut chain) = (Vec::new(), [0; 32]);
        write(&mut bytes, &mut chain, Kind::Header, b"first").unwrap();
        write(&mut bytes, &mut chain, Kind::Commits, b"").unwrap();
        write(&mut bytes, &mut chain, Kind::Footer, &[7; 300]).unwrap();
        bytes
    }

    fn read_all(mut bytes: &[u8]) -> Result<Vec<(Kind, usize)>, BlockError> {
        let (mut chain, mut found) = ([0; 32], Vec::new());
        while let Some((kind, payload, _)) = read(&mut bytes, &mut chain)? {
            found.push((kind, payload.len()));
        }
        Ok(found)
    }

    #[test]
    fn blocks_are_read_as_they_were_written() {
        let expected = [(Kind::Header, 5), (Kind::Commits, 0), (Kind::Footer, 300)];
        assert_eq!(read_all(&sample()).unwrap(), expected);
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let bytes = sample();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read_all(&changed).is_err(), "byte {at}");
            // A cut between blocks is found by who knows what the last block is.
            let cut = read_all(&bytes[..at]);
            assert_eq!(cut.is_ok(), [0, 42, 79].contains(&at), "cut at {at}");
        }
        let exchanged = [&bytes[..42], &bytes[79..]].concat();
        assert!(matches!(read_all(&exchanged), Err(BlockError::Checksum)));
    }
}
