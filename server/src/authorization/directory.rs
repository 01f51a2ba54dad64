//! Patients and encounters that a user may choose: searches of the record. Whose they are follows the policy that tokens are held
//! to: whoever works here (a Practitioner, say) may choose any patient, a Patient only themselves, a RelatedPerson, if active, the
//! patient they are related to; and each only what their access policy leaves.

use std::sync::Arc;

use async_trait::async_trait;
use interaction::Service;
use search::{Handling, ParseContext, SearchRequest};
use serde_json::Value;
use smart::{Choice, Directory, Policy, SessionUser, StorageError};
use store::{Access, Key, Tenant, Version};

use super::consent::Consents;
use super::decision;

/// The longest text that is looked for, in bytes.
const MAX_TEXT: usize = 200;

/// The people of a tenant.
pub struct Everyone {
    service: Service,
    tenant: Tenant,
    consents: Arc<Consents>,
}

/// Whom a user may see.
enum Seen {
    /// Every patient.
    All,
    /// These, by id.
    Only(Vec<String>),
}

impl Everyone {
    /// Of a tenant. The server itself looks; what it gives is what the user may see.
    pub fn new(service: Service, tenant: Tenant, consents: Arc<Consents>) -> Everyone {
        Everyone { service, tenant, consents }
    }

    fn parse(&self, of: Option<&str>, parameters: &[(String, String)]) -> Option<SearchRequest> {
        let context = ParseContext {
            index: &self.service.index,
            handling: Handling::Strict,
            now: (self.service.clock)().0.saturating_mul(1000),
            default_count: 50,
            max_count: 1000,
            terminology: None,
        };
        search::parse(&context, of, None, parameters).ok()
    }

    async fn found(
        &self,
        access: &Access,
        of: &str,
        parameters: &[(&str, String)],
        limit: usize,
    ) -> Result<Vec<Version>, StorageError> {
        let owned: Vec<(String, String)> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        // A text that cannot be looked for finds nothing.
        let Some(mut request) = self.parse(Some(of), &owned) else { return Ok(Vec::new()) };
        request.query.limit = limit;
        let page = self.service.store.search(&self.tenant, access, &request.query).await;
        page.map(|page| page.matches).map_err(failed)
    }

    async fn read(&self, access: &Access, key: &Key) -> Result<Option<Value>, StorageError> {
        let version = self.service.store.read(&self.tenant, access, key).await.map_err(failed)?;
        Ok(version.filter(|version| !version.is_deleted()).and_then(|version| resource(&version)))
    }

    async fn seen(&self, user: &SessionUser) -> Result<Seen, StorageError> {
        let none = Ok(Seen::Only(Vec::new()));
        let Some(key) = Key::parse(&user.fhir_user) else { return none };
        match key.resource_type() {
            "Practitioner" | "PractitionerRole" | "Person" | "Organization" => Ok(Seen::All),
            "Patient" => Ok(Seen::Only(vec![key.id().to_owned()])),
            "RelatedPerson" => {
                let person = self.read(&Access::unrestricted(), &key).await?.unwrap_or_default();
                let is_active = person.get("active").and_then(Value::as_bool) != Some(false);
                let patient = person.pointer("/patient/reference").filter(|_| is_active);
                Ok(Seen::Only(patient.and_then(|it| self.patient_of(it)).into_iter().collect()))
            }
            _ => none,
        }
    }

    /// What their policy and the patients leave to a user of everything.
    async fn access(&self, user: &SessionUser, policy: Option<&Policy>) -> Result<Access, StorageError> {
        let (service, fhir_user) = (&self.service, user.fhir_user.as_str());
        let withheld = self.consents.withheld(service, &self.tenant, Some(fhir_user), None).await;
        let (withheld, _) = withheld.map_err(failed)?;
        Ok(decision::of_user(service, policy, fhir_user, &withheld))
    }

    /// The id of the patient that a reference is to.
    fn patient_of(&self, reference: &Value) -> Option<String> {
        let key = self.service.index.local_target(reference.as_str()?)?;
        (key.resource_type() == "Patient").then(|| key.id().to_owned())
    }
}

#[async_trait]
impl Directory for Everyone {
    async fn patients(
        &self,
        user: &SessionUser,
        policy: Option<&Policy>,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Choice>, StorageError> {
        let (text, access) = (text.trim(), self.access(user, policy).await?);
        let only = match self.seen(user).await? {
            Seen::Only(ids) if ids.is_empty() => return Ok(Vec::new()),
            Seen::Only(ids) => vec![("_id", ids.join(","))],
            Seen::All => Vec::new(),
        };
        if text.len() > MAX_TEXT {
            return Ok(Vec::new());
        }
        let sort = ("_sort", "family".to_owned());
        if text.is_empty() {
            let all: Vec<_> = only.into_iter().chain([sort]).collect();
            return Ok(choices(&self.found(&access, "Patient", &all, limit).await?, patient));
        }
        let mut found = Vec::new();
        for name in ["name:contains", "identifier"] {
            let wanted = (name, escaped(text));
            let all: Vec<_> = only.iter().cloned().chain([wanted, sort.clone()]).collect();
            for version in self.found(&access, "Patient", &all, limit).await? {
                if found.len() < limit && found.iter().all(|known: &Version| known.key != version.key) {
                    found.push(version);
                }
            }
        }
        Ok(choices(&found, patient))
    }

    async fn patient(
        &self,
        user: &SessionUser,
        policy: Option<&Policy>,
        id: &str,
    ) -> Result<Option<Choice>, StorageError> {
        let Some(key) = Key::parse(&format!("Patient/{id}")) else { return Ok(None) };
        if let Seen::Only(ids) = self.seen(user).await?
            && !ids.iter().any(|own| own == id)
        {
            return Ok(None);
        }
        let access = self.access(user, policy).await?;
        Ok(self.read(&access, &key).await?.map(|resource| patient(id, &resource)))
    }

    async fn encounters(
        &self,
        user: &SessionUser,
        policy: Option<&Policy>,
        patient: &str,
        limit: usize,
    ) -> Result<Vec<Choice>, StorageError> {
        if self.patient(user, policy, patient).await?.is_none() {
            return Ok(Vec::new());
        }
        let of = [("patient", format!("Patient/{patient}")), ("_sort", "-date".to_owned())];
        let access = self.access(user, policy).await?;
        Ok(choices(&self.found(&access, "Encounter", &of, limit).await?, encounter))
    }

    fn knows_type(&self, resource_type: &str) -> bool {
        self.service.definitions.schema.is_resource(resource_type)
    }

    fn knows_filter(&self, resource_type: &str, query: &str) -> bool {
        let parameters: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        // Criteria of the resource itself: nothing that shapes a result, and nothing about other resources.
        let criterion = |name: &str| {
            let plain = !name.starts_with('_')
                || ["_id", "_lastUpdated", "_profile", "_security", "_tag"].contains(&name);
            plain && !name.contains('.')
        };
        let plain = parameters.iter().all(|(name, _)| criterion(name.split(':').next().unwrap_or_default()));
        let of = (resource_type != "Resource").then_some(resource_type);
        plain && !parameters.is_empty() && self.parse(of, &parameters).is_some()
    }
}

fn failed(error: impl std::fmt::Display) -> StorageError {
    StorageError(error.to_string())
}

/// A value of a search parameter that stands for itself.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, letter| {
        if matches!(letter, '\\' | ',' | '$' | '|') {
            escaped.push('\\');
        }
        escaped.push(letter);
        escaped
    })
}

fn resource(version: &Version) -> Option<Value> {
    serde_json::from_slice(&version.body).ok()
}

fn choices(versions: &[Version], choice: fn(&str, &Value) -> Choice) -> Vec<Choice> {
    let read = |version: &Version| resource(version).map(|resource| choice(version.key.id(), &resource));
    versions.iter().filter_map(read).collect()
}

fn text<'r>(resource: &'r Value, pointer: &str) -> Option<&'r str> {
    resource.pointer(pointer).and_then(Value::as_str)
}

fn patient(id: &str, resource: &Value) -> Choice {
    let born = text(resource, "/birthDate").map(|date| format!("born {date}"));
    let gender = text(resource, "/gender").map(str::to_owned);
    let identifier = text(resource, "/identifier/0/value").map(|value| format!("identifier {value}"));
    let detail = [born, gender, identifier].into_iter().flatten().collect::<Vec<_>>().join(", ");
    Choice {
        id: id.to_owned(),
        title: human_name(resource).unwrap_or_else(|| format!("Patient {id}")),
        detail,
    }
}

/// The first official name, or the first one.
fn human_name(resource: &Value) -> Option<String> {
    let names = resource.get("name")?.as_array()?;
    let official = names.iter().find(|name| text(name, "/use") == Some("official"));
    let name = official.or(names.first())?;
    if let Some(text) = text(name, "/text") {
        return Some(text.to_owned());
    }
    let given = name.get("given").and_then(Value::as_array);
    let given = given.into_iter().flatten().filter_map(Value::as_str);
    let parts: Vec<&str> = given.chain(text(name, "/family")).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn encounter(id: &str, resource: &Value) -> Choice {
    let kind = ["/type/0/text", "/type/0/coding/0/display", "/class/display", "/class/code"];
    let title = kind.iter().find_map(|pointer| text(resource, pointer)).unwrap_or("Encounter");
    let time = |pointer| text(resource, pointer).map(|time| time.chars().take(16).collect::<String>());
    let detail = match (time("/period/start"), time("/period/end")) {
        (Some(start), Some(end)) => format!("{start} to {end}"),
        (Some(start), None) => format!("since {start}"),
        _ => format!("id {id}"),
    };
    Choice { id: id.to_owned(), title: title.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patients_are_told_apart() {
        let choice = |resource: Value| {
            let Choice { title, detail, .. } = patient("p1", &resource);
            format!("{title}; {detail}")
        };
        let named = json!({"name": [{"family": "Old"}, {"use": "official", "given": ["Ann", "B"], "family": "Test"}],
            "birthDate": "1980-02-03", "gender": "female", "identifier": [{"value": "123"}]});
        assert_eq!(choice(named), "Ann B Test; born 1980-02-03, female, identifier 123");
        assert_eq!(choice(json!({"name": [{"text": "Ann"}]})), "Ann; ");
        assert_eq!(choice(json!({})), "Patient p1; ");
    }

    #[test]
    fn what_is_typed_stands_for_itself() {
        assert_eq!(escaped(r"O'Brien, \$|"), r"O'Brien\, \\\$\|");
    }
}
