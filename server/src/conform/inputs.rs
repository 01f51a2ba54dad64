//! What a tester types in: a TOML file. Paths in it are relative to the file; `inferno-tests/conform.toml` has all of its keys.

use std::path::{Path, PathBuf};

use procedure::{Attested, Bulk, Client, Ehr, Inputs, Key, KitTest, Secret, User, Wrong};
use serde::Deserialize;

const REDIRECT: &str = "http://127.0.0.1:4567/custom/smart/redirect";
const LAUNCH: &str = "http://127.0.0.1:4567/custom/smart/launch";

/// What cannot be used of the file.
#[derive(Debug, thiserror::Error)]
pub enum InputsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not as it has to be.
    #[error("{}: {error}", .path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// A client shows neither a secret nor a key.
    #[error("the client {0} has neither a secret nor a key")]
    NoSecret(String),
    /// A key or the kit's table cannot be used.
    #[error(transparent)]
    Wrong(#[from] Wrong),
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    base: String,
    authority: Option<PathBuf>,
    redirect_uri: Option<String>,
    launch_uri: Option<String>,
    ehr: String,
    patient: String,
    patients: Vec<String>,
    guides: Vec<PathBuf>,
    core: PathBuf,
    tests: Option<PathBuf>,
    attestations: Option<PathBuf>,
    users: Users,
    clients: Clients,
    bulk: Option<WrittenBulk>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Users {
    patient: WrittenUser,
    practitioner: WrittenUser,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenUser {
    name: String,
    password: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clients {
    confidential: WrittenClient,
    public: WrittenClient,
    asymmetric: WrittenClient,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenClient {
    id: String,
    secret: Option<String>,
    key: Option<PathBuf>,
    key_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenBulk {
    client: WrittenClient,
    scope: Option<String>,
    group: String,
    #[serde(default)]
    patients: Vec<String>,
}

/// All that is known before the procedure begins.
#[derive(Debug)]
pub(super) struct Known {
    pub inputs: Inputs,
    pub guides: Vec<PathBuf>,
    pub core: PathBuf,
    /// The kit's own list of tests, if it is at hand.
    pub tests: Vec<KitTest>,
    pub attested: Attested,
}

/// Reads the file and those that it names.
pub(super) fn read(path: &Path) -> Result<Known, InputsError> {
    let written: Written = toml::from_str(&text(path)?)
        .map_err(|error| InputsError::Form { path: path.to_owned(), error: Box::new(error) })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let at = |path: PathBuf| folder.join(path);
    let tests = written.tests.map(|path| tests(&at(path))).transpose()?.unwrap_or_default();
    let attested = written.attestations.map(|path| text(&at(path))).transpose()?;
    let bulk = written.bulk.map(|bulk| {
        Ok::<Bulk, InputsError>(Bulk {
            client: client(bulk.client, folder, false)?,
            scope: bulk.scope.unwrap_or_else(|| "system/*.rs".to_owned()),
            group: bulk.group,
            patients: bulk.patients,
        })
    });
    let inputs = Inputs {
        base: written.base.trim_end_matches('/').to_owned(),
        authority: written.authority.map(|path| text(&at(path))).transpose()?,
        redirect_uri: written.redirect_uri.unwrap_or_else(|| REDIRECT.to_owned()),
        launch_uri: written.launch_uri.unwrap_or_else(|| LAUNCH.to_owned()),
        confidential: client(written.clients.confidential, folder, false)?,
        public: client(written.clients.public, folder, true)?,
        asymmetric: client(written.clients.asymmetric, folder, false)?,
        patient: written.patient,
        patients: written.patients,
        bulk: bulk.transpose()?,
        user: user(written.users.patient),
        practitioner: user(written.users.practitioner),
        ehr: Ehr::Page { url: written.ehr },
    };
    let guides = written.guides.into_iter().map(at).collect();
    let attested = attested.as_deref().map(Attested::read).unwrap_or_default();
    Ok(Known { inputs, guides, core: folder.join(written.core), tests, attested })
}

fn user(written: WrittenUser) -> User {
    User { name: written.name, password: written.password }
}

fn client(written: WrittenClient, folder: &Path, is_public: bool) -> Result<Client, InputsError> {
    let secret = match (written.secret, written.key) {
        _ if is_public => Secret::Public,
        (Some(secret), _) => Secret::Basic(secret),
        (None, Some(key)) => {
            let id = written.key_id.as_deref().unwrap_or("conform");
            Secret::Key(Key::read(id, &text(&folder.join(key))?)?)
        }
        (None, None) => return Err(InputsError::NoSecret(written.id)),
    };
    Ok(Client { id: written.id, secret })
}

fn text(path: &Path) -> Result<String, InputsError> {
    std::fs::read_to_string(path).map_err(|error| InputsError::Read { path: path.to_owned(), error })
}

/// The kit's tests, from a table that may be compressed.
fn tests(path: &Path) -> Result<Vec<KitTest>, InputsError> {
    if path.extension().is_none_or(|extension| extension != "gz") {
        return Ok(KitTest::read(&text(path)?)?);
    }
    let failed = |error| InputsError::Read { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut table = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut table).map_err(failed)?;
    Ok(KitTest::read(&table)?)
}
