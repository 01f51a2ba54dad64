//! What a tester types into Inferno.

use crate::jwt::Key;

/// The server under test, and who and what is registered there.
#[derive(Debug)]
pub struct Inputs {
    /// FHIR base URL, without a slash at the end.
    pub base: String,
    /// The certificate of a local authority, PEM.
    pub authority: Option<String>,
    /// Where apps are sent back to, at all clients.
    pub redirect_uri: String,
    /// Where apps are launched, at all clients.
    pub launch_uri: String,
    /// A confidential app with a secret.
    pub confidential: Client,
    /// A public app.
    pub public: Client,
    /// A confidential app with a key.
    pub asymmetric: Client,
    /// Whose records are asked for, and who may log in.
    pub patient: String,
    /// Those who together have all must-support elements, that one too.
    pub patients: Vec<String>,
    /// Exports of many patients' records; without, there are none.
    pub bulk: Option<Bulk>,
    /// Who grants standalone launches: sees the patient.
    pub user: User,
    /// Who launches from the EHR.
    pub practitioner: User,
    /// How an EHR launch begins.
    pub ehr: Ehr,
}

/// Exports of many patients' records.
#[derive(Debug)]
pub struct Bulk {
    /// A backend service with a key, which may export.
    pub client: Client,
    /// What it asks for: `system/*.rs`.
    pub scope: String,
    /// The id of the Group that is exported.
    pub group: String,
    /// Who is in it: checked if any are named.
    pub patients: Vec<String>,
}

/// A registered app.
#[derive(Debug)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// How it shows that it is itself.
    pub secret: Secret,
}

/// How an app shows that it is itself.
#[derive(Debug)]
pub enum Secret {
    /// Not at all.
    Public,
    /// `client_secret_basic`.
    Basic(String),
    /// `private_key_jwt`.
    Key(Key),
}

/// Who logs in.
#[derive(Debug, Clone)]
pub struct User {
    /// As typed.
    pub name: String,
    /// As typed.
    pub password: String,
}

/// How an EHR launch begins.
#[derive(Debug, Clone)]
pub enum Ehr {
    /// On pages of the server, for the practitioner: a form with a choice of `app` and of `patient`, then one of
    /// `encounter`, which sends the browser to the app's launch URI.
    Page {
        /// Its URL.
        url: String,
    },
}
