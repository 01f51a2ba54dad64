//! Large bodies against Azurite, Microsoft's own emulator of Blob Storage (npm `azurite`). Skipped by name where there is no
//! npm, unless `VESTA_REQUIRE_SUITES` is set.

use azure_core::base64;

use super::tests::noise;
use super::*;

/// A running Azurite.
struct Azurite {
    service: cosmos_emulator::Azurite,
    _directory: tempfile::TempDir,
}

impl Azurite {
    fn start(test: &str) -> Option<Azurite> {
        let directory = tempfile::tempdir().unwrap();
        let service = cosmos_emulator::Azurite::start(test, directory.path()).unwrap()?;
        Some(Azurite { service, _directory: directory })
    }

    /// The URL of a container with a shared access signature for these permissions.
    fn url(&self, container: &str, permissions: &str) -> String {
        format!("{}?{}", self.service.container(container), self.service.signature(permissions).unwrap())
    }

    async fn container(&self, name: &str) -> BlobContainer {
        self.service.make(name).unwrap();
        BlobContainer::open(&self.url(name, "rwdlc"), None).unwrap()
    }
}

fn key() -> Key {
    Key::new("DocumentReference", "scan-1")
}

fn codec(blobs: &BlobContainer) -> Codec {
    Codec::of(&Tenant::new("acme").unwrap(), None, Some(blobs.clone()))
}

async fn decode(codec: &Codec, version: u64, encoded: &Encoded) -> Result<Bytes, String> {
    codec.decode(&key(), version, &encoded.z, encoded.e.as_deref()).await.map_err(|error| error.to_string())
}

/// A body that does not compress: base64 of noise.
fn scan(length: usize) -> Vec<u8> {
    let data = base64::encode(noise(length / 4 * 3));
    format!("{{\"resourceType\":\"DocumentReference\",\"data\":\"{data}\"}}").into_bytes()
}

#[tokio::test]
async fn large_bodies_are_blobs() {
    let Some(azurite) = Azurite::start("large_bodies_are_blobs") else { return };
    let blobs = azurite.container("bodies").await;
    let codec = codec(&blobs);

    // What fits a document is in the document.
    let small = codec.encode(&key(), 1, &scan(1_000_000)).await.unwrap();
    assert_eq!(small.e.as_deref(), Some("a"));

    for length in [3_000_000, 40 << 20] {
        let body = scan(length);
        let encoded = codec.encode(&key(), 1, &body).await.unwrap();
        assert_eq!(encoded.e.as_deref(), Some("a@"), "{length}");
        assert!(encoded.z.len() < 100, "{}", encoded.z);
        assert!(decode(&codec, 1, &encoded).await.unwrap() == body, "{length}");
        // Written again after an answer that was lost, it is the same blob.
        assert_eq!(codec.encode(&key(), 1, &body).await.unwrap(), encoded);
        // The blob is its version's alone, and its tenant's.
        let missing = |version: u64| {
            format!(
                "stored data is damaged: the body of DocumentReference/scan-1 version {version}: its blob is missing"
            )
        };
        assert_eq!(decode(&codec, 2, &encoded).await.unwrap_err(), missing(2));
        let other = Codec { tenant: Tenant::new("other").unwrap(), ..codec.clone() };
        assert_eq!(decode(&other, 1, &encoded).await.unwrap_err(), missing(1));
        // Without a container, refused with both numbers.
        match Codec::new().encode(&key(), 1, &body).await {
            Err(StoreError::TooLarge { bytes, most, .. }) => assert!(bytes > most && most == MOST_TEXT),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn blobs_that_are_gone_changed_or_refused_are_said() {
    let Some(azurite) = Azurite::start("blobs_that_are_gone_changed_or_refused_are_said") else { return };
    let blobs = azurite.container("bodies").await;
    let codec = codec(&blobs);
    let encoded = codec.encode(&key(), 1, &scan(2_500_000)).await.unwrap();
    let hash = encoded.z.split('.').next().unwrap();
    let blob = blobs.client.blob_client(&format!("acme/DocumentReference/scan-1/1-{hash}"));
    let failed = |why: &str| {
        Err(format!("stored data is damaged: the body of DocumentReference/scan-1 version 1: {why}"))
    };

    let content = blob.download(None).await.unwrap().body.collect().await.unwrap();
    let mut changed = content.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    blob.upload(Bytes::from(changed).into(), None).await.unwrap();
    assert_eq!(decode(&codec, 1, &encoded).await, failed("its blob was changed"));
    blob.delete(None).await.unwrap();
    assert_eq!(decode(&codec, 1, &encoded).await, failed("its blob is missing"));
    let not_one = Encoded { z: "x".into(), e: Some("a@".into()) };
    assert_eq!(decode(&codec, 1, &not_one).await, failed("it refers to no blob"));

    let read_only = BlobContainer::open(&azurite.url("bodies", "r"), None).unwrap();
    let refused = self::codec(&read_only).encode(&key(), 1, &scan(2_500_000)).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "the store is not available: the Blob container refuses this server: its identity needs the role Storage Blob Data Contributor, or the signature in its URL does not let it read and write"
    );
    let none = BlobContainer::open(&azurite.url("none", "rwc"), None).unwrap();
    let absent = self::codec(&none).encode(&key(), 1, &scan(2_500_000)).await.unwrap_err().to_string();
    assert_eq!(absent, "the store is not available: the Blob container does not exist");
    assert!(!format!("{read_only:?}").contains("sig"), "{read_only:?}");
}

#[test]
fn urls_that_are_none_are_refused_and_not_repeated() {
    for url in [
        "",
        "bodies",
        "ftp://acme.blob.core.windows.net/bodies",
        "https://acme.blob.core.windows.net/?sig=s3cret",
    ] {
        assert_eq!(
            BlobContainer::open(url, None).unwrap_err().to_string(),
            "the store is not available: the URL of the Blob container is not of the form https://ACCOUNT.blob.core.windows.net/CONTAINER"
        );
    }
}
