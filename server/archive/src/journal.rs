//! Commits as the bytes of a block, and back. Reads nothing that it cannot know to be whole.
//!
//! A payload is zlib-compressed. Inside, one commit after another, numbers big-endian: sequence u64, time i64 (milliseconds),
//! how many versions u32; of each version: length of the key u8, `Type/id`, number u64, method u8 (1 POST, 2 PUT, 3 PATCH,
//! 4 DELETE), length of the body u32, body.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use store::{Commit, Key, Method, Timestamp, Version};

/// Of a method in archives and content hashes.
pub(crate) fn method_code(method: Method) -> u8 {
    match method {
        Method::Post => 1,
        Method::Put => 2,
        Method::Patch => 3,
        Method::Delete => 4,
    }
}

fn method_of(code: u8) -> Option<Method> {
    [Method::Post, Method::Put, Method::Patch, Method::Delete]
        .into_iter()
        .find(|method| method_code(*method) == code)
}

/// A payload of commits, and how many bytes it has uncompressed.
///
/// # Errors
/// A commit that the format has no room for: more than 4 Gi versions, a body of more than 4 GiB, a version whose time is not
/// that of its commit.
pub(crate) fn encode(commits: &[Commit]) -> std::io::Result<(Vec<u8>, u64)> {
    let mut out = ZlibEncoder::new(Vec::new(), Compression::fast());
    for commit in commits {
        out.write_all(&commit.sequence.to_be_bytes())?;
        out.write_all(&commit.last_updated.0.to_be_bytes())?;
        out.write_all(&length(commit.versions.len())?)?;
        for version in &commit.versions {
            if version.last_updated != commit.last_updated {
                return Err(std::io::Error::other("a version has another time than its commit"));
            }
            let key = version.key.as_str();
            out.write_all(&[u8::try_from(key.len()).map_err(std::io::Error::other)?])?;
            out.write_all(key.as_bytes())?;
            out.write_all(&version.version.to_be_bytes())?;
            out.write_all(&[method_code(version.method)])?;
            out.write_all(&length(version.body.len())?)?;
            out.write_all(&version.body)?;
        }
    }
    let bytes = out.total_in();
    Ok((out.finish()?, bytes))
}

fn length(of: usize) -> std::io::Result<[u8; 4]> {
    u32::try_from(of).map(u32::to_be_bytes).map_err(std::io::Error::other)
}

/// The commits of a payload; `None` if it is none.
pub(crate) fn decode(payload: &[u8]) -> Option<Vec<Commit>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(payload).read_to_end(&mut bytes).ok()?;
    let (mut rest, mut commits) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let sequence = u64::from_be_bytes(take(&mut rest)?);
        let last_updated = Timestamp(i64::from_be_bytes(take(&mut rest)?));
        let count = u32::from_be_bytes(take(&mut rest)?);
        let versions = (0..count).map(|_| version(&mut rest, last_updated)).collect::<Option<_>>()?;
        commits.push(Commit { sequence, last_updated, versions });
    }
    Some(commits)
}

fn version(rest: &mut &[u8], last_updated: Timestamp) -> Option<Version> {
    let [key_length] = take(rest)?;
    let key = rest.split_off(..usize::from(key_length))?;
    let key = Key::parse(std::str::from_utf8(key).ok()?)?;
    let version = u64::from_be_bytes(take(rest)?);
    let [method] = take(rest)?;
    let length = usize::try_from(u32::from_be_bytes(take(rest)?)).ok()?;
    let body = rest.split_off(..length)?.to_vec().into();
    Some(Version { key, version, last_updated, method: method_of(method)?, body })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
mod tests {
    use super::*;

    fn sample() -> Vec<Commit> {
        let version = |id: &str, number, method, body: &str| Version {
            key: Key::new("Patient", id),
            version: number,
            last_updated: Timestamp(1_795_313_433_123),
            method,
            body: body.to_owned().into(),
        };
        let commit =
            |sequence, versions| Commit { sequence, last_updated: Timestamp(1_795_313_433_123), versions };
        vec![
            commit(
                7,
                vec![version("a", 1, Method::Post, "{}"), version(&"b".repeat(64), 9, Method::Patch, "x")],
            ),
            commit(8, vec![version("a", 2, Method::Delete, "")]),
            commit(u64::MAX, vec![version("c", 1, Method::Put, &"long ".repeat(100_000))]),
        ]
    }

    #[test]
    fn commits_are_read_as_they_were_written() {
        let (payload, bytes) = encode(&sample()).unwrap();
        assert!(payload.len() < 10_000 && bytes > 500_000);
        assert_eq!(format!("{:?}", decode(&payload).unwrap()), format!("{:?}", sample()));
        assert_eq!(decode(&encode(&[]).unwrap().0).unwrap().len(), 0);
    }

    #[test]
    fn what_is_no_payload_is_none() {
        let (payload, _) = encode(&sample()[..2]).unwrap();
        assert!(decode(&payload[..payload.len() - 5]).is_none());
        assert!(decode(b"no payload").is_none());
        let mut cut = ZlibEncoder::new(Vec::new(), Compression::fast());
        cut.write_all(&7_u64.to_be_bytes()).unwrap();
        assert!(decode(&cut.finish().unwrap()).is_none());
        let mut other = sample();
        other[0].last_updated = Timestamp(0);
        assert!(encode(&other).is_err());
    }
}
