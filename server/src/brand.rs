//! Who offers this server's API, for the list that § 170.404(b)(2) asks developers to publish: a Bundle of an Organization and
//! an Endpoint in the form of SMART's user-access brands
//! (<https://hl7.org/fhir/smart-app-launch/brands.html>). Says what the configuration says, and reads no record.

use serde_json::{Map, Value, json};

use crate::config::Config;

/// Where it is served, beside the FHIR base.
pub const PATH: &str = "/service-base-urls";
/// The system of identifiers that are URIs.
const URI: &str = "urn:ietf:rfc:3986";

/// The organization that gives its patients access, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brand {
    name: String,
    address: Vec<String>,
    website: Option<String>,
    npi: Option<String>,
    /// Since when this is so: the start of the process.
    since: String,
}

impl Brand {
    /// Of a configuration; none, where it does not name the organization.
    pub fn of(config: &Config) -> Option<Brand> {
        Some(Brand {
            name: config.organization_name.clone()?,
            address: config.organization_address.clone(),
            website: config.organization_website.clone(),
            npi: config.organization_npi.clone(),
            since: store::Timestamp::now().to_string(),
        })
    }

    /// The Bundle for a FHIR base URL.
    pub fn bundle(&self, base: &str) -> Value {
        let organization = format!("{base}/Organization/brand");
        let endpoint = format!("{base}/Endpoint/brand");
        json!({
            "resourceType": "Bundle",
            "type": "collection",
            "timestamp": self.since,
            "entry": [
                {"fullUrl": organization, "resource": self.organization(base, &endpoint)},
                {"fullUrl": endpoint, "resource": self.endpoint(base, &organization)}
            ]
        })
    }

    /// Where apps find it from SMART's configuration at a FHIR base URL.
    pub fn told(&self, base: &str) -> smart::Brand {
        let host = base.find("://").map_or(0, |at| at + 3);
        let path = base.get(host..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| host + at);
        let bundle = format!("{}{PATH}", base.get(..path).unwrap_or(base));
        smart::Brand { bundle, identifier: (URI.to_owned(), self.website(base).to_owned()) }
    }

    /// Where people read about it.
    fn website<'b>(&'b self, base: &'b str) -> &'b str {
        self.website.as_deref().unwrap_or(base)
    }

    fn organization(&self, base: &str, endpoint: &str) -> Value {
        let website = self.website(base);
        let npi =
            self.npi.iter().map(|npi| json!({"system": "http://hl7.org/fhir/sid/us-npi", "value": npi}));
        let identifiers: Vec<Value> =
            std::iter::once(json!({"system": URI, "value": website})).chain(npi).collect();
        let mut organization = json!({
            "resourceType": "Organization",
            "id": "brand",
            "identifier": identifiers,
            "active": true,
            "type": [{"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/organization-type",
                "code": "prov",
                "display": "Healthcare Provider"
            }]}],
            "name": self.name,
            "telecom": [{"system": "url", "value": website}]
        });
        if let Some(members) = organization.as_object_mut() {
            if let Some(address) = self.address() {
                members.insert("address".to_owned(), json!([address]));
            }
            members.insert("endpoint".to_owned(), json!([{"reference": endpoint}]));
        }
        organization
    }

    fn address(&self) -> Option<Value> {
        let mut address = Map::new();
        for (name, text) in ["line", "city", "state", "postalCode"].into_iter().zip(&self.address) {
            let value = if name == "line" { json!([text]) } else { json!(text) };
            address.insert(name.to_owned(), value);
        }
        (!address.is_empty()).then(|| {
            address.insert("country".to_owned(), "US".into());
            Value::Object(address)
        })
    }

    fn endpoint(&self, base: &str, organization: &str) -> Value {
        json!({
            "resourceType": "Endpoint",
            "id": "brand",
            "extension": [{
                "url": "http://hl7.org/fhir/StructureDefinition/endpoint-fhir-version",
                "valueCode": "4.0.1"
            }],
            "status": "active",
            "connectionType": {
                "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
                "code": "hl7-fhir-rest"
            },
            "name": format!("FHIR R4 API of {}", self.name),
            "managingOrganization": {"reference": organization},
            "contact": [{"system": "url", "value": self.website(base)}],
            "payloadType": [{"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/endpoint-payload-type",
                "code": "none"
            }]}],
            "payloadMimeType": ["application/fhir+json"],
            "address": base
        })
    }
}

#[cfg(test)]
mod tests {
    use conformance::terminology::Terminology;
    use conformance::validation::{Library, Options, Validator};

    use super::*;

    #[test]
    fn a_bundle_that_is_valid() {
        let text = |it: &str| it.to_owned();
        let least = Brand {
            name: text("Wrenfield Health Center"),
            address: Vec::new(),
            website: None,
            npi: None,
            since: text("2026-01-01T00:00:00Z"),
        };
        let most = Brand {
            address: ["12 Old Mill Road", "Wrenfield", "MA", "01997"].map(text).to_vec(),
            website: Some(text("https://wrenfield.example.org")),
            npi: Some(text("1000000013")),
            ..least.clone()
        };
        let schema = conformance::Definitions::embedded().unwrap().schema;
        let validator = Validator::new(schema, Library::embedded(), Terminology::embedded());
        for brand in [least, most.clone()] {
            let bundle = brand.bundle("https://ehr.example.org/fhir").to_string();
            let issues = validator.validate_json(bundle.as_bytes(), &[], &Options::default());
            let errors: Vec<_> =
                issues.iter().filter(|issue| issue.severity <= fhirpath::Severity::Error).collect();
            assert!(errors.is_empty(), "{errors:?}\n{bundle}");
        }
        let bundle = most.bundle("https://ehr.example.org/fhir");
        let organization = &bundle["entry"][0]["resource"];
        let told = most.told("https://ehr.example.org/t/a/fhir");
        assert_eq!(told.bundle, "https://ehr.example.org/service-base-urls");
        let (system, value) = told.identifier;
        assert_eq!(organization["identifier"][0], json!({"system": system, "value": value}));
        assert_eq!(organization["endpoint"][0]["reference"], bundle["entry"][1]["fullUrl"]);
        assert_eq!(bundle["entry"][1]["resource"]["address"], "https://ehr.example.org/fhir");
        assert_eq!(
            organization["address"],
            json!([{"line": ["12 Old Mill Road"], "city": "Wrenfield", "state": "MA", "postalCode": "01997", "country": "US"}])
        );
    }
}
