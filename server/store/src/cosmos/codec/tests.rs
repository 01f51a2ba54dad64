use std::sync::Arc;

use keys::{FileKeys, KeyProvider, new_wrapping_key};
use proptest::prelude::*;

use super::*;

fn key() -> Key {
    Key::new("Observation", "ebe12ce1-5bc6-bc56-efc3-a4a30c70ebe4")
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn encode(body: &[u8]) -> Encoded {
    run(Codec::new().encode(&key(), 3, body)).unwrap()
}

fn decode_with(codec: &Codec, version: u64, encoded: &Encoded) -> Result<Bytes, String> {
    run(codec.decode(&key(), version, &encoded.z, encoded.e.as_deref())).map_err(|e| e.to_string())
}

fn decode(encoded: &Encoded) -> Result<Bytes, String> {
    decode_with(&Codec::new(), 3, encoded)
}

fn observation(version: u64) -> String {
    let head = head(&key(), version);
    format!(
        r#"{head}2026-11-22T02:10:33.123Z","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"]}},"status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"Laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"2339-0","display":"Glucose"}}],"text":"Glucose"}},"subject":{{"reference":"Patient/9fa1e332-a3eb-52e2-d79a-62042a485967"}},"effectiveDateTime":"2011-09-24T06:52:56+02:00","valueQuantity":{{"value":1.10,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}}}"#
    )
}

/// Bytes that do not compress.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes().first().copied().unwrap_or_default()
    })
    .take(length)
    .collect()
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
fn the_head_of_a_body_comes_from_its_document() {
    let encoded = encode(observation(3).as_bytes());
    assert_eq!(decode_with(&Codec::new(), 4, &encoded).unwrap(), observation(4).as_bytes());
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
    check("", "p.0123abcd", "it is encrypted with key 0123abcd, and the tenant has no keys configured");
}

#[test]
fn a_body_that_does_not_fit_is_refused_with_both_numbers() {
    let noise = noise(1_600_000);
    match run(Codec::new().encode(&key(), 1, &noise)) {
        Err(StoreError::TooLarge { key: of, bytes, most }) => {
            assert_eq!((&*of, most), (key().as_str(), MOST_TEXT));
            assert!(bytes > most, "{bytes}");
        }
        other => panic!("{other:?}"),
    }
    let fits = encode(noise.get(..1_500_000).unwrap());
    assert_eq!(decode(&fits).unwrap(), noise.get(..1_500_000).unwrap());
    // As text it would be stored plainly; but that does not fit either.
    let text: String =
        noise.iter().map(|byte| char::from(b'!' + byte % 90)).chain(std::iter::once('"')).collect();
    let long = text.repeat(2);
    let encoded = run(Codec::new().encode(&key(), 1, long.as_bytes()));
    assert!(matches!(encoded, Err(StoreError::TooLarge { .. }) | Ok(Encoded { e: Some(_), .. })));
}

#[test]
fn a_blob_without_a_container_is_not_available() {
    let encoded = Encoded { z: format!("{}.5", "0".repeat(64)), e: Some("a@".into()) };
    let error = format!(
        "the store is not available: {} is in a Blob container, and none is configured",
        key().as_str()
    );
    assert_eq!(decode(&encoded).unwrap_err(), error);
}

/// A provider in a directory of its own, and the keys of a tenant by it.
fn encrypting(tenant: &str) -> (tempfile::TempDir, Codec) {
    let directory = tempfile::tempdir().unwrap();
    let provider = FileKeys::open(directory.path(), &new_wrapping_key().unwrap()).unwrap();
    let codec = with_keys(tenant, Arc::new(provider));
    (directory, codec)
}

fn with_keys(tenant: &str, provider: Arc<dyn KeyProvider>) -> Codec {
    let keys = run(DataKeys::open(provider, tenant)).unwrap();
    Codec::of(&Tenant::new(tenant).unwrap(), Some(keys), None)
}

#[test]
fn bodies_of_a_tenant_with_keys_are_encrypted_whatever_their_size() {
    let (_directory, codec) = encrypting("acme");
    let id = codec.keys.as_ref().unwrap().current().unwrap();
    for (body, form) in
        [("", "p"), (r#"{"resourceType":"Patient"}"#, "p"), (&observation(3), "b"), (&observation(2), "a")]
    {
        let encoded = run(codec.encode(&key(), 3, body.as_bytes())).unwrap();
        assert_eq!(encoded.e, Some(format!("{form}.{id}")));
        assert_eq!(decode_with(&codec, 3, &encoded).unwrap(), body.as_bytes());
        // The same body is never written the same way.
        assert_ne!(run(codec.encode(&key(), 3, body.as_bytes())).unwrap().z, encoded.z);
    }
}

#[test]
fn encrypted_bytes_cannot_be_moved_or_relabelled() {
    let (_directory, codec) = encrypting("acme");
    let body = observation(3);
    let encoded = run(codec.encode(&key(), 3, body.as_bytes())).unwrap();
    let at = |codec: &Codec, key: &Key, version, e: &str| {
        run(codec.decode(key, version, &encoded.z, Some(e))).map_err(|error| error.to_string())
    };
    let e = encoded.e.clone().unwrap();
    assert_eq!(at(&codec, &key(), 3, &e).unwrap(), body.as_bytes());
    let refused = |codec: &Codec, key: &Key, version: u64, e: &str, tenant: &str, form: &str| {
        let place = format!("{tenant}/{}/{version}/{form}", key.as_str());
        let error = format!(
            "stored data is damaged: the body of {} version {version}: what is at `{place}` was not encrypted for that place with this key",
            key.as_str()
        );
        assert_eq!(at(codec, key, version, e).unwrap_err(), error);
    };
    refused(&codec, &key(), 4, &e, "acme", "b");
    refused(&codec, &Key::new("Observation", "other"), 3, &e, "acme", "b");
    refused(&codec, &Key::new("Condition", key().id()), 3, &e, "acme", "b");
    refused(&codec, &key(), 3, &e.replacen("b.", "a.", 1), "acme", "a");
    // Another tenant that came by the very same key.
    let other = Codec { tenant: Tenant::new("other").unwrap(), ..codec.clone() };
    refused(&other, &key(), 3, &e, "other", "b");
}

#[test]
fn rotation_leaves_old_bodies_readable_and_says_which_they_are() {
    let (_directory, codec) = encrypting("acme");
    let body = observation(3);
    let old = run(codec.encode(&key(), 3, body.as_bytes())).unwrap();
    assert!(codec.is_current(old.e.as_deref()));
    run(codec.keys.as_ref().unwrap().rotate()).unwrap();
    let new = run(codec.encode(&key(), 3, body.as_bytes())).unwrap();
    assert_ne!(old.e, new.e);
    assert_eq!(decode_with(&codec, 3, &old).unwrap(), body.as_bytes());
    assert_eq!(decode_with(&codec, 3, &new).unwrap(), body.as_bytes());
    assert!(!codec.is_current(old.e.as_deref()) && codec.is_current(new.e.as_deref()));
    // What was written before the tenant had keys is still read, and is not current.
    let before = encode(body.as_bytes());
    assert_eq!(decode_with(&codec, 3, &before).unwrap(), body.as_bytes());
    assert!(!codec.is_current(before.e.as_deref()) && Codec::new().is_current(before.e.as_deref()));
}

#[test]
fn a_lost_key_is_named() {
    let (directory, codec) = encrypting("acme");
    let encoded = run(codec.encode(&key(), 3, observation(3).as_bytes())).unwrap();
    let id = codec.keys.as_ref().unwrap().current().unwrap();
    std::fs::remove_file(directory.path().join("data-acme.keys")).unwrap();
    let provider = FileKeys::open(directory.path(), &new_wrapping_key().unwrap()).unwrap();
    let codec = with_keys("acme", Arc::new(provider));
    let error = format!(
        "stored data is damaged: the body of {} version 3: key {id} is not in the set `data-acme`: it was removed or disabled, or the set is another's; what was encrypted with it cannot be read without it",
        key().as_str()
    );
    assert_eq!(decode_with(&codec, 3, &encoded).unwrap_err(), error);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_come_back(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(decode(&encode(&body)).unwrap(), body);
    }
}
