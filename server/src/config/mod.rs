//! Configuration: the keys of [`KEYS`], read from the defaults, one TOML file, the environment and flags, later ones
//! first. Knows where a value came from when it refuses it; opens nothing but the file.

mod keys;
mod value;

use std::path::{Path, PathBuf};

pub use keys::{Config, KEYS};
pub use value::{AuditLog, EngineKind, Identity, KeyType, LogFormat, Networks, Registration, Secret};

/// One configuration key.
pub struct Key {
    /// Its name in the file; `VESTA_` and capitals in the environment, with hyphens as a flag.
    pub name: &'static str,
    /// What its value is, in words.
    pub type_name: &'static str,
    /// Whether it takes several values: an array in the file, commas in the environment, a repeated flag.
    pub is_list: bool,
    /// Whether its value is never shown, and never read from where others see it.
    pub is_secret: bool,
    /// Its default, as it would be written in the environment.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Reads it into the configuration; false if the values are not of its type.
    set: fn(&mut Config, &[String]) -> bool,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The built-in default.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {message}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system or the TOML parser says.
        message: String,
    },
    /// A key that does not exist.
    #[error("{origin}: there is no key `{name}`{}; `vesta config` lists all keys", hint(.near.as_deref()))]
    UnknownKey {
        /// The key as written.
        name: String,
        /// Where it is written.
        origin: String,
        /// The key that may have been meant.
        near: Option<String>,
    },
    /// A value that the key cannot take.
    #[error("{origin}: `{name}` takes {expected}, not `{found}`")]
    Value {
        /// The key.
        name: &'static str,
        /// Where it is written.
        origin: String,
        /// What it takes.
        expected: &'static str,
        /// What was written.
        found: String,
    },
    /// A secret where others can read it. The value is not repeated.
    #[error(
        "{origin}: `{name}` is a secret, and it would be seen here; set {variable}, or say where it is kept: file:PATH or keyvault:URL"
    )]
    Secret {
        /// The key.
        name: &'static str,
        /// Where it is written.
        origin: String,
        /// Its variable.
        variable: String,
    },
    /// A combination that is refused.
    #[error("{0}")]
    Refused(String),
}

fn hint(near: Option<&str>) -> String {
    near.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

impl Key {
    /// `VESTA_BIND`.
    pub fn variable(&self) -> String {
        format!("VESTA_{}", self.name.to_ascii_uppercase())
    }

    /// `base-url`, without the leading hyphens.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    fn apply(&self, config: &mut Config, values: &[String], source: &Source) -> Result<(), ConfigError> {
        let origin = match source {
            Source::Default => "default".to_owned(),
            Source::File(path) => path.display().to_string(),
            Source::Environment => self.variable(),
            Source::Flag => format!("--{}", self.flag()),
        };
        let is_seen = matches!(source, Source::File(_) | Source::Flag);
        let literal = |text: &String| !text.is_empty() && !Secret::new(text).is_reference();
        if self.is_secret && is_seen && values.iter().any(literal) {
            return Err(ConfigError::Secret { name: self.name, origin, variable: self.variable() });
        }
        if (self.set)(config, values) {
            return Ok(());
        }
        Err(ConfigError::Value {
            name: self.name,
            origin,
            expected: self.type_name,
            found: if self.is_secret { "what it has".to_owned() } else { values.join(", ") },
        })
    }
}

/// The key of a name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Reads the configuration: `flags` (key and values) over `environment` over the file over the defaults.
///
/// # Errors
/// An unreadable file, an unknown key or variable by name, a value of the wrong type.
pub fn load(
    file: Option<&Path>,
    environment: &[(String, String)],
    flags: &[(&'static str, Vec<String>)],
) -> Result<Config, ConfigError> {
    let mut config = Config::blank();
    for key in KEYS {
        key.apply(&mut config, &split(key, key.default), &Source::Default)?;
    }
    if let Some(path) = file {
        read_file(&mut config, path)?;
    }
    for (name, text) in environment {
        read_variable(&mut config, name, text)?;
    }
    for (name, values) in flags {
        if let Some(key) = key(name) {
            key.apply(&mut config, values, &Source::Flag)?;
        }
    }
    Ok(config)
}

fn read_variable(config: &mut Config, name: &str, text: &str) -> Result<(), ConfigError> {
    // VESTA_CONFIG names the file, VESTA_PASSWORD is for `vesta user`, and VESTA_SHARED_DATA and VESTA_REQUIRE_SUITES belong
    // to the tests.
    if matches!(name, "VESTA_CONFIG" | "VESTA_PASSWORD" | "VESTA_SHARED_DATA" | "VESTA_REQUIRE_SUITES") {
        return Ok(());
    }
    match KEYS.iter().find(|key| key.variable() == name) {
        Some(key) => key.apply(config, &split(key, text), &Source::Environment),
        None => Err(unknown(name, "environment", |key| key.variable())),
    }
}

fn split(key: &Key, text: &str) -> Vec<String> {
    if key.is_list {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    } else {
        vec![text.to_owned()]
    }
}

fn read_file(config: &mut Config, path: &Path) -> Result<(), ConfigError> {
    let fault = |message: String| ConfigError::File { path: path.to_owned(), message };
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| fault(error.to_string()))?;
    let source = Source::File(path.to_owned());
    for (name, value) in &table {
        let Some(key) = key(name) else {
            return Err(unknown(name, &path.display().to_string(), |key| key.name.to_owned()));
        };
        key.apply(config, &texts(value), &source)?;
    }
    Ok(())
}

/// The value as texts; what no key accepts becomes a description, for the message.
fn texts(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Array(items) => items.iter().flat_map(texts).collect(),
        toml::Value::Integer(number) => vec![number.to_string()],
        toml::Value::Boolean(flag) => vec![flag.to_string()],
        toml::Value::Float(_) => vec!["a decimal number".to_owned()],
        toml::Value::Datetime(_) => vec!["a date".to_owned()],
        toml::Value::Table(_) => vec!["a table".to_owned()],
    }
}

fn unknown(name: &str, origin: &str, spelled: impl Fn(&Key) -> String) -> ConfigError {
    let near = KEYS
        .iter()
        .map(spelled)
        .map(|known| (crate::nearest::distance(name, &known), known))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, known)| known);
    ConfigError::UnknownKey { name: name.to_owned(), origin: origin.to_owned(), near }
}

impl Config {
    /// Whether there is an audit log.
    pub fn is_audited(&self) -> bool {
        match self.audit {
            AuditLog::Auto => self.authorization,
            AuditLog::On => true,
            AuditLog::Off => false,
        }
    }

    /// Whether what is configured may be run.
    ///
    /// # Errors
    /// A bind address that others can reach, without authorization or without TLS, unless a key names that danger; keys that
    /// lack what they need.
    pub fn check_exposure(&self) -> Result<(), ConfigError> {
        let refuse = |text: String| Err(ConfigError::Refused(text));
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return refuse("tls_certificate and tls_key go together; give both".to_owned());
        }
        if self.authorization_registration == Registration::Token
            && self.authorization_registration_token.is_none()
        {
            let text = "authorization_registration = token needs authorization_registration_token";
            return refuse(text.to_owned());
        }
        if self.authorization_upstream_issuer.is_some() != self.authorization_upstream_client_id.is_some() {
            let text =
                "authorization_upstream_issuer and authorization_upstream_client_id go together; give both";
            return refuse(text.to_owned());
        }
        if self.bind.ip().is_loopback() {
            return Ok(());
        }
        if !self.authorization && !self.insecure_open {
            return refuse(format!(
                "{} can be reached from other machines, and this server asks nobody who they are; \
                 switch authorization on (--authorization, with --tls-certificate and --tls-key), bind to 127.0.0.1, \
                 or give --insecure-open if everybody who can reach it may read and change every record",
                self.bind
            ));
        }
        if self.authorization && self.tls_certificate.is_none() && !self.insecure_plain {
            return refuse(format!(
                "{} can be reached from other machines, and passwords, tokens and records would pass unencrypted; \
                 give --tls-certificate and --tls-key, or --insecure-plain if a proxy in front speaks TLS",
                self.bind
            ));
        }
        Ok(())
    }
}

/// All keys as a table for a terminal.
pub fn describe() -> String {
    let mut out = String::from(
        "Configuration keys. Each can be set in the file named by --config (as `key = value`), in the\n\
         environment (as VESTA_KEY) and as a flag (--key, with hyphens). Flags win over the environment,\n\
         the environment over the file, the file over the defaults.\n",
    );
    for key in KEYS {
        let default = if key.default.is_empty() { "none" } else { key.default };
        out.push_str(&format!(
            "\n{}\n    takes    {}{}\n    default  {default}\n    variable {}\n    flag     --{}\n",
            key.name,
            key.type_name,
            if key.is_list { ", several" } else { "" },
            key.variable(),
            key.flag(),
        ));
        for line in key.doc.lines() {
            out.push_str(&format!("    {}\n", line.trim()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_are_of_their_own_type() {
        let config = load(None, &[], &[]).unwrap();
        assert_eq!(config.bind.to_string(), "127.0.0.1:8080");
        assert_eq!(config.data, PathBuf::from("./vesta-data"));
        assert!(config.package.is_empty());
        assert_eq!(config.base_url, None);
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let file =
            file("default_count = 1\nmax_count = 2\nlog = \"warn\"\npackage = [\"a.tgz\", \"b.tgz\"]\n");
        let variables = environment(&[("VESTA_MAX_COUNT", "3"), ("VESTA_LOG", "error")]);
        let flags = [("log", vec!["debug".to_owned()])];
        let config = load(Some(file.path()), &variables, &flags).unwrap();
        assert_eq!((config.default_count, config.max_count, config.log.as_str()), (1, 3, "debug"));
        assert_eq!(config.package, [PathBuf::from("a.tgz"), PathBuf::from("b.tgz")]);
    }

    #[test]
    fn unknown_keys_are_named() {
        let file = file("bindd = \"127.0.0.1:1\"\n");
        let error = load(Some(file.path()), &[], &[]).unwrap_err().to_string();
        assert!(error.contains("there is no key `bindd` (did you mean `bind`?)"), "{error}");
        let error = load(None, &environment(&[("VESTA_COLOUR", "red")]), &[]).unwrap_err().to_string();
        assert_eq!(error, "environment: there is no key `VESTA_COLOUR`; `vesta config` lists all keys");
    }

    #[test]
    fn wrong_types_are_named() {
        let error = load(None, &environment(&[("VESTA_BIND", "here")]), &[]).unwrap_err().to_string();
        assert_eq!(error, "VESTA_BIND: `bind` takes ADDRESS:PORT, not `here`");
        let file = file("insecure_open = \"perhaps\"\n");
        let error = load(Some(file.path()), &[], &[]).unwrap_err().to_string();
        assert!(error.ends_with(": `insecure_open` takes true or false, not `perhaps`"), "{error}");
    }

    #[test]
    fn secrets_stay_where_nobody_reads_them() {
        let text = "AccountEndpoint=https://a;AccountKey=c2VjcmV0;";
        let kept = load(None, &environment(&[("VESTA_COSMOS_CONNECTION_STRING", text)]), &[]).unwrap();
        assert_eq!(kept.cosmos_connection_string.as_configured(), text);
        assert!(!format!("{kept:?}").contains("c2Vj"), "{kept:?}");
        let refused = load(None, &[], &[("cosmos_key", vec!["c2VjcmV0".to_owned()])]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "--cosmos-key: `cosmos_key` is a secret, and it would be seen here; set VESTA_COSMOS_KEY, or say where it is kept: file:PATH or keyvault:URL"
        );
        let file = file("cosmos_key = \"c2VjcmV0\"\n");
        let refused = load(Some(file.path()), &[], &[]).unwrap_err().to_string();
        assert!(refused.contains(": `cosmos_key` is a secret") && !refused.contains("c2Vj"), "{refused}");
        for reference in ["file:/run/secrets/key", "keyvault:https://v.vault.azure.net/secrets/key"] {
            let flags = [("cosmos_key", vec![reference.to_owned()])];
            assert_eq!(load(None, &[], &flags).unwrap().cosmos_key.as_configured(), reference);
        }
    }

    #[test]
    fn identities() {
        let identity = |text: &str| load(None, &environment(&[("VESTA_AZURE_IDENTITY", text)]), &[]);
        for text in ["managed-identity", "managed-identity:abc", "workload-identity", "developer"] {
            assert_eq!(identity(text).unwrap().azure_identity.as_str(), text);
        }
        assert_eq!(
            identity("managed-identity:").unwrap_err().to_string(),
            "VESTA_AZURE_IDENTITY: `azure_identity` takes managed-identity, managed-identity:CLIENT_ID, workload-identity or developer, not `managed-identity:`"
        );
    }

    #[test]
    fn other_machines_are_refused_without_the_key() {
        let flags = |open: &str| {
            [("bind", vec!["0.0.0.0:8080".to_owned()]), ("insecure_open", vec![open.to_owned()])]
        };
        let refused = load(None, &[], &flags("false")).unwrap().check_exposure().unwrap_err().to_string();
        assert!(refused.starts_with("0.0.0.0:8080 can be reached from other machines"), "{refused}");
        assert_eq!(load(None, &[], &flags("true")).unwrap().check_exposure(), Ok(()));
    }

    #[test]
    fn what_is_dangerous_has_to_be_named() {
        let check = |keys: &[(&'static str, &str)], expected: &str| {
            let bind = if keys.iter().any(|(name, _)| *name == "bind") {
                vec![]
            } else {
                vec![("bind", "0.0.0.0:1")]
            };
            let flags: Vec<_> =
                keys.iter().chain(&bind).map(|(name, value)| (*name, vec![(*value).to_owned()])).collect();
            let found = load(None, &[], &flags).unwrap().check_exposure();
            let found = found.map_or_else(|error| error.to_string(), |()| "served".to_owned());
            assert!(found.contains(expected), "{keys:?}: {found}");
        };
        let tls = [("tls_certificate", "c.pem"), ("tls_key", "k.pem")];
        check(&[], "asks nobody who they are");
        check(&[("bind", "127.0.0.1:1")], "served");
        check(&[("bind", "127.0.0.1:1"), ("authorization", "true")], "served");
        check(&tls, "asks nobody who they are");
        check(&[("insecure_plain", "true")], "asks nobody who they are");
        check(&[("authorization", "true")], "would pass unencrypted");
        check(&[("authorization", "true"), ("insecure_open", "true")], "would pass unencrypted");
        check(&[("authorization", "true"), ("insecure_plain", "true")], "served");
        check(&[("authorization", "true"), tls[0], tls[1]], "served");
        check(&[("bind", "127.0.0.1:1"), tls[0]], "go together");
        check(
            &[("bind", "127.0.0.1:1"), ("authorization_registration", "token")],
            "needs authorization_registration_token",
        );
        let issuer = ("authorization_upstream_issuer", "https://login.example.org/");
        check(&[("bind", "127.0.0.1:1"), issuer], "authorization_upstream_client_id go together");
    }

    #[test]
    fn the_table_is_whole() {
        let text = describe();
        for key in KEYS {
            assert!(text.contains(&key.variable()), "{} is not described", key.name);
            assert!(!key.doc.trim().is_empty(), "{} has no text", key.name);
        }
    }
}
