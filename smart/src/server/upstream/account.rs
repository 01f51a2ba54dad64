//! From the claims of an identity provider to a person of this server: the account that is linked with them, else the resource that
//! a claim names, where one is configured. Nobody is made up.

use serde_json::{Map, Value};

use crate::config::Upstream;
use crate::event::cleaned;
use crate::record::{SessionUser, User};
use crate::secret::digested;
use crate::server::{AuthorizationServer, ServerError};

/// The longest value of a claim that is compared, in bytes.
const MAX_CLAIM_BYTES: usize = 512;
/// Resources that stand for people.
const PEOPLE: [&str; 5] = ["Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"];

/// Why the person is nobody here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unknown {
    /// A claim is missing, no text, or too long.
    #[error("The identity provider did not say who you are: its claim {0} is missing, or is no short text")]
    NoClaim(String),
    /// No account, and no claim that names a resource.
    #[error(
        "Nobody here is linked with you: whoever runs this server can link your account with {0} '{1}' (vesta user link)"
    )]
    NotLinked(String, String),
    /// The account may not log in.
    #[error("Your account here is disabled")]
    Disabled,
    /// Several accounts are linked.
    #[error(
        "Several accounts here are linked with you; whoever runs this server must say which one is yours"
    )]
    Several,
    /// The claim names no person.
    #[error("The claim {0} of the identity provider names no Patient, Practitioner, RelatedPerson or Person")]
    FhirUser(String),
}

impl AuthorizationServer {
    /// What links an account with a person at the provider, by the value of the configured claim; `None` where there is no
    /// provider. A link counts for the provider it was made for.
    pub fn upstream_link(&self, value: &str) -> Option<String> {
        self.config.upstream.as_ref().map(|upstream| link(upstream, value))
    }

    /// The accounts that have a link.
    ///
    /// # Errors
    /// The store failed.
    pub async fn linked(&self, link: &str) -> Result<Vec<User>, ServerError> {
        let found = self.records().group::<User>(&User::of_link(link)).await?;
        Ok(found.into_iter().map(|(_, user)| user).collect())
    }

    pub(super) async fn account_of(
        &self,
        upstream: &Upstream,
        claims: &Map<String, Value>,
    ) -> Result<Result<SessionUser, Unknown>, ServerError> {
        let Some(value) = text(claims, &upstream.link_claim) else {
            return Ok(Err(Unknown::NoClaim(upstream.link_claim.clone())));
        };
        let mut linked = self.linked(&link(upstream, value)).await?;
        Ok(match (linked.pop(), linked.is_empty()) {
            (Some(user), true) if user.enabled => Ok(user.session_user()),
            (Some(_), true) => Err(Unknown::Disabled),
            (Some(_), false) => Err(Unknown::Several),
            (None, _) => self.named(upstream, claims, value),
        })
    }

    /// The person that the provider itself says they are.
    fn named(
        &self,
        upstream: &Upstream,
        claims: &Map<String, Value>,
        value: &str,
    ) -> Result<SessionUser, Unknown> {
        let claim = upstream.fhir_user_claim.as_ref().and_then(|name| Some((name, text(claims, name)?)));
        let Some((name, reference)) = claim else {
            return Err(Unknown::NotLinked(upstream.link_claim.clone(), cleaned(value)));
        };
        let below = reference.strip_prefix(&self.config.fhir_base).and_then(|rest| rest.strip_prefix('/'));
        let reference = below.unwrap_or(reference);
        if !is_person(reference) {
            return Err(Unknown::FhirUser(name.clone()));
        }
        let subject = text(claims, "sub").ok_or_else(|| Unknown::NoClaim("sub".to_owned()))?;
        let called = ["name", "preferred_username", "given_name"].iter().find_map(|name| text(claims, name));
        Ok(SessionUser {
            // Never that of an account of our own, nor of another provider.
            sub: digested(&format!("upstream {} {subject}", upstream.issuer)),
            username: cleaned(value),
            name: called.map_or_else(|| reference.to_owned(), cleaned),
            fhir_user: reference.to_owned(),
        })
    }
}

fn link(upstream: &Upstream, value: &str) -> String {
    format!("{} {} {value}", upstream.issuer, upstream.link_claim)
}

fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    let text = claims.get(name)?.as_str()?;
    (!text.is_empty() && text.len() <= MAX_CLAIM_BYTES).then_some(text)
}

fn is_person(reference: &str) -> bool {
    let id = |id: &str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    reference.split_once('/').is_some_and(|(kind, rest)| PEOPLE.contains(&kind) && id(rest))
}
