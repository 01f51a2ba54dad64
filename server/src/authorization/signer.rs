//! The keys of id_tokens, of crate `keys`: RS256, kept wrapped in a directory. All tenants' issuers share them; the issuer is in what is
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

/// The keys of a configuration; makes the first one where there is none.
///
/// # Errors
/// A directory or a wrapping key that cannot be used.
pub async fn open(config: &Config) -> Result<Arc<dyn Signer>, OpenError> {
    let directory = config.signing_keys.clone().unwrap_or_else(|| config.data.join(DIRECTORY));
    let wrapping = match config.signing_wrapping_key.is_none() {
        false => open::secret(config, &config.signing_wrapping_key).await?.secret().to_owned(),
        true => own_wrapping_key(&directory)
            .map_err(|error| OpenError::Signing(format!("cannot use {}: {error}", directory.display())))?,
    };
    let failed = |error: KeyError| OpenError::Signing(error.to_string());
    let provider = Arc::new(FileKeys::open(&directory, wrapping.trim()).map_err(failed)?);
    let keys = SigningKeys::open(provider, SET, SigningAlgorithm::Rs256).await.map_err(failed)?;
    tokio::spawn(refresh(keys.clone()));
    Ok(Arc::new(Keys(keys)))
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

struct Keys(SigningKeys);

impl Signer for Keys {
    fn current(&self) -> (String, Algorithm) {
        let kid = self.0.published().last().map(|key| key.id.to_string()).unwrap_or_default();
        (kid, Algorithm::Rs256)
    }

    fn sign(&self, kid: &str, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let (id, signature) = self.0.sign(message).map_err(|error| SignError::Failed(error.to_string()))?;
        if id.to_string() == kid { Ok(signature) } else { Err(SignError::Replaced) }
    }

    fn published(&self) -> Vec<PublicKey> {
        self.0.published().into_iter().map(published).collect()
    }
}

fn published(key: keys::PublicKey) -> PublicKey {
    let parts = match key.parts {
        keys::PublicParts::Rsa { n, e } => PublicParts::Rsa { n, e },
        keys::PublicParts::Ec { x, y } => PublicParts::P384 { x, y },
    };
    let algorithm = match key.algorithm {
        SigningAlgorithm::Rs256 => Algorithm::Rs256,
        SigningAlgorithm::Rs384 => Algorithm::Rs384,
        SigningAlgorithm::Es384 => Algorithm::Es384,
    };
    PublicKey { kid: Some(key.id.to_string()), algorithm: Some(algorithm), parts }
}
