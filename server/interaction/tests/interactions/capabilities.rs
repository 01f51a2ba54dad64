//! The CapabilityStatement against the registries it is written from.

use std::collections::BTreeSet;

use interaction::{INTERACTIONS, OperationDescriptor};
use search::{Handling, ParseContext};
use serde_json::Value;

use super::server::Server;

const TOUCH: OperationDescriptor = OperationDescriptor {
    name: "touch",
    definition: "http://example.org/OperationDefinition/touch",
    resource_types: &["Patient"],
    system: true,
    type_level: false,
    instance: true,
    affects_state: true,
};

fn statement(server: &Server) -> Value {
    let bytes = interaction::capabilities(&server.service, &[TOUCH]);
    let limits = fhirpath::tree::Limits::DEFAULT;
    let tree = fhirpath::Tree::parse_json(&server.service.definitions.schema, bytes.to_vec(), &limits)
        .expect("the statement keeps to the schema");
    let mut canonical = Vec::new();
    tree.write_json(&mut canonical);
    assert_eq!(canonical, bytes, "members are in the order of the specification");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn texts<'v>(list: &'v Value, member: &str) -> BTreeSet<&'v str> {
    list.as_array().expect("a list").iter().filter_map(|item| item[member].as_str()).collect()
}

#[tokio::test]
async fn it_says_what_the_registries_say() {
    let server = Server::new().await;
    let statement = statement(&server);
    let definitions = &server.service.definitions;
    let rest = &statement["rest"][0];
    let resources = rest["resource"].as_array().expect("resources");
    let types: Vec<&str> = resources.iter().filter_map(|resource| resource["type"].as_str()).collect();
    assert_eq!(types, definitions.resource_types());
    let listed = |on_types: bool| -> BTreeSet<&str> {
        INTERACTIONS.iter().filter(|it| it.on_types == on_types).map(|it| it.code).collect()
    };
    assert_eq!(texts(&rest["interaction"], "code"), listed(false));
    for resource in resources {
        let name = resource["type"].as_str().expect("a type");
        assert_eq!(texts(&resource["interaction"], "code"), listed(true), "{name}");
        let known: BTreeSet<&str> = definitions
            .search_parameters
            .of(name)
            .filter(|parameter| {
                parameter.is_indexed() || ["_text", "_content"].contains(&parameter.code.as_str())
            })
            .map(|parameter| parameter.code.as_str())
            .collect();
        assert_eq!(texts(&resource["searchParam"], "name"), known, "{name}");
        let operations = resource.get("operation").map(|list| texts(list, "name")).unwrap_or_default();
        let touched: BTreeSet<&str> = if name == "Patient" { ["touch"].into() } else { BTreeSet::new() };
        assert_eq!(operations, touched, "{name}");
    }
    assert_eq!(texts(&rest["operation"], "name"), ["touch"].into());
    let patient = resources.iter().find(|resource| resource["type"] == "Patient").expect("Patient");
    let profiles: Vec<&str> =
        patient["supportedProfile"].as_array().expect("profiles").iter().filter_map(Value::as_str).collect();
    assert!(
        profiles.contains(&"http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"),
        "{profiles:?}"
    );
    let combined = |codes: [&str; 2]| {
        let extensions = patient["extension"].as_array().expect("combinations");
        extensions.iter().any(|it| {
            let given = it["extension"].as_array().expect("parameters").iter();
            given.filter_map(|it| it["valueString"].as_str()).eq(codes)
        })
    };
    assert!(combined(["gender", "name"]) && !combined(["name", "gender"]), "{}", patient["extension"]);
    assert_eq!(
        statement["instantiates"],
        serde_json::json!(["http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server|6.1.0"])
    );
    assert_eq!(statement["implementation"]["url"], super::server::BASE);
    assert_eq!(statement["fhirVersion"], "4.0.1");
}

#[tokio::test]
async fn every_include_it_offers_is_understood() {
    let server = Server::new().await;
    let statement = statement(&server);
    let context = ParseContext {
        index: &server.service.index,
        handling: Handling::Strict,
        now: 0,
        default_count: 20,
        max_count: 100,
        terminology: None,
    };
    let mut offered = 0;
    for resource in statement["rest"][0]["resource"].as_array().expect("resources") {
        let name = resource["type"].as_str().expect("a type");
        for (parameter, list) in [("_include", "searchInclude"), ("_revinclude", "searchRevInclude")] {
            for value in resource.get(list).and_then(Value::as_array).into_iter().flatten() {
                let value = value.as_str().expect("a text").to_owned();
                let asked = [(parameter.to_owned(), value)];
                if let Err(issues) = search::parse(&context, Some(name), None, &asked) {
                    panic!("{name}?{asked:?}: {issues:?}");
                }
                offered += 1;
            }
        }
    }
    assert!(offered > 1000, "{offered}");
}
