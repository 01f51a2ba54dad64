//! Large bodies against Azurite, Microsoft's own emulator of Blob Storage (npm `azurite`). Skipped by name where there is no
//! npm, unless `VESTA_REQUIRE_SUITES` is set.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use azure_core::base64;
use azure_core::credentials::Secret;
use azure_core::hmac::hmac_sha256;

use super::tests::noise;
use super::*;

const VERSION: &str = "3.35.0";
const ACCOUNT: &str = "devstoreaccount1";
/// The well-known key of every Azurite: <https://learn.microsoft.com/azure/storage/common/storage-use-azurite>.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running Azurite, stopped when dropped.
struct Azurite {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Azurite {
    fn start(test: &str) -> Option<Azurite> {
        let Some(script) = installed() else {
            assert!(
                std::env::var_os("VESTA_REQUIRE_SUITES").is_none(),
                "{test}: node and npm are required here, and azurite {VERSION} cannot be installed"
            );
            eprintln!("skipped: {test} (no node and npm, or no registry to install azurite {VERSION} from)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("node")
            .arg(script)
            .args(["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort"])
            .arg(port.to_string())
            .arg("--location")
            .arg(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let azurite = Azurite { process, port, _directory: directory };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "azurite does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(azurite)
    }

    /// The URL of a container with a shared access signature for these permissions.
    fn url(&self, container: &str, permissions: &str) -> String {
        let version = "2021-12-02";
        let expiry = "2099-01-01T00:00:00Z";
        let signed =
            [ACCOUNT, permissions, "b", "co", "", expiry, "", "https,http", version, "", ""].join("\n");
        let signature = hmac_sha256(&signed, &Secret::new(KEY)).unwrap();
        let mut url =
            azure_core::http::Url::parse(&format!("http://127.0.0.1:{}/{ACCOUNT}/{container}", self.port))
                .unwrap();
        url.query_pairs_mut()
            .append_pair("sv", version)
            .append_pair("ss", "b")
            .append_pair("srt", "co")
            .append_pair("sp", permissions)
            .append_pair("se", expiry)
            .append_pair("spr", "https,http")
            .append_pair("sig", &signature);
        url.to_string()
    }

    async fn container(&self, name: &str) -> BlobContainer {
        let blobs = BlobContainer::open(&self.url(name, "rwdlc"), None).unwrap();
        blobs.client.create(None).await.unwrap();
        blobs
    }
}

/// The script of Azurite's Blob service, installed once into the system's directory for temporary files.
fn installed() -> Option<PathBuf> {
    let directory = std::env::temp_dir().join(format!("vesta-azurite-{VERSION}"));
    let script = directory.join("node_modules/azurite/dist/src/blob/main.js");
    if !script.exists() {
        let status = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&directory)
            .arg(format!("azurite@{VERSION}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return None;
        }
    }
    script.exists().then_some(script)
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
