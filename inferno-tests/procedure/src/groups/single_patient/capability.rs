//! What the server says that it can (groups 10.1 and 12.1).

use serde_json::Value;

use super::Api;
use crate::hello;
use crate::http::{Checked, ensure, text};
use crate::navigation::list;

impl Api<'_> {
    pub(super) async fn capability(&mut self) {
        let url = format!("{}/metadata", self.inputs.base);
        let headers = [("accept", "application/fhir+json")];
        let found = self.http.get(&url, &headers).await.and_then(|one| one.resource("CapabilityStatement"));
        let tls = hello::check(&self.http, &self.inputs.base).await;
        let valid = found.clone().and_then(|statement| {
            let errors = self.judge.errors(&statement, "");
            ensure(errors.is_empty(), || errors.join("; ")).map(|()| statement)
        });
        let group = format!("{}-{}_capability_statement", self.top, self.guide.prefix());
        let demanded: Vec<&str> = self
            .guide
            .profiles
            .iter()
            .filter(|one| !one.is_optional && one.kind != "Medication")
            .map(|one| one.url.as_str())
            .collect();
        let mut group = self.report.group_of(&group, &self.guide.option());
        group.found("standalone_auth_tls", tls.into());
        group.saw("us_core_conformance_support", valid);
        let Ok(statement) = found else { return };
        let is_r4 = text(&statement, "fhirVersion").is_some_and(|version| version.starts_with("4.0"));
        group.found("us_core_fhir_version", ensure(is_r4, || "fhirVersion is not 4.0".to_owned()).into());
        let formats = list(statement.get("format"));
        let is_json = |one: &&Value| {
            matches!(one.as_str(), Some("json" | "application/json" | "application/fhir+json"))
        };
        let has_json = ensure(formats.iter().any(is_json), || "format has no JSON".to_owned());
        group.found("us_core_json_support", has_json.into());
        group.found("us_core_profile_support", profiles(&statement, &demanded).into());
        let instantiates = list(statement.get("instantiates")).into_iter().filter_map(Value::as_str);
        const SERVER: &str = "http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server";
        let is_server = instantiates.into_iter().any(|url| url.split('|').next() == Some(SERVER));
        let instantiated = ensure(is_server, || format!("instantiates has no {SERVER}"));
        group.found("us_core_instantiate", instantiated.into());
    }
}

fn profiles(statement: &Value, demanded: &[&str]) -> Checked {
    let resources = list(statement.get("rest")).into_iter().flat_map(|rest| list(rest.get("resource")));
    let supported: Vec<&str> = resources
        .flat_map(|one| list(one.get("supportedProfile")))
        .filter_map(|url| url.as_str().and_then(|url| url.split('|').next()))
        .collect();
    let missing: Vec<&&str> = demanded.iter().filter(|url| !supported.contains(*url)).collect();
    ensure(missing.is_empty(), || format!("supportedProfile has no {missing:?}"))
}
