//! Operations over a real store, and the registry against the definitions. The crate that has this module says on which
//! engine.

#![allow(clippy::expect_used)] // the lints spare test functions by themselves, but not what they share

use std::sync::Arc;

use ::operations::Invocation;
use conformance::Definitions;
use expect_test::{Expect, expect};
use interaction::{Caller, Limits, OutcomeBody, Return, Service, WriteConditions};
use search::SearchIndex;
use store::{Access, Tenant, Timestamp};

struct Server {
    service: Service,
    caller: Caller,
    _opened: engines::Opened,
}

async fn server() -> Server {
    let definitions = Arc::new(Definitions::embedded().expect("the embedded tables are whole"));
    let index = Arc::new(SearchIndex::new(Arc::clone(&definitions), vec!["http://x/fhir".to_owned()]));
    let opened = crate::ENGINE.open(Arc::clone(&index) as _).await;
    let limits = Limits {
        body: fhirpath::tree::Limits::DEFAULT,
        bundle_entries: 10,
        default_count: 10,
        max_count: 10,
        includes: 10,
    };
    let service = Service {
        store: opened.store.clone(),
        validation: interaction::Validation::embedded(interaction::ValidationLevel::Profiles, &definitions),
        definitions,
        index,
        limits,
        base: "http://x/fhir".to_owned(),
        clock: Arc::new(|| Timestamp(0)),
        new_id: Arc::new(|| "new".to_owned()),
    };
    let caller = Caller { tenant: Tenant::default_tenant(), access: Access::unrestricted() };
    Server { service, caller, _opened: opened }
}

impl Server {
    async fn put(&self, url: &str, body: &str) {
        let (resource_type, id) = url.split_once('/').expect("Type/id");
        let (conditions, body) = (WriteConditions::default(), body.as_bytes().to_vec());
        let (service, caller) = (&self.service, &self.caller);
        interaction::update(service, caller, resource_type, id, body, &conditions, Return::Minimal)
            .await
            .expect("it is stored");
    }

    /// Calls `Type/id/$name?parameter` and compares status and body.
    async fn check(&self, call: &str, body: Option<&str>, expected: Expect) {
        let (path, name) = call.split_once('$').expect("an operation");
        let (name, query) = name.split_once('?').unwrap_or((name, ""));
        let mut segments = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned);
        let parameters = query.split('&').filter(|name| !name.is_empty());
        let invocation = Invocation {
            resource_type: segments.next(),
            id: segments.next(),
            parameters: parameters.map(|name| (name.to_owned(), String::new())).collect(),
            body: body.map(|body| body.as_bytes().to_vec()),
        };
        let (status, bytes) = match ::operations::invoke(&self.service, &self.caller, name, invocation).await
        {
            Ok(outcome) => match outcome.body {
                OutcomeBody::Resource(bytes) => (outcome.status, bytes),
                OutcomeBody::Empty => (outcome.status, Default::default()),
            },
            Err(failure) => (failure.status, failure.body()),
        };
        let text = std::str::from_utf8(&bytes).expect("UTF-8");
        let limits = fhirpath::tree::Limits::DEFAULT;
        fhirpath::Tree::parse_json(&self.service.definitions.schema, bytes.to_vec(), &limits)
            .expect("the answer keeps to the schema");
        expected.assert_eq(&format!("{} {}", status.code(), without_time(text)));
    }
}

fn without_time(text: &str) -> String {
    match text.split_once("\"lastUpdated\":\"") {
        Some((before, after)) => {
            format!("{before}\"lastUpdated\":\"TIME{}", after.get(24..).unwrap_or_default())
        }
        None => text.to_owned(),
    }
}

#[tokio::test]
async fn meta() {
    let server = server().await;
    let labelled = r#"{"resourceType":"Patient","meta":{"source":"http://s","profile":["http://p/2","http://p/1"],"tag":[{"system":"http://t","code":"a"}]}}"#;
    server.put("Patient/1", labelled).await;
    server.put("Patient/2", labelled).await;
    server
        .put(
            "Patient/3",
            r#"{"resourceType":"Patient","meta":{"security":[{"code":"R"}],"tag":[{"code":"b"}]}}"#,
        )
        .await;
    server
        .put(
            "Group/1",
            r#"{"resourceType":"Group","type":"person","actual":true,"meta":{"tag":[{"code":"g"}]}}"#,
        )
        .await;
    server.check("Patient/1/$meta", None, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":{"versionId":"1","lastUpdated":"TIME","source":"http://s","profile":["http://p/2","http://p/1"],"tag":[{"system":"http://t","code":"a"}]}}]}"#]]).await;
    server.check("Patient/$meta", None, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":{"profile":["http://p/1","http://p/2"],"security":[{"code":"R"}],"tag":[{"code":"b"},{"system":"http://t","code":"a"}]}}]}"#]]).await;
    server.check("$meta", Some(r#"{"resourceType":"Parameters"}"#), expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":{"profile":["http://p/1","http://p/2"],"security":[{"code":"R"}],"tag":[{"code":"b"},{"code":"g"},{"system":"http://t","code":"a"}]}}]}"#]]).await;
    server.check("Encounter/$meta", Some(""), expect![[r#"200 {"resourceType":"Parameters"}"#]]).await;
    server.check("Patient/none/$meta", None, expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/none."}}]}"#]]).await;
    server.check("Nonsense/$meta", None, expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"Nonsense is not a resource type of FHIR R4."}}]}"#]]).await;
    server.check("Patient/1/$meta?mode", None, expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $meta has no parameter mode."},"expression":["http.mode"]}]}"#]]).await;
    server
        .check(
            "Patient/1/$meta",
            Some(r#"{"resourceType":"Parameters","parameter":[{"name":"x","valueBoolean":true}]}"#),
            expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $meta has no parameter x."},"expression":["Parameters.parameter[0]"]}]}"#]],
        )
        .await;
    server.check("Patient/1/$meta", Some(r#"{"resourceType":"Patient"}"#), expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"An operation takes a Parameters resource, not a Patient."}}]}"#]]).await;
}

#[tokio::test]
async fn unknown_operations() {
    let server = server().await;
    server.check("Patient/1/$everything", None, expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"This server has no operation $everything."}}]}"#]]).await;
}

#[test]
fn the_registry_agrees_with_the_definitions() {
    let definitions = Definitions::embedded().expect("the embedded tables are whole");
    for descriptor in ::operations::descriptors() {
        let defined = definitions.packages.iter().flat_map(|package| &package.operations);
        let definition = defined
            .clone()
            .find(|definition| definition.url == descriptor.definition)
            .expect("each operation has an OperationDefinition");
        assert_eq!(definition.code, descriptor.name);
        assert_eq!(
            (definition.system, definition.on_type, definition.instance, definition.affects_state),
            (descriptor.system, descriptor.type_level, descriptor.instance, descriptor.affects_state),
            "{}",
            descriptor.name
        );
    }
}
