//! A body as its document carries it: `z` the text, `e` how it is written. Knows no documents and no index.
//!
//! `e` is absent for plain text. Otherwise its first letter says what `z` holds, in the 91 characters of `text`:
//!
//! | letter | the body is |
//! |---|---|
//! | `a` | compressed with dictionary `a` (`compression`) |
//! | `b` | the same, without its head: [`head`] of the document's key and version |

mod compression;
mod text;

use bytes::Bytes;

use crate::{Key, StoreError};

/// Most characters of `z`. A document is limited to 2 MB; the rest is for its index fields.
pub(super) const MOST_TEXT: usize = 1_900_000;

/// Below this many bytes nothing is won by compressing.
const WORTH_COMPRESSING: usize = 48;

/// What `e` adds to a document besides its characters: `,"e":""`.
const LABEL: usize = 7;

/// A body, written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encoded {
    /// The document's `z`.
    pub z: String,
    /// The document's `e`.
    pub e: Option<String>,
}

/// Writes and reads the bodies of one tenant.
#[derive(Debug, Clone, Default)]
pub(super) struct Codec {}

impl Codec {
    /// A codec for a tenant whose bodies are neither encrypted nor kept elsewhere.
    pub(super) fn new() -> Codec {
        Codec {}
    }

    /// The body of a version as its document is to carry it.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when it does not fit a document.
    pub(super) async fn encode(&self, key: &Key, version: u64, body: &[u8]) -> Result<Encoded, StoreError> {
        if body.len() > compression::MOST {
            return Err(too_large(key, body.len(), compression::MOST));
        }
        let plain = std::str::from_utf8(body).ok();
        if let Some(plain) = plain.filter(|plain| plain.len() < WORTH_COMPRESSING) {
            return Ok(Encoded { z: plain.to_owned(), e: None });
        }
        let (letter, content) = match body.strip_prefix(head(key, version).as_bytes()) {
            Some(rest) => ('b', rest),
            None => ('a', body),
        };
        let compressed = compression::compress(content)
            .map_err(|error| StoreError::Storage(format!("compressing {}: {error}", key.as_str())))?;
        if let Some(plain) = plain
            && escaped_length(plain) <= text::length(compressed.len()) + LABEL + 1
        {
            return Ok(Encoded { z: plain.to_owned(), e: None });
        }
        let z = text::write(&compressed);
        if z.len() > MOST_TEXT {
            return Err(too_large(key, z.len(), MOST_TEXT));
        }
        Ok(Encoded { z, e: Some(letter.to_string()) })
    }

    /// The body that [`Codec::encode`] wrote for this key and version.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it cannot have written this.
    pub(super) async fn decode(
        &self,
        key: &Key,
        version: u64,
        z: &str,
        e: Option<&str>,
    ) -> Result<Bytes, StoreError> {
        let head = match e {
            None => return Ok(Bytes::copy_from_slice(z.as_bytes())),
            Some("a") => String::new(),
            Some("b") => head(key, version),
            Some(other) => {
                return Err(damaged(key, version, &format!("its encoding `{other}` is not known")));
            }
        };
        let mut frame = compression::frame();
        text::read(z, &mut frame).ok_or_else(|| damaged(key, version, "its text is not of the alphabet"))?;
        let mut body = head.into_bytes();
        compression::decompress(&frame, &mut body).map_err(|error| damaged(key, version, error))?;
        Ok(Bytes::from(body))
    }
}

/// What the canonical body of a version begins with: all that the document says anyway.
fn head(key: &Key, version: u64) -> String {
    format!(
        r#"{{"resourceType":"{}","id":"{}","meta":{{"versionId":"{version}","lastUpdated":""#,
        key.resource_type(),
        key.id()
    )
}

/// The length of a text inside a JSON string.
fn escaped_length(text: &str) -> usize {
    let extra = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..=0x1f => 5,
        _ => 0,
    };
    text.len() + text.bytes().map(extra).sum::<usize>()
}

fn too_large(key: &Key, bytes: usize, most: usize) -> StoreError {
    StoreError::TooLarge { key: key.as_str().into(), bytes, most }
}

fn damaged(key: &Key, version: u64, why: &str) -> StoreError {
    StoreError::Damaged(format!("the body of {} version {version}: {why}", key.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> Key {
        Key::new("Observation", "ebe12ce1-5bc6-bc56-efc3-a4a30c70ebe4")
    }

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn encode(body: &[u8]) -> Encoded {
        run(Codec::new().encode(&key(), 3, body)).unwrap()
    }

    fn decode(encoded: &Encoded) -> Result<Bytes, String> {
        run(Codec::new().decode(&key(), 3, &encoded.z, encoded.e.as_deref())).map_err(|e| e.to_string())
    }

    fn observation(version: u64) -> String {
        let head = head(&key(), version);
        format!(
            r#"{head}2026-11-22T02:10:33.123Z","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"]}},"status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"Laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"2339-0","display":"Glucose"}}],"text":"Glucose"}},"subject":{{"reference":"Patient/9fa1e332-a3eb-52e2-d79a-62042a485967"}},"effectiveDateTime":"2011-09-24T06:52:56+02:00","valueQuantity":{{"value":1.10,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}}}"#
        )
    }

    #[test]
    fn a_body_is_written_the_shorter_way() {
        let check = |body: &str, e: Option<&str>| {
            let encoded = encode(body.as_bytes());
            assert_eq!(encoded.e.as_deref(), e, "{body}");
            assert_eq!(decode(&encoded).unwrap(), body.as_bytes());
            let escaped = |text: &str| serde_json::to_string(text).unwrap().len();
            assert!(escaped(&encoded.z) <= escaped(body), "{body}");
            assert_eq!(escaped_length(body) + 2, escaped(body), "{body}");
        };
        check("", None);
        check(r#"{"resourceType":"Patient","id":"1"}"#, None);
        check("\u{1}\u{8}\t\"\\é", None);
        check(&observation(3), Some("b"));
        check(&observation(4), Some("a"));
    }

    #[test]
    fn an_observation_takes_a_quarter() {
        let body = observation(3);
        let encoded = encode(body.as_bytes());
        assert!(encoded.z.len() * 4 < body.len(), "{} of {}", encoded.z.len(), body.len());
    }

    #[test]
    fn a_body_of_another_version_is_not_taken_for_this_one() {
        let encoded = encode(observation(3).as_bytes());
        let other = run(Codec::new().decode(&key(), 4, &encoded.z, encoded.e.as_deref())).unwrap();
        assert_eq!(other, observation(4).as_bytes(), "head comes from the document");
    }

    #[test]
    fn what_was_never_written_is_damaged() {
        let check = |z: &str, e: &str, why: &str| {
            let encoded = Encoded { z: z.to_owned(), e: Some(e.to_owned()) };
            let error = format!("stored data is damaged: the body of {} version 3: {why}", key().as_str());
            assert_eq!(decode(&encoded).unwrap_err(), error);
        };
        check("x", "q", "its encoding `q` is not known");
        check("x", "", "its encoding `` is not known");
        check("\"", "a", "its text is not of the alphabet");
        check("", "a", "it does not say its length");
    }

    #[test]
    fn a_body_that_does_not_fit_is_refused_with_both_numbers() {
        // Not compressible: digits of a simple generator.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes().first().copied().unwrap_or_default()
        })
        .take(1_600_000)
        .collect();
        match run(Codec::new().encode(&key(), 1, &noise)) {
            Err(StoreError::TooLarge { key: of, bytes, most }) => {
                assert_eq!((&*of, most), (key().as_str(), MOST_TEXT));
                assert!(bytes > most, "{bytes}");
            }
            other => panic!("{other:?}"),
        }
        let fits = encode(noise.get(..1_500_000).unwrap());
        assert_eq!(decode(&fits).unwrap(), noise.get(..1_500_000).unwrap());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_come_back(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(decode(&encode(&body)).unwrap(), body);
        }
    }
}
