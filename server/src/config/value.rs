//! The types that configuration values have, each read from texts.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A type of configuration values.
pub trait KeyType: Sized {
    /// What it is, in words.
    const NAME: &'static str;
    /// Whether it takes several values.
    const IS_LIST: bool = false;

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

fn only(texts: &[String]) -> Option<&str> {
    match texts {
        [one] => Some(one.trim()),
        _ => None,
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
