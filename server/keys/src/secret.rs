//! A secret, of the text that says where it is: `file:PATH`, `keyvault:URL`, or the secret itself.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use azure_core::credentials::{Secret, TokenCredential};

use crate::{Vault, VaultError};

/// Longest secret, bytes: Key Vault's limit is 25 KiB.
const MOST: u64 = 64 << 10;

/// A secret cannot be had. Never holds its text.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// What is there is no secret.
    #[error("{origin} {why}")]
    Unusable {
        /// Where it is.
        origin: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A secret in Key Vault, and nothing to prove who this process is.
    #[error("{0} needs an Entra ID credential to be read with, and none is configured")]
    NoCredential(String),
    /// Key Vault does not give it.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// Here.
    Given(String),
    /// In a file.
    File(PathBuf),
    /// In a Key Vault: `https://NAME.vault.azure.net/secrets/x`, or one version of it: `.../secrets/x/VERSION`.
    KeyVault(String),
}

impl SecretSource {
    /// What a configured text says.
    pub fn of(text: &str) -> SecretSource {
        match (text.strip_prefix("file:"), text.strip_prefix("keyvault:")) {
            (Some(path), _) => SecretSource::File(PathBuf::from(path)),
            (_, Some(url)) => SecretSource::KeyVault(url.to_owned()),
            _ => SecretSource::Given(text.to_owned()),
        }
    }
}

/// Never shows a secret.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Given(_) => f.write_str("the secret that is given"),
            SecretSource::File(path) => write!(f, "file:{}", path.display()),
            SecretSource::KeyVault(url) => write!(f, "keyvault:{url}"),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The secret that a configured text is, or says where it is. `credential` is what Key Vault is asked with.
///
/// # Errors
/// [`SecretError`].
pub async fn read(text: &str, credential: Option<&Arc<dyn TokenCredential>>) -> Result<Secret, SecretError> {
    let source = SecretSource::of(text);
    let secret = match &source {
        SecretSource::Given(secret) => secret.clone(),
        SecretSource::File(path) => read_file(path)?,
        SecretSource::KeyVault(url) => {
            let credential = credential.ok_or_else(|| SecretError::NoCredential(source.to_string()))?;
            Vault::secret_at(url, credential).await?
        }
    };
    usable(secret, &source)
}

fn usable(secret: String, source: &SecretSource) -> Result<Secret, SecretError> {
    if secret.is_empty() {
        return Err(SecretError::Unusable { origin: source.to_string(), why: "is empty" });
    }
    Ok(Secret::new(secret))
}

/// The text of a file without the line end at its end. Warns where others than its owner can read it.
fn read_file(path: &Path) -> Result<String, SecretError> {
    let fault = |error| SecretError::File { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(fault)?;
    warn_of_mode(path, &file.metadata().map_err(fault)?);
    let mut text = String::new();
    file.take(MOST + 1).read_to_string(&mut text).map_err(fault)?;
    if text.len() as u64 > MOST {
        let origin = format!("file:{}", path.display());
        return Err(SecretError::Unusable { origin, why: "is longer than 64 KiB: it is no secret" });
    }
    let end =
        text.strip_suffix('\n').map_or(text.len(), |text| text.strip_suffix('\r').unwrap_or(text).len());
    text.truncate(end);
    Ok(text)
}

#[cfg(unix)]
fn warn_of_mode(path: &Path, metadata: &std::fs::Metadata) {
    use std::os::unix::fs::MetadataExt as _;
    if is_open(metadata.mode()) {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{:o}", metadata.mode() & 0o777),
            "others than its owner can read this secret: chmod 600 it"
        );
    }
}

#[cfg(not(unix))]
fn warn_of_mode(_: &Path, _: &std::fs::Metadata) {}

/// Whether the mode lets others write it, or everybody read it. The group may read: that is how orchestrators mount secrets.
#[cfg(unix)]
fn is_open(mode: u32) -> bool {
    mode & 0o027 != 0
}

/// A secret that may change while the process runs: a file is read again when its time or length is another. What is given
/// stays, and so does what Key Vault gave.
pub struct Watched {
    source: SecretSource,
    known: Mutex<(Option<Stamp>, Secret)>,
}

type Stamp = (SystemTime, u64);

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({})", self.source)
    }
}

impl Watched {
    /// Reads the secret for the first time.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn open(
        text: &str,
        credential: Option<&Arc<dyn TokenCredential>>,
    ) -> Result<Watched, SecretError> {
        let source = SecretSource::of(text);
        // Before the text: a change in between is then seen at the next look.
        let stamp = stamp(&source);
        let secret = read(text, credential).await?;
        Ok(Watched { source, known: Mutex::new((stamp, secret)) })
    }

    /// The secret as it is now. A file that cannot be read, or is empty, while it is being replaced leaves the last one.
    pub fn current(&self) -> Secret {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp(&self.source);
        if now != known.0
            && let SecretSource::File(path) = &self.source
            && let Ok(secret) = read_file(path).and_then(|text| usable(text, &self.source))
        {
            *known = (now, secret);
        }
        known.1.clone()
    }
}

fn stamp(source: &SecretSource) -> Option<Stamp> {
    let SecretSource::File(path) = source else { return None };
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::NamedTempFile, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let configured = format!("file:{}", file.path().display());
        (file, configured)
    }

    #[tokio::test]
    async fn a_secret_is_given_or_in_a_file() {
        assert_eq!(read("s3cret", None).await.unwrap().secret(), "s3cret");
        let check = async |text: &str, secret: &str| {
            let (_file, configured) = file(text);
            assert_eq!(read(&configured, None).await.unwrap().secret(), secret, "{text:?}");
        };
        check("s3cret", "s3cret").await;
        check("s3cret\n", "s3cret").await;
        check("s3cret\r\n", "s3cret").await;
        check(" s3 cret\n\n", " s3 cret\n").await;
    }

    #[tokio::test]
    async fn what_is_no_secret_is_refused_and_not_shown() {
        let check = async |configured: &str, expected: &str| {
            assert_eq!(read(configured, None).await.unwrap_err().to_string(), expected);
        };
        check("", "the secret that is given is empty").await;
        check(
            "file:/nowhere/at-all",
            "cannot read the secret in /nowhere/at-all: No such file or directory (os error 2)",
        )
        .await;
        let (_file, empty) = file("\n");
        check(&empty, &format!("{empty} is empty")).await;
        let (_file, long) = file(&"x".repeat(70_000));
        check(&long, &format!("{long} is longer than 64 KiB: it is no secret")).await;
        check(
            "keyvault:https://acme.vault.azure.net/secrets/db",
            "keyvault:https://acme.vault.azure.net/secrets/db needs an Entra ID credential to be read with, and none is configured",
        )
        .await;
    }

    #[tokio::test]
    async fn nothing_shows_a_secret() {
        let secret = read("s3cret", None).await.unwrap();
        let watched = Watched::open("s3cret", None).await.unwrap();
        let source = SecretSource::of("s3cret");
        let shown = format!("{secret:?} {watched:?} {source:?} {source}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[tokio::test]
    async fn a_file_that_changes_is_read_again() {
        let (file, configured) = file("one\n");
        let watched = Watched::open(&configured, None).await.unwrap();
        assert_eq!(watched.current().secret(), "one");
        std::fs::write(file.path(), "second\n").unwrap();
        assert_eq!(watched.current().secret(), "second");
        std::fs::write(file.path(), "").unwrap();
        assert_eq!(watched.current().secret(), "second", "a file that is being replaced");
        std::fs::remove_file(file.path()).unwrap();
        assert_eq!(watched.current().secret(), "second");
        std::fs::write(file.path(), "third").unwrap();
        assert_eq!(watched.current().secret(), "third");
    }

    #[cfg(unix)]
    #[test]
    fn modes_that_others_can_use_are_warned_of() {
        let check = |mode: u32, open: bool| assert_eq!(is_open(mode), open, "{mode:o}");
        check(0o100_600, false);
        check(0o100_400, false);
        check(0o100_440, false);
        check(0o100_640, false);
        check(0o100_644, true);
        check(0o100_660, true);
        check(0o100_604, true);
        check(0o100_602, true);
    }
}
