//! What the program's own commands ask of a server that has their data directory open: a backup, how far it is behind, a
//! check. Authorised by a
//! secret that only readers of the data directory know ([`crate::running`]).

use std::path::PathBuf;

use archive::{Appended, Archive, Content};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use fhirpath::IssueType;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, Tenant};

use super::App;
use super::refusal::Refusal;
use super::respond;
use super::router::Part;
use crate::authorization::{RESERVED, registry, reserved};

/// Path of the backup.
pub const BACKUP: &str = "/admin/backup";
/// Path of the check.
pub const CHECK: &str = "/admin/check";

/// Path of the verification of the audit log.
pub const AUDIT: &str = "/admin/audit";
/// Path of what `vesta jobs --cancel` asks.
pub const JOBS: &str = "/admin/jobs";
/// Path of what `vesta client` and `vesta user` ask.
pub const REGISTRY: &str = "/admin/registry";

/// Path of the question how far a tenant is ahead of an archive.
pub const LAG: &str = "/admin/lag";

/// Asks for a backup.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackupRequest {
    /// Of which tenant.
    pub tenant: String,
    /// Where its archive is: an absolute path.
    pub archive: PathBuf,
}

/// A backup was written.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackupReport {
    /// What the archive holds.
    pub content: Content,
    /// Commits that are new in it.
    pub commits: u64,
    /// Bytes that are new in it.
    pub bytes: u64,
}

/// Asks how far a tenant is ahead; answered by an [`archive::Lag`].
#[derive(Debug, Serialize, Deserialize)]
pub struct LagRequest {
    /// Which tenant.
    pub tenant: String,
    /// The archive's last commit.
    pub sequence: u64,
}

/// Asks for a check.
#[derive(Debug, Serialize, Deserialize)]
pub struct CheckRequest {
    /// Of which tenant.
    pub tenant: String,
}

/// Asks to cancel a job, or to forget one that ended; answered by whether there was one.
#[derive(Debug, Serialize, Deserialize)]
pub struct CancelRequest {
    /// Of which tenant.
    pub tenant: String,
    /// Its id.
    pub job: String,
}

/// Asks for something of the clients and users of a tenant; answered by a [`registry::Report`].
#[derive(Debug, Serialize, Deserialize)]
pub struct RegistryRequest {
    /// Of which tenant.
    pub tenant: String,
    /// What.
    pub order: registry::Order,
}

impl From<Appended> for BackupReport {
    fn from(appended: Appended) -> BackupReport {
        let Appended { content, commits, bytes, .. } = appended;
        BackupReport { content, commits, bytes }
    }
}

/// A check was made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct CheckReport {
    /// Current resources read.
    pub resources: u64,
    /// Versions read.
    pub versions: u64,
    /// Index postings compared.
    pub postings: u64,
    /// Each disagreement.
    pub faults: Vec<String>,
}

impl From<store::CheckReport> for CheckReport {
    fn from(report: store::CheckReport) -> CheckReport {
        let store::CheckReport { resources, versions, postings, faults } = report;
        CheckReport { resources, versions, postings, faults }
    }
}

/// The secret of one run of a server.
pub struct Secret {
    token: String,
}

impl Secret {
    /// A new one: 244 random bits.
    pub fn new() -> Secret {
        Secret { token: format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()) }
    }

    /// Its text.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Whether a request knows it. Takes the same time wherever it differs.
    pub(super) fn is_known(&self, authorization: Option<&HeaderValue>) -> bool {
        let given =
            authorization.and_then(|value| value.as_bytes().strip_prefix(b"Bearer ")).unwrap_or_default();
        let differs = given.iter().zip(self.token.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b));
        given.len() == self.token.len() && differs == 0
    }
}

/// Answers such a request.
///
/// # Errors
/// 401 without the secret, 422 for a file that cannot be written, 500 when the store fails.
pub(super) async fn answer(app: &App, part: Part, request: Request) -> Result<Response, Refusal> {
    if !app.admin.is_known(request.headers().get(header::AUTHORIZATION)) {
        let details = "This is for the vesta commands that run on the server's data directory.";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, IssueType::Login, details));
    }
    let (body, _share) = app.bodies.collect(request.into_body(), 64 << 10).await?;
    match part {
        Part::Backup => backup(app, &body).await,
        Part::Lag => lag(app, &body).await,
        Part::Registry => registry(app, &body).await,
        Part::Audit => audit(app, &body).await,
        Part::Jobs => cancel(app, &body),
        _ => check(app, &body).await,
    }
}

async fn backup(app: &App, body: &[u8]) -> Result<Response, Refusal> {
    let request: BackupRequest = read(body)?;
    let (store, tenant) = of(app, &request.tenant)?;
    let archive = Archive::at(request.archive);
    let appended = super::long::run(true, archive.append(&store, &tenant)).await.map_err(|error| {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, IssueType::Processing, error.to_string())
    })?;
    json(&BackupReport::from(appended))
}

async fn lag(app: &App, body: &[u8]) -> Result<Response, Refusal> {
    let request: LagRequest = read(body)?;
    let (store, tenant) = of(app, &request.tenant)?;
    json(&super::long::run(true, archive::lag(&store, &tenant, request.sequence)).await.map_err(failed)?)
}

async fn registry(app: &App, body: &[u8]) -> Result<Response, Refusal> {
    let RegistryRequest { tenant, order } = read(body)?;
    let (_, known) = of(app, &tenant)?;
    if known.as_str().ends_with(RESERVED) {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            IssueType::NotFound,
            format!("There is no tenant {tenant}."),
        ));
    }
    let unprocessable =
        |text: String| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, IssueType::Processing, text);
    let Some(authorization) = app.directory.authorization() else {
        return Err(unprocessable("authorization is off on this server".to_owned()));
    };
    let service = app.directory.service();
    let done = registry::carry_out(authorization, service, &known, order).await;
    json(&done.map_err(|error| unprocessable(error.to_string()))?)
}

async fn check(app: &App, body: &[u8]) -> Result<Response, Refusal> {
    let request: CheckRequest = read(body)?;
    let (store, tenant) = of(app, &request.tenant)?;
    let report = super::long::run(true, store.check(&tenant, &|_, _| ())).await.map_err(failed)?;
    json(&CheckReport::from(report))
}

fn cancel(app: &App, body: &[u8]) -> Result<Response, Refusal> {
    let request: CancelRequest = read(body)?;
    let (_, tenant) = of(app, &request.tenant)?;
    let exported = app.exporter.cancel(&tenant, &request.job);
    let cancelled =
        exported.and_then(|was_there| Ok(was_there || app.importer.cancel(&tenant, &request.job)?));
    let cancelled = cancelled.map_err(|error| {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, IssueType::Processing, error.to_string())
    })?;
    json(&cancelled)
}

async fn audit(app: &App, body: &[u8]) -> Result<Response, Refusal> {
    let request: CheckRequest = read(body)?;
    let (store, tenant) = of(app, &request.tenant)?;
    let Some(audit) = &app.audit else {
        let text = "the audit log is off on this server; stop it to verify what there is";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, IssueType::Processing, text));
    };
    json(&super::long::run(true, audit.verified(&store, &tenant)).await.map_err(failed)?)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, IssueType::Invalid, format!("Not such a request: {error}."))
    })
}

/// The tenant of a name, or the one beside it that its authorization server has, and its store.
fn of(app: &App, name: &str) -> Result<(Store, Tenant), Refusal> {
    let tenants = app.directory.tenants().into_iter().map(|(tenant, _)| tenant);
    let mut all = tenants.flat_map(|tenant| [reserved(&tenant), Some(tenant)]).flatten();
    let tenant = all.find(|tenant| tenant.as_str() == name).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, IssueType::NotFound, format!("There is no tenant {name}."))
    })?;
    Ok((app.directory.service().store.clone(), tenant))
}

fn failed(error: StoreError) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, IssueType::Exception, error.to_string())
}

fn json(value: &impl Serialize) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|_| Refusal::internal())?;
    Ok(respond::body(StatusCode::OK, HeaderValue::from_static("application/json"), bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_needed() {
        let secret = Secret::new();
        let header = |text: String| HeaderValue::try_from(text).ok();
        assert!(secret.is_known(header(format!("Bearer {}", secret.token())).as_ref()));
        for wrong in ["Bearer ", "Bearer x", secret.token(), &format!("Bearer {}x", secret.token())] {
            assert!(!secret.is_known(header(wrong.to_owned()).as_ref()), "{wrong}");
        }
        assert!(!secret.is_known(None));
        assert_ne!(secret.token(), Secret::new().token());
    }
}
