//! An access policy: what a user or an app may do at most, whatever scopes were granted.

use serde::{Deserialize, Serialize};

use crate::scope::{MAX_SCOPES, Permissions};
use crate::storage::{EVERYONE, Stored, Table};

/// The longest criteria of a rule, in bytes.
const MAX_CRITERIA_BYTES: usize = 4096;
/// Stands for the user's own resource in the criteria of a rule.
const USER: &str = "%user";

/// What a user or an app may do at most. It is written as an AccessPolicy of Medplum is
/// (<https://www.medplum.com/docs/access/access-policies>), with fewer words: what is not known is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Policy {
    /// What it is called.
    pub name: String,
    /// What is permitted: a resource must fulfil one of them. None permits nothing.
    pub resource: Vec<PolicyRule>,
    /// Whether a user whose policy this is may put it aside in an emergency, with a reason.
    #[serde(default)]
    pub break_glass: bool,
}

/// Resources of one type, or of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicyRule {
    /// A resource type, or `*`.
    pub resource_type: String,
    /// Search parameters that they must match, `category=vital-signs`, or with the type before them,
    /// `Observation?category=vital-signs`. `%user` is the reference of the user's own resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criteria: Option<String>,
    /// The Patient in whose compartment they must be, `Patient/1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compartment: Option<String>,
    /// Whether they may only be read and found.
    #[serde(default)]
    pub readonly: bool,
    /// Whether those are meant too that are labelled restricted or very restricted (`meta.security` with `R` or `V` of
    /// <http://terminology.hl7.org/CodeSystem/v3-Confidentiality>).
    #[serde(default)]
    pub restricted: bool,
}

/// Why a policy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The name.
    #[error("the name of a policy has 1 to 100 letters, digits and -._")]
    Name,
    /// Too many rules.
    #[error("a policy has at most {MAX_SCOPES} rules")]
    TooMany,
    /// The criteria are of another type, or too long.
    #[error("the criteria '{0}' are of another type than {1}, or longer than {MAX_CRITERIA_BYTES} bytes")]
    Criteria(String, String),
    /// No Patient.
    #[error("the compartment '{0}' is no reference to a Patient, as Patient/1")]
    Compartment(String),
}

impl Policy {
    /// What permits nothing: stands for a policy that is not there.
    pub(crate) fn nothing(name: &str) -> Policy {
        Policy { name: name.to_owned(), resource: Vec::new(), break_glass: false }
    }

    /// Whether its form is right. Types and search parameters are known elsewhere.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn check(&self) -> Result<(), PolicyError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if self.name.is_empty() || self.name.len() > 100 || !self.name.chars().all(allowed) {
            return Err(PolicyError::Name);
        }
        if self.resource.len() > MAX_SCOPES {
            return Err(PolicyError::TooMany);
        }
        self.resource.iter().try_for_each(PolicyRule::check)
    }

    /// The rules of a type, and of all types.
    pub fn rules<'p>(&'p self, resource_type: &'p str) -> impl Iterator<Item = &'p PolicyRule> {
        self.resource
            .iter()
            .filter(move |rule| rule.resource_type == "*" || rule.resource_type == resource_type)
    }
}

impl PolicyRule {
    fn check(&self) -> Result<(), PolicyError> {
        if let Some(criteria) = &self.criteria {
            let of = criteria.split_once('?').map_or(self.resource_type.as_str(), |(of, _)| of);
            if of != self.resource_type || criteria.len() > MAX_CRITERIA_BYTES {
                return Err(PolicyError::Criteria(criteria.clone(), self.resource_type.clone()));
            }
        }
        match &self.compartment {
            Some(patient) if self.patient().is_none() => Err(PolicyError::Compartment(patient.clone())),
            _ => Ok(()),
        }
    }

    /// The id of the Patient of its compartment.
    pub fn patient(&self) -> Option<&str> {
        let id = self.compartment.as_deref()?.strip_prefix("Patient/")?;
        let is_id = (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        is_id.then_some(id)
    }

    /// Whether it permits anything of a letter.
    pub fn permits(&self, permission: Permissions) -> bool {
        !self.readonly || Permissions::V1_READ.contains(permission)
    }

    /// Its criteria as a query string of a user, whose own resource is `user`; empty where there are none. `None` where they ask
    /// for a user, and there is none.
    pub fn query(&self, user: Option<&str>) -> Option<String> {
        let criteria = self.criteria.as_deref().unwrap_or_default();
        let query = criteria.split_once('?').map_or(criteria, |(_, query)| query);
        match query.contains(USER) {
            true => Some(query.replace(USER, user?)),
            false => Some(query.to_owned()),
        }
    }
}

impl Stored for Policy {
    const TABLE: Table = Table::Policy;

    fn groups(&self) -> Vec<String> {
        vec![EVERYONE.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rule: &str) -> Result<Policy, String> {
        let text = format!(r#"{{"name":"p","resource":[{rule}]}}"#);
        let policy: Policy = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        policy.check().map_err(|error| error.to_string())?;
        Ok(policy)
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let refused = |rule: &str, expected: &str| {
            let said = read(rule).unwrap_err();
            assert!(said.contains(expected), "{rule}: {said}");
        };
        refused(
            r#"{"resourceType":"Patient","hiddenFields":["identifier"]}"#,
            "unknown field `hiddenFields`",
        );
        refused(
            r#"{"resourceType":"Patient","criteria":"Observation?code=1"}"#,
            "are of another type than Patient",
        );
        refused(r#"{"resourceType":"*","compartment":"Group/1"}"#, "is no reference to a Patient");
        refused(r#"{"resourceType":"*","compartment":"Patient/%user"}"#, "is no reference to a Patient");
        refused(r#"{"criteria":"code=1"}"#, "missing field `resourceType`");
        assert!(Policy { name: "a b".into(), ..Policy::nothing("") }.check().is_err());
    }

    #[test]
    fn rules_say_what_is_asked() {
        let policy = read(
            r#"{"resourceType":"Patient","criteria":"Patient?general-practitioner=%user","readonly":true},{"resourceType":"*"}"#,
        );
        let policy = policy.unwrap();
        let queries = |user| policy.rules("Patient").map(|rule| rule.query(user)).collect::<Vec<_>>();
        let of_user = "general-practitioner=Practitioner/1".to_owned();
        assert_eq!(queries(Some("Practitioner/1")), [Some(of_user), Some(String::new())]);
        assert_eq!(queries(None), [None, Some(String::new())]);
        assert_eq!(policy.rules("Device").count(), 1);
        let readonly = &policy.resource[0];
        assert!(readonly.permits(Permissions::SEARCH) && !readonly.permits(Permissions::DELETE));
    }
}
