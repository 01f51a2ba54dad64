//! An Entra ID credential, of the text that configuration names it by:
//! <https://learn.microsoft.com/azure/developer/rust/sdk/authentication/overview>.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential,
};

/// A credential cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A text that names no kind of credential.
    #[error(
        "`{0}` is no kind of credential: use managed-identity, managed-identity:CLIENT_ID, workload-identity or developer"
    )]
    Unknown(String),
    /// The kind is known, and what it needs is missing.
    #[error("{kind}: {error}")]
    Missing {
        /// Which kind.
        kind: &'static str,
        /// What the identity library says.
        error: azure_core::Error,
    },
}

/// The credential of `managed-identity` (`managed-identity:CLIENT_ID` for one that the user assigned),
/// `workload-identity` (of a Kubernetes pod, by the variables AZURE_TENANT_ID, AZURE_CLIENT_ID and
/// AZURE_FEDERATED_TOKEN_FILE), or `developer` (whoever is signed in to the Azure CLI or the Azure Developer CLI).
/// Asks for no token yet.
///
/// # Errors
/// [`CredentialError`].
pub fn entra(text: &str) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    let missing = |kind| move |error| CredentialError::Missing { kind, error };
    let (kind, client_id) = match text.split_once(':') {
        Some((kind, id)) => (kind, Some(id.trim()).filter(|id| !id.is_empty())),
        None => (text, None),
    };
    match (kind, client_id, text.contains(':')) {
        ("managed-identity", None, false) | ("managed-identity", Some(_), _) => {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.map(|id| UserAssignedId::ClientId(id.to_owned())),
                ..ManagedIdentityCredentialOptions::default()
            };
            let credential =
                ManagedIdentityCredential::new(Some(options)).map_err(missing("managed-identity"))?;
            Ok(credential)
        }
        ("workload-identity", None, false) => {
            Ok(WorkloadIdentityCredential::new(None).map_err(missing("workload-identity"))?)
        }
        ("developer", None, false) => Ok(DeveloperToolsCredential::new(None).map_err(missing("developer"))?),
        _ => Err(CredentialError::Unknown(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_credentials() {
        let good = |text: &str, name: &str| {
            let credential = format!("{:?}", entra(text).unwrap());
            assert!(credential.contains(name), "{text}: {credential}");
        };
        good("managed-identity", "ManagedIdentityCredential");
        good("managed-identity:0d9f4a3c", "ManagedIdentityCredential");
        good("developer", "DeveloperToolsCredential");
        let bad = |text: &str| {
            let expected = format!(
                "`{text}` is no kind of credential: use managed-identity, managed-identity:CLIENT_ID, workload-identity or developer"
            );
            assert_eq!(entra(text).unwrap_err().to_string(), expected);
        };
        bad("");
        bad("managed-identity:");
        bad("developer:me");
        bad("password");
    }
}
