//! `vesta dev-cert`: a certificate authority and a server certificate for a machine of one's own. Not for anything that others rely on.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

/// How long the authority counts, days.
const AUTHORITY_DAYS: i64 = 3650;
/// How long a server's certificate counts, days: browsers take no more.
const SERVER_DAYS: i64 = 397;

/// No certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum DevCertError {
    /// A file cannot be read or written.
    #[error("cannot use {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A name that no certificate can have, or an authority that cannot be read.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Makes both in a directory, and prints how to use them.
///
/// # Errors
/// [`DevCertError`].
pub fn dev_cert(directory: &Path, names: &[String]) -> Result<(), DevCertError> {
    let fault = |path: &Path, error| DevCertError::File { path: path.to_owned(), error };
    std::fs::create_dir_all(directory).map_err(|error| fault(directory, error))?;
    let (authority, authority_key) = (directory.join("ca.pem"), directory.join("ca-key.pem"));
    let key = match std::fs::read_to_string(&authority_key) {
        Ok(text) => KeyPair::from_pem(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = KeyPair::generate()?;
            write_secret(&authority_key, &key.serialize_pem())
                .map_err(|error| fault(&authority_key, error))?;
            key
        }
        Err(error) => return Err(fault(&authority_key, error)),
    };
    let params = authority_params()?;
    if !authority.exists() {
        let certificate = params.self_signed(&key)?;
        std::fs::write(&authority, certificate.pem()).map_err(|error| fault(&authority, error))?;
    }
    let issuer = Issuer::new(params, key);
    let server_key = KeyPair::generate()?;
    let certificate = server_params(names)?.signed_by(&server_key, &issuer)?;
    let (chain, secret) = (directory.join("server.pem"), directory.join("server-key.pem"));
    std::fs::write(&chain, certificate.pem()).map_err(|error| fault(&chain, error))?;
    write_secret(&secret, &server_key.serialize_pem()).map_err(|error| fault(&secret, error))?;
    println!("{}", told(&authority, &chain, &secret));
    Ok(())
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = named("Vesta local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lasting(&mut params, AUTHORITY_DAYS);
    Ok(params)
}

fn server_params(names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let more = names.iter().filter(|name| !own.contains(name)).cloned();
    let mut params = CertificateParams::new(own.iter().cloned().chain(more).collect::<Vec<_>>())?;
    let first = names.iter().find(|name| name.parse::<IpAddr>().is_err());
    params.distinguished_name = named(first.map_or("localhost", String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    lasting(&mut params, SERVER_DAYS);
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut own = DistinguishedName::new();
    own.push(DnType::CommonName, name);
    own
}

/// From yesterday, for clocks that differ.
fn lasting(params: &mut CertificateParams, days: i64) {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let at = |days: i64| {
        let date = today.saturating_add(jiff::Span::new().days(days));
        let (month, day) = (u8::try_from(date.month()).unwrap_or(1), u8::try_from(date.day()).unwrap_or(1));
        rcgen::date_time_ymd(i32::from(date.year()), month, day)
    };
    params.not_before = at(-1);
    params.not_after = at(days);
}

fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

fn told(authority: &Path, chain: &Path, key: &Path) -> String {
    let (authority, chain, key) = (authority.display(), chain.display(), key.display());
    format!(
        "Serve with:  vesta serve --authorization --tls-certificate {chain} --tls-key {key}\n\
         \n\
         Others have to trust the authority {authority}:\n\
         \x20 curl             curl --cacert {authority} https://localhost:8080/fhir/metadata\n\
         \x20 Debian, Ubuntu   sudo cp {authority} /usr/local/share/ca-certificates/vesta.crt && sudo update-ca-certificates\n\
         \x20 Fedora           sudo trust anchor {authority}\n\
         \x20 macOS            sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {authority}\n\
         \x20 Windows          certutil -addstore -f ROOT {authority}\n\
         \x20 Firefox          Settings, Privacy & Security, Certificates, Authorities, Import\n\
         \x20 Node.js          NODE_EXTRA_CA_CERTS={authority}\n\
         \x20 Python           REQUESTS_CA_BUNDLE={authority} SSL_CERT_FILE={authority}\n\
         \x20 Ruby, in Docker  mount it below /usr/local/share/ca-certificates and run update-ca-certificates\n\
         Keep ca-key.pem to yourself: who has it can pretend to be any server to those who trust the authority."
    )
}
