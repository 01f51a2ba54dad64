//! What a user granted to a client, and the tokens that stand on it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SessionUser;
use crate::storage::{Stored, Table};

/// An item of `fhirContext`
/// (<https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#fhir-context>).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FhirContext {
    /// A relative reference, `ImagingStudy/123`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// A canonical URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
    /// An Identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Value>,
    /// The resource type, if the others do not say it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// A URI that says what the resource is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What an app is launched with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchContext {
    /// The id of a Patient.
    pub patient: Option<String>,
    /// The id of an Encounter.
    pub encounter: Option<String>,
    /// Other resources.
    #[serde(default)]
    pub fhir_context: Vec<FhirContext>,
    /// What the user means to do.
    pub intent: Option<String>,
    /// Whether the app must show whom it is about.
    pub need_patient_banner: Option<bool>,
    /// The tenant of the EHR.
    pub tenant: Option<String>,
}

/// A launch context that waits for its app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    pub context: LaunchContext,
    pub client_id: Option<String>,
    pub user_sub: Option<String>,
    pub expires_s: i64,
}

/// What a user granted to a client. As long as it is there, its tokens are worth something; removing it revokes all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub client_id: String,
    pub client_name: String,
    pub user: SessionUser,
    pub scopes: String,
    pub context: LaunchContext,
    pub patient_name: Option<String>,
    /// The session that refresh tokens end with (`online_access`).
    pub session: Option<String>,
    /// Whether it was an EHR launch: those tell the app of the style and the banner.
    pub launched: bool,
    pub granted_s: i64,
    pub expires_s: i64,
}

/// An access token; `grant` is `None` for a backend service's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccessToken {
    pub grant: Option<String>,
    pub client_id: String,
    pub scopes: String,
    pub issued_s: i64,
    pub expires_s: i64,
}

/// A refresh token. One that was used is kept, so that its second use is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefreshToken {
    pub grant: String,
    pub client_id: String,
    pub used: bool,
    pub expires_s: i64,
}

impl Grant {
    /// The group of all grants of a user.
    pub fn of_user(sub: &str) -> String {
        format!("user:{sub}")
    }

    /// The group of all grants to a client.
    pub fn of_client(client_id: &str) -> String {
        format!("client:{client_id}")
    }
}

impl Stored for Launch {
    const TABLE: Table = Table::Launch;

    fn expires_s(&self) -> Option<i64> {
        Some(self.expires_s)
    }
}

impl Stored for Grant {
    const TABLE: Table = Table::Grant;

    fn groups(&self) -> Vec<String> {
        vec![Grant::of_user(&self.user.sub), Grant::of_client(&self.client_id)]
    }

    fn expires_s(&self) -> Option<i64> {
        Some(self.expires_s)
    }
}

impl Stored for AccessToken {
    const TABLE: Table = Table::AccessToken;

    fn expires_s(&self) -> Option<i64> {
        Some(self.expires_s)
    }
}

impl Stored for RefreshToken {
    const TABLE: Table = Table::RefreshToken;

    fn expires_s(&self) -> Option<i64> {
        Some(self.expires_s)
    }
}
