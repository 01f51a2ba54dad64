//! A body as its document carries it: `z` the text, `e` how it is written. Knows no documents and no index.
//!
//! `e` is absent for plain text. Otherwise it says how to get from `z` to the body:
//!
//! | `e` | meaning | module |
//! |---|---|---|
//! | `...@` | `z` names a blob, which has the bytes; otherwise `z` is the bytes, in 91 characters | `overflow`, `text` |
//! | `...KEY` after a full stop | the bytes are encrypted with this data key of the tenant, for tenant, type, id, version and letter | `keys::DataKeys` |
//! | first letter `p` | the bytes are the body | |
//! | first letter `a` | they are the body compressed with dictionary `a` | `compression` |
//! | first letter `b` | the same, but for the body's [`head`], which the document says anyway | |

mod compression;
mod label;
mod options;
mod overflow;
mod text;

#[cfg(test)]
mod azurite;

use std::borrow::Cow;

use bytes::Bytes;
use keys::{DataKeys, KeyError, KeyId};

use crate::{Key, StoreError, Tenant};
use label::{Form, Label};
pub use options::{Bodies, BodyOptions};
pub use overflow::BlobContainer;

/// Most characters of `z`. A document is limited to 2 MB; the rest is for its index fields.
pub(super) const MOST_TEXT: usize = 1_900_000;

/// Below this many bytes nothing is won by compressing.
const WORTH_COMPRESSING: usize = 48;

/// What `e` adds to a document besides its characters: `,"e":""`.
const LABEL: usize = 7;

/// A body, written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The document's `z`.
    pub z: String,
    /// The document's `e`.
    pub e: Option<String>,
}

/// Writes and reads the bodies of one tenant.
#[derive(Debug, Clone)]
pub struct Codec {
    tenant: Tenant,
    keys: Option<DataKeys>,
    overflow: Option<BlobContainer>,
}

impl Default for Codec {
    fn default() -> Codec {
        Codec::new()
    }
}

impl Codec {
    /// A codec that neither encrypts nor keeps anything outside of documents.
    pub fn new() -> Codec {
        Codec::of(&Tenant::default_tenant(), None, None)
    }

    /// A tenant's codec: with its data keys, if its bodies are encrypted, and with where large ones go.
    pub(super) fn of(tenant: &Tenant, keys: Option<DataKeys>, overflow: Option<BlobContainer>) -> Codec {
        Codec { tenant: tenant.clone(), keys, overflow }
    }

    /// The body of a version as its document is to carry it. When this returns, a blob that it refers to is durable.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when it does not fit a document and there is no Blob container, or one of those of
    /// the container or the keys.
    pub async fn encode(&self, key: &Key, version: u64, body: &[u8]) -> Result<Encoded, StoreError> {
        if body.len() > compression::MOST {
            return Err(too_large(key, body.len(), compression::MOST));
        }
        let (form, bytes) = squeezed(key, version, body)?;
        if self.keys.is_none()
            && let Some(plain) = plain(body, &bytes)
        {
            return Ok(Encoded { z: plain.to_owned(), e: None });
        }
        let (key_id, bytes) = match &self.keys {
            Some(keys) => {
                let (id, sealed) = keys
                    .seal(&self.place(key, version, form), &bytes)
                    .map_err(|error| StoreError::Unavailable(error.to_string()))?;
                (Some(id), Cow::Owned(sealed))
            }
            None => (None, bytes),
        };
        let label = |in_blob| Some(Label { form, key: key_id, in_blob }.to_string());
        if text::length(bytes.len()) <= MOST_TEXT {
            return Ok(Encoded { z: text::write(&bytes), e: label(false) });
        }
        match &self.overflow {
            Some(blobs) => {
                let z = blobs.put(&self.tenant, key, version, bytes.into_owned()).await?;
                Ok(Encoded { z, e: label(true) })
            }
            None => Err(too_large(key, text::length(bytes.len()), MOST_TEXT)),
        }
    }

    /// The body that [`Codec::encode`] wrote for this key and version.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it cannot have written this, or the key it was encrypted with or its blob is gone;
    /// [`StoreError::Unavailable`] when the keys or the Blob container cannot be reached.
    pub async fn decode(
        &self,
        key: &Key,
        version: u64,
        z: &str,
        e: Option<&str>,
    ) -> Result<Bytes, StoreError> {
        let Some(e) = e else { return Ok(Bytes::copy_from_slice(z.as_bytes())) };
        let damaged = |why: &str| damaged(key, version, why);
        let label = Label::parse(e).ok_or_else(|| damaged(&format!("its encoding `{e}` is not known")))?;
        let mut bytes = Vec::new();
        if label.in_blob {
            let blobs = self.overflow.as_ref().ok_or_else(|| {
                StoreError::Unavailable(format!(
                    "{} is in a Blob container, and none is configured",
                    key.as_str()
                ))
            })?;
            bytes = blobs.get(&self.tenant, key, version, z).await?.map_err(damaged)?;
        } else {
            text::read(z, &mut bytes).ok_or_else(|| damaged("its text is not of the alphabet"))?;
        }
        if let Some(id) = label.key {
            let keys = self.keys.as_ref().ok_or_else(|| {
                damaged(&format!("it is encrypted with key {id}, and the tenant has no keys configured"))
            })?;
            let place = self.place(key, version, label.form);
            bytes = keys.unseal(id, &place, &bytes).await.map_err(|error| match error {
                KeyError::Missing { .. } | KeyError::NotSealed { .. } => damaged(&error.to_string()),
                error => StoreError::Unavailable(error.to_string()),
            })?;
        }
        let mut body = match label.form {
            Form::Plain => return Ok(Bytes::from(bytes)),
            Form::Whole => Vec::new(),
            Form::Headless => head(key, version).into_bytes(),
        };
        compression::decompress(bytes, &mut body).map_err(damaged)?;
        Ok(Bytes::from(body))
    }

    /// Removes what [`Codec::encode`] keeps of this key and version outside of their document; nothing if that is nothing.
    pub(super) async fn remove(
        &self,
        key: &Key,
        version: u64,
        z: &str,
        e: Option<&str>,
    ) -> Result<(), StoreError> {
        match (e.and_then(Label::parse), &self.overflow) {
            (Some(label), Some(blobs)) if label.in_blob => blobs.remove(&self.tenant, key, version, z).await,
            (Some(label), None) if label.in_blob => Err(StoreError::Unavailable(format!(
                "{} is in a Blob container, and none is configured",
                key.as_str()
            ))),
            _ => Ok(()),
        }
    }

    /// Whether a body is encrypted with the current key, or need not be encrypted: what it was read from may stay.
    pub fn is_current(&self, e: Option<&str>) -> bool {
        let with = e.and_then(Label::parse).and_then(|label| label.key);
        with == self.current_key()
    }

    /// The key that bodies are encrypted with, if they are.
    fn current_key(&self) -> Option<KeyId> {
        self.keys.as_ref().and_then(|keys| keys.current().ok())
    }

    /// What encrypted bytes are bound to.
    fn place(&self, key: &Key, version: u64, form: Form) -> String {
        let form = Label { form, key: None, in_blob: false };
        format!("{}/{}/{version}/{form}", self.tenant.as_str(), key.as_str())
    }
}

/// The fewest bytes that say the body.
fn squeezed<'b>(key: &Key, version: u64, body: &'b [u8]) -> Result<(Form, Cow<'b, [u8]>), StoreError> {
    if body.len() < WORTH_COMPRESSING {
        return Ok((Form::Plain, Cow::Borrowed(body)));
    }
    let (form, content) = match body.strip_prefix(head(key, version).as_bytes()) {
        Some(rest) => (Form::Headless, rest),
        None => (Form::Whole, body),
    };
    let compressed = compression::compress(content)
        .map_err(|error| StoreError::Storage(format!("compressing {}: {error}", key.as_str())))?;
    Ok((form, Cow::Owned(compressed)))
}

/// The body as it is, where it is text and takes no more of a document than what it was squeezed to.
fn plain<'b>(body: &'b [u8], squeezed: &[u8]) -> Option<&'b str> {
    let text = std::str::from_utf8(body).ok()?;
    let most = (text::length(squeezed.len()) + LABEL + 1).min(MOST_TEXT);
    (escaped_length(text) <= most || body.len() < WORTH_COMPRESSING).then_some(text)
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
mod tests;
