//! TLS 1.2 and 1.3 by rustls; nothing older is spoken. The certificate is read again when its files change, and one that cannot be
//! used changes nothing but the log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsAcceptor;

use crate::config::Config;
use crate::open::OpenError;
use crate::tenants::watch::{Mark, mark};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The certificate of a server, as it is now.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl Certificate {
    /// The certificate of a configuration, if it names one.
    ///
    /// # Errors
    /// Files that cannot be read, or do not fit each other.
    pub fn of(config: &Config) -> Result<Option<Arc<Certificate>>, OpenError> {
        let (Some(chain), Some(key)) = (&config.tls_certificate, &config.tls_key) else { return Ok(None) };
        let read = read(chain, key).map_err(OpenError::Tls)?;
        let (chain, key) = (chain.clone(), key.clone());
        Ok(Some(Arc::new(Certificate { chain, key, config: RwLock::new(Arc::new(read)) })))
    }

    /// What takes connections now.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn marks(&self) -> (Mark, Mark) {
        (mark(&self.chain), mark(&self.key))
    }

    /// Watches the files until the server stops.
    pub async fn watch(self: Arc<Certificate>) {
        let mut seen = self.marks();
        loop {
            tokio::time::sleep(EVERY).await;
            let found = self.marks();
            if found == seen {
                continue;
            }
            seen = found;
            match read(&self.chain, &self.key) {
                Ok(config) => {
                    *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    tracing::info!("the certificate was read again");
                }
                Err(error) => {
                    tracing::error!(
                        error,
                        "the certificate was changed and cannot be used; the one before stays"
                    );
                }
            }
        }
    }
}

fn read(chain: &Path, key: &Path) -> Result<ServerConfig, String> {
    let of = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let certificates = CertificateDer::pem_file_iter(chain).map_err(|error| of(chain, &error))?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    let certificates = certificates.map_err(|error| of(chain, &error))?;
    if certificates.is_empty() {
        return Err(of(chain, &"it has no certificate in PEM form"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| of(key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let built = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, secret));
    let mut config = built.map_err(|error| of(chain, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
