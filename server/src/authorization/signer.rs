//! The keys of id_tokens, of crate `keys`: RS256 and ES256, kept wrapped in a directory. All tenants' issuers share them; the issuer is in what is
//! signed.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keys::{FileKeys, KeyError, SigningAlgorithm, SigningKeys};
use smart::jwt::{Algorithm, PublicKey, PublicParts, SignError, Signer};

use crate::config::Config;
use crate::open::{self, OpenError};

/// The set of keys.
const SET: &str = "vesta";
/// The directory of keys in the data directory; no tenant can have this name.
const DIRECTORY: &str = "signing_keys";
/// How often keys that other processes made are looked for.
const EVERY: Duration = Duration::from_secs(60);

/// The keys of a configuration for one algorithm; makes the first one where there is none.
///
/// # Errors
/// A directory or a wrapping key that cannot be used.
pub async fn open(config: &Config, algorithm: SigningAlgorithm) -> Result<Arc<dyn Signer>, OpenError> {
    let keys = signing_keys(config, algorithm).await?;
    tokio::spawn(refresh(keys.clone()));
    Ok(Arc::new(Keys { keys, algorithm }))
}

/// Makes new keys, that sign from now on; servers that share them take them over within a minute. Gives the algorithms with their
/// ids.
///
/// # Errors
/// A directory or a wrapping key that cannot be used.
pub async fn rotate(config: &Config) -> Result<Vec<(&'static str, String)>, OpenError> {
    let mut made = Vec::new();
    for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es256] {
        let key = signing_keys(config, algorithm).await?.rotate().await;
        let key = key.map_err(|error| OpenError::Signing(error.to_string()))?;
        made.push((algorithm.name(), key.to_string()));
    }
    Ok(made)
}

async fn signing_keys(config: &Config, algorithm: SigningAlgorithm) -> Result<SigningKeys, OpenError> {
    let directory = config.signing_keys.clone().unwrap_or_else(|| config.data.join(DIRECTORY));
    let wrapping = match config.signing_wrapping_key.is_none() {
        false => open::secret(config, &config.signing_wrapping_key).await?.secret().to_owned(),
        true => own_wrapping_key(&directory)
            .map_err(|error| OpenError::Signing(format!("cannot use {}: {error}", directory.display())))?,
    };
    let failed = |error: KeyError| OpenError::Signing(error.to_string());
    let provider = Arc::new(FileKeys::open(&directory, wrapping.trim()).map_err(failed)?);
    SigningKeys::open(provider, SET, algorithm).await.map_err(failed)
}

/// The key that is kept beside the others where none is configured: whoever reads the one reads all, so the directory is the
/// owner's alone.
fn own_wrapping_key(directory: &Path) -> std::io::Result<String> {
    let path = directory.join("wrapping.key");
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        read => return read,
    }
    std::fs::create_dir_all(directory)?;
    let key = keys::new_wrapping_key().map_err(std::io::Error::other)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    Ok(key)
}

async fn refresh(keys: SigningKeys) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = keys.refresh().await {
            tracing::warn!(%error, "signing keys cannot be read again; those known stay");
        }
    }
}

struct Keys {
    keys: SigningKeys,
    algorithm: SigningAlgorithm,
}

impl Signer for Keys {
    fn current(&self) -> (String, Algorithm) {
        let kid = self.keys.published().last().map(|key| key.id.to_string()).unwrap_or_default();
        (kid, named(self.algorithm))
    }

    fn sign(&self, kid: &str, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let (id, signature) =
            self.keys.sign(message).map_err(|error| SignError::Failed(error.to_string()))?;
        if id.to_string() == kid { Ok(signature) } else { Err(SignError::Replaced) }
    }

    fn published(&self) -> Vec<PublicKey> {
        self.keys.published().into_iter().map(published).collect()
    }
}

fn named(algorithm: SigningAlgorithm) -> Algorithm {
    match algorithm {
        SigningAlgorithm::Rs256 => Algorithm::Rs256,
        SigningAlgorithm::Rs384 => Algorithm::Rs384,
        SigningAlgorithm::Es256 => Algorithm::Es256,
        SigningAlgorithm::Es384 => Algorithm::Es384,
    }
}

fn published(key: keys::PublicKey) -> PublicKey {
    let algorithm = named(key.algorithm);
    let parts = match key.parts {
        keys::PublicParts::Rsa { n, e } => PublicParts::Rsa { n, e },
        keys::PublicParts::Ec { x, y } if algorithm == Algorithm::Es256 => PublicParts::P256 { x, y },
        keys::PublicParts::Ec { x, y } => PublicParts::P384 { x, y },
    };
    PublicKey { kid: Some(key.id.to_string()), algorithm: Some(algorithm), parts }
}
