//! Bodies too large for a document, in Azure Blob Storage. A blob is written before its document is staged and is read only
//! through it, so that no reader meets part of one. Its name is `tenant/Type/id/VERSION-HASH` with the SHA-256 of its
//! content: it is never changed, and writing it again changes nothing. What a commit leaves that never came to be is garbage
//! that nobody refers to; see the layout page for how to find it.

use std::fmt;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::{StatusCode, Url};
use azure_storage_blob::clients::BlobContainerClient;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{Key, StoreError, Tenant};

/// A container of Azure Blob Storage that takes large bodies. Cheap to clone.
#[derive(Clone)]
pub struct BlobContainer {
    pub(super) client: Arc<BlobContainerClient>,
}

impl fmt::Debug for BlobContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the query, which may be a signature.
        write!(f, "BlobContainer({}{})", self.client.url().host_str().unwrap_or(""), self.client.url().path())
    }
}

impl BlobContainer {
    /// The container at `https://ACCOUNT.blob.core.windows.net/CONTAINER`, with a credential, or with a shared access
    /// signature in the URL that lets read, create and write (and delete, where versions are erased). Asks nothing yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] for a URL that is none, or with a credential and without TLS.
    pub fn open(
        url: &str,
        credential: Option<Arc<dyn TokenCredential>>,
    ) -> Result<BlobContainer, StoreError> {
        // Never the URL itself: it may hold a signature.
        let bad = || {
            StoreError::Unavailable(
                "the URL of the Blob container is not of the form https://ACCOUNT.blob.core.windows.net/CONTAINER"
                    .into(),
            )
        };
        let url = Url::parse(url.trim()).map_err(|_| bad())?;
        let segments = url.path_segments().map(|parts| parts.filter(|part| !part.is_empty()).count());
        if !matches!(url.scheme(), "https" | "http") || segments.unwrap_or(0) == 0 {
            return Err(bad());
        }
        let client = BlobContainerClient::new(url, credential, None).map_err(|_| bad())?;
        Ok(BlobContainer { client: Arc::new(client) })
    }

    /// Keeps bytes; the text that a document refers to them by.
    pub(super) async fn put(
        &self,
        tenant: &Tenant,
        key: &Key,
        version: u64,
        bytes: Vec<u8>,
    ) -> Result<String, StoreError> {
        let reference = Reference { hash: hash(&bytes), length: bytes.len() };
        let blob = self.client.blob_client(&reference.name(tenant, key, version));
        blob.upload(Bytes::from(bytes).into(), None).await.map_err(|error| fault(&error))?;
        Ok(reference.text())
    }

    /// Deletes the bytes that a document refers to, if they are there.
    pub(super) async fn remove(
        &self,
        tenant: &Tenant,
        key: &Key,
        version: u64,
        text: &str,
    ) -> Result<(), StoreError> {
        let Some(reference) = Reference::parse(text) else { return Ok(()) };
        let blob = self.client.blob_client(&reference.name(tenant, key, version));
        match blob.delete(None).await {
            Ok(_) => Ok(()),
            Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(()),
            Err(error) => Err(fault(&error)),
        }
    }

    /// The bytes that a document refers to; why they are not what was kept, otherwise.
    pub(super) async fn get(
        &self,
        tenant: &Tenant,
        key: &Key,
        version: u64,
        text: &str,
    ) -> Result<Result<Vec<u8>, &'static str>, StoreError> {
        let Some(reference) = Reference::parse(text) else {
            return Ok(Err("it refers to no blob"));
        };
        let blob = self.client.blob_client(&reference.name(tenant, key, version));
        let found = match blob.download(None).await {
            Ok(found) => found,
            Err(error) if error.http_status() == Some(StatusCode::NotFound) => {
                return Ok(Err("its blob is missing"));
            }
            Err(error) => return Err(fault(&error)),
        };
        let bytes = found.body.collect().await.map_err(|error| fault(&error))?;
        if bytes.len() != reference.length || hash(&bytes) != reference.hash {
            return Ok(Err("its blob was changed"));
        }
        Ok(Ok(bytes.to_vec()))
    }
}

/// What `z` says of a blob: the SHA-256 of its content in hexadecimal, a full stop, its length.
struct Reference {
    hash: String,
    length: usize,
}

impl Reference {
    fn text(&self) -> String {
        format!("{}.{}", self.hash, self.length)
    }

    fn parse(text: &str) -> Option<Reference> {
        let (hash, length) = text.split_once('.')?;
        let digits = hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let length = length.parse().ok().filter(|length| *length <= super::compression::MOST)?;
        digits.then(|| Reference { hash: hash.to_owned(), length })
    }

    fn name(&self, tenant: &Tenant, key: &Key, version: u64) -> String {
        format!("{}/{}/{version}-{}", tenant.as_str(), key.as_str(), self.hash)
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The client's own texts name the URL, which may hold a signature: they are not passed on.
fn fault(error: &azure_core::Error) -> StoreError {
    let status = error.http_status();
    match status.map(u16::from) {
        Some(429 | 503) => StoreError::Throttled { after: std::time::Duration::from_secs(1) },
        Some(401 | 403) => StoreError::Unavailable(
            "the Blob container refuses this server: its identity needs the role Storage Blob Data Contributor, \
             or the signature in its URL does not let it read and write"
                .into(),
        ),
        Some(404) => StoreError::Unavailable("the Blob container does not exist".into()),
        Some(status) => StoreError::Unavailable(format!("the Blob container answers {status}")),
        None => StoreError::Unavailable("the Blob container cannot be reached".into()),
    }
}
