//! The types that configuration values have, each read from texts.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use conformance::UsCore;
use interaction::ValidationLevel;

/// A type of configuration values.
pub trait KeyType: Sized {
    /// What it is, in words.
    const NAME: &'static str;
    /// Whether it takes several values.
    const IS_LIST: bool = false;
    /// Whether its text may stand only where others do not read it, and is never shown.
    const IS_SECRET: bool = false;

    /// The value that stands before the default is applied.
    fn blank() -> Self;

    /// Reads it; `None` if the texts are not of this type.
    fn read(texts: &[String]) -> Option<Self>;
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// In a directory of this machine.
    Embedded,
    /// In Azure Cosmos DB.
    Cosmos,
}

/// Whether there is an audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditLog {
    /// Where authorization is on.
    Auto,
    /// There is.
    On,
    /// There is none.
    Off,
}

/// Who may register apps by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Nobody.
    Off,
    /// Who has the token.
    Token,
    /// Everybody.
    Open,
}

/// As whom Microsoft Entra ID knows this server, as [`keys::entra`] reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity(String);

impl Identity {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A secret as it is configured: `file:PATH`, `keyvault:URL`, or the secret itself. Its text is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Of a text as it is configured.
    pub fn new(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it says where the secret is, and does not hold it.
    pub fn is_reference(&self) -> bool {
        self.0.starts_with("file:") || self.0.starts_with("keyvault:")
    }

    /// As it is configured, to be resolved.
    pub fn as_configured(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.is_none(), self.is_reference()) {
            (true, _) => "none",
            (_, true) => &self.0,
            _ => "a secret",
        })
    }
}

/// Networks of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

impl Networks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|(network, length)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*length)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        })
    }
}

/// `10.0.0.0/8`, or one address.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(most), |length| length.parse().ok())?;
    (length <= most).then_some((address, length))
}

fn only(texts: &[String]) -> Option<&str> {
    match texts {
        [one] => Some(one.trim()),
        _ => None,
    }
}

impl KeyType for UsCore {
    const NAME: &'static str = "6.1.0, 7.0.0 or 8.0.0";
    fn blank() -> UsCore {
        UsCore::default()
    }
    fn read(texts: &[String]) -> Option<UsCore> {
        UsCore::of_version(only(texts)?)
    }
}

impl KeyType for PathBuf {
    const NAME: &'static str = "a path";
    fn blank() -> PathBuf {
        PathBuf::new()
    }
    fn read(texts: &[String]) -> Option<PathBuf> {
        only(texts).filter(|text| !text.is_empty()).map(PathBuf::from)
    }
}

impl KeyType for Option<PathBuf> {
    const NAME: &'static str = "a path";
    fn blank() -> Option<PathBuf> {
        None
    }
    fn read(texts: &[String]) -> Option<Option<PathBuf>> {
        only(texts).map(|text| (!text.is_empty()).then(|| PathBuf::from(text)))
    }
}

impl KeyType for Secret {
    const NAME: &'static str = "a secret: file:PATH, keyvault:URL, or in the environment the secret itself";
    const IS_SECRET: bool = true;
    fn blank() -> Secret {
        Secret::default()
    }
    fn read(texts: &[String]) -> Option<Secret> {
        only(texts).map(Secret::new)
    }
}

impl KeyType for EngineKind {
    const NAME: &'static str = "embedded or cosmos";
    fn blank() -> EngineKind {
        EngineKind::Embedded
    }
    fn read(texts: &[String]) -> Option<EngineKind> {
        match only(texts)? {
            "embedded" => Some(EngineKind::Embedded),
            "cosmos" => Some(EngineKind::Cosmos),
            _ => None,
        }
    }
}

impl KeyType for AuditLog {
    const NAME: &'static str = "auto, on or off";
    fn blank() -> AuditLog {
        AuditLog::Auto
    }
    fn read(texts: &[String]) -> Option<AuditLog> {
        match only(texts)? {
            "auto" => Some(AuditLog::Auto),
            "on" => Some(AuditLog::On),
            "off" => Some(AuditLog::Off),
            _ => None,
        }
    }
}

impl KeyType for Registration {
    const NAME: &'static str = "off, token or open";
    fn blank() -> Registration {
        Registration::Off
    }
    fn read(texts: &[String]) -> Option<Registration> {
        match only(texts)? {
            "off" => Some(Registration::Off),
            "token" => Some(Registration::Token),
            "open" => Some(Registration::Open),
            _ => None,
        }
    }
}

impl KeyType for ValidationLevel {
    const NAME: &'static str = "off, base or profiles";
    fn blank() -> ValidationLevel {
        ValidationLevel::Base
    }
    fn read(texts: &[String]) -> Option<ValidationLevel> {
        match only(texts)? {
            "off" => Some(ValidationLevel::Off),
            "base" => Some(ValidationLevel::Base),
            "profiles" => Some(ValidationLevel::Profiles),
            _ => None,
        }
    }
}

impl KeyType for Identity {
    const NAME: &'static str = "managed-identity, managed-identity:CLIENT_ID, workload-identity or developer";
    fn blank() -> Identity {
        Identity::default()
    }
    fn read(texts: &[String]) -> Option<Identity> {
        let text = only(texts)?;
        let is_known = matches!(text, "managed-identity" | "workload-identity" | "developer")
            || text.strip_prefix("managed-identity:").is_some_and(|id| !id.trim().is_empty());
        is_known.then(|| Identity(text.to_owned()))
    }
}

impl KeyType for Networks {
    const NAME: &'static str = "addresses or networks (10.0.0.0/8)";
    const IS_LIST: bool = true;
    fn blank() -> Networks {
        Networks::default()
    }
    fn read(texts: &[String]) -> Option<Networks> {
        texts.iter().map(|text| network(text.trim())).collect::<Option<_>>().map(Networks)
    }
}

impl KeyType for u32 {
    const NAME: &'static str = "a whole number";
    fn blank() -> u32 {
        0
    }
    fn read(texts: &[String]) -> Option<u32> {
        only(texts)?.replace('_', "").parse().ok()
    }
}

impl KeyType for Vec<PathBuf> {
    const NAME: &'static str = "paths";
    const IS_LIST: bool = true;
    fn blank() -> Vec<PathBuf> {
        Vec::new()
    }
    fn read(texts: &[String]) -> Option<Vec<PathBuf>> {
        Some(texts.iter().map(PathBuf::from).collect())
    }
}

impl KeyType for Vec<String> {
    const NAME: &'static str = "texts";
    const IS_LIST: bool = true;
    fn blank() -> Vec<String> {
        Vec::new()
    }
    fn read(texts: &[String]) -> Option<Vec<String>> {
        Some(texts.to_vec())
    }
}

impl KeyType for SocketAddr {
    const NAME: &'static str = "ADDRESS:PORT";
    fn blank() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }
    fn read(texts: &[String]) -> Option<SocketAddr> {
        let text = only(texts)?;
        text.strip_prefix("localhost:").map_or_else(
            || text.parse().ok(),
            |port| Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
        )
    }
}

impl KeyType for String {
    const NAME: &'static str = "a text";
    fn blank() -> String {
        String::new()
    }
    fn read(texts: &[String]) -> Option<String> {
        only(texts).map(str::to_owned)
    }
}

impl KeyType for Option<String> {
    const NAME: &'static str = "a text";
    fn blank() -> Option<String> {
        None
    }
    fn read(texts: &[String]) -> Option<Option<String>> {
        only(texts).map(|text| (!text.is_empty()).then(|| text.to_owned()))
    }
}

impl KeyType for bool {
    const NAME: &'static str = "true or false";
    fn blank() -> bool {
        false
    }
    fn read(texts: &[String]) -> Option<bool> {
        only(texts)?.parse().ok()
    }
}

impl KeyType for usize {
    const NAME: &'static str = "a whole number";
    fn blank() -> usize {
        0
    }
    fn read(texts: &[String]) -> Option<usize> {
        only(texts)?.replace('_', "").parse().ok()
    }
}

impl KeyType for u64 {
    const NAME: &'static str = "a whole number";
    fn blank() -> u64 {
        0
    }
    fn read(texts: &[String]) -> Option<u64> {
        only(texts)?.replace('_', "").parse().ok()
    }
}

impl KeyType for LogFormat {
    const NAME: &'static str = "text or json";
    fn blank() -> LogFormat {
        LogFormat::Text
    }
    fn read(texts: &[String]) -> Option<LogFormat> {
        match only(texts)? {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
}
