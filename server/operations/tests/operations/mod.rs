//! Operations over a real store, and the registry against the definitions. The crate that has this module says on which
//! engine.

#![allow(clippy::expect_used)] // the lints spare test functions by themselves, but not what they share

mod everything;
mod lastn;
mod purge;
mod reindex;
mod view;

use std::sync::Arc;

use ::operations::Invocation;
use conformance::Definitions;
use expect_test::{Expect, expect};
use interaction::{Caller, Limits, Outcome, OutcomeBody, Return, Service, WriteConditions};
use search::SearchIndex;
use store::{Access, Tenant, Timestamp};

const FHIR: &str = "application/fhir+json";

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
        erasure: true,
    };
    let service = Service {
        store: opened.store.clone(),
        validation: interaction::Validation::embedded(interaction::ValidationLevel::Profiles, &definitions),
        provenance: None,
        rulings: interaction::Rulings::default(),
        definitions,
        index,
        limits,
        base: "http://x/fhir".to_owned(),
        clock: Arc::new(|| Timestamp(0)),
        new_id: Arc::new(|| "new".to_owned()),
    };
    let caller = Caller::new(Tenant::default_tenant(), Access::unrestricted());
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
        let (status, text) = self.call(call, body).await;
        expected.assert_eq(&format!("{status} {}", without_time(&text)));
    }

    /// Calls `Type/id/$name?parameter`: status and body, a resource.
    async fn call(&self, call: &str, body: Option<&str>) -> (u16, String) {
        let (status, _, text) = self.other(call, body).await;
        let limits = fhirpath::tree::Limits::DEFAULT;
        fhirpath::Tree::parse_json(&self.service.definitions.schema, text.clone().into_bytes(), &limits)
            .expect("the answer keeps to the schema");
        (status, text)
    }

    /// Calls `Type/id/$name?parameter`: status, media type and body, whatever it is.
    async fn other(&self, call: &str, body: Option<&str>) -> (u16, String, String) {
        let (path, name) = call.split_once('$').expect("an operation");
        let (name, query) = name.split_once('?').unwrap_or((name, ""));
        let mut segments = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let parameters = query.split('&').filter(|name| !name.is_empty());
        let invocation = Invocation {
            resource_type: segments.next(),
            id: segments.next(),
            parameters: parameters
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(owned)
                .collect(),
            body: body.map(|body| body.as_bytes().to_vec()),
            is_xml: false,
            accept: None,
        };
        let (status, media_type, bytes) =
            match ::operations::invoke(&self.service, &self.caller, name, invocation).await {
                Ok(Outcome { status, body, .. }) => match body {
                    OutcomeBody::Resource(bytes) => (status, FHIR, bytes),
                    OutcomeBody::Other { media_type, bytes } => (status, media_type, bytes),
                    OutcomeBody::Empty => (status, FHIR, Default::default()),
                },
                Err(failure) => (failure.status, FHIR, failure.body()),
            };
        (status.code(), media_type.to_owned(), String::from_utf8_lossy(&bytes).into_owned())
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
async fn meta_add_and_delete() {
    let server = server().await;
    server.put("Patient/1", r#"{"resourceType":"Patient","id":"1","meta":{"source":"http://s","tag":[{"system":"http://t","code":"a","display":"A"}]}}"#).await;
    let meta = |text: &str| {
        format!(r#"{{"resourceType":"Parameters","parameter":[{{"name":"meta","valueMeta":{text}}}]}}"#)
    };
    let check = async |call: &str, given: &str, expected: Expect| {
        server.check(call, Some(&meta(given)), expected).await
    };
    // What is there already makes no version.
    check("Patient/1/$meta-add", r#"{"tag":[{"system":"http://t","code":"a","display":"Another"}]}"#, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":{"versionId":"1","lastUpdated":"TIME","source":"http://s","tag":[{"system":"http://t","code":"a","display":"A"}]}}]}"#]]).await;
    check("Patient/1/$meta-add", r#"{"source":"http://other","security":[{"code":"R"}],"tag":[{"code":"a"},{"system":"http://t","code":"b\"c"}]}"#, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":{"versionId":"2","lastUpdated":"TIME","source":"http://s","security":[{"code":"R"}],"tag":[{"system":"http://t","code":"a","display":"A"},{"code":"a"},{"system":"http://t","code":"b\"c"}]}}]}"#]]).await;
    check("Patient/1/$meta-delete", r#"{"tag":[{"system":"http://t","code":"a"},{"code":"none"}],"security":[{"code":"R"}]}"#, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":{"versionId":"3","lastUpdated":"TIME","source":"http://s","tag":[{"code":"a"},{"system":"http://t","code":"b\"c"}]}}]}"#]]).await;
    check("Patient/1/$meta-delete", r#"{"tag":[{"code":"none"}]}"#, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":{"versionId":"3","lastUpdated":"TIME","source":"http://s","tag":[{"code":"a"},{"system":"http://t","code":"b\"c"}]}}]}"#]]).await;
    check("Patient/none/$meta-add", r#"{"tag":[{"code":"a"}]}"#, expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/none."}}]}"#]]).await;
    // A profile that is put on a resource is one that it must keep to.
    let (status, body) = server
        .call(
            "Patient/1/$meta-add",
            Some(&meta(r#"{"profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]}"#)),
        )
        .await;
    assert!(status == 422 && body.contains("us-core-patient"), "{status} {body}");
    server.check("Patient/1/$meta-add", Some(r#"{"resourceType":"Parameters"}"#), expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","details":{"text":"Give a Parameters resource with the parameter meta, a Meta (valueMeta)."},"expression":["Parameters.parameter"]}]}"#]]).await;
    server.check("Patient/1/$meta-delete", Some(r#"{"resourceType":"Parameters","parameter":[{"name":"meta","valueString":"x"}]}"#), expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation has one parameter, meta, a Meta (valueMeta)."},"expression":["Parameters.parameter[0]"]}]}"#]]).await;
    server.check("Patient/1/$meta-add", None, expect![[r#"405 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $meta-add changes resources; call it with POST."}}]}"#]]).await;
    server.check("Patient/$meta-add", Some("{}"), expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $meta-add cannot be called on a type."}}]}"#]]).await;
}

#[tokio::test]
async fn unknown_operations() {
    let server = server().await;
    server.check("Patient/1/$nothing", None, expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"This server has no operation $nothing."}}]}"#]]).await;
}

#[test]
fn the_registry_agrees_with_the_definitions() {
    let definitions = Definitions::embedded().expect("the embedded tables are whole");
    // Of guides whose packages are not embedded, and Vesta's own.
    let (others, listed): (Vec<_>, Vec<_>) =
        ::operations::descriptors(true).into_iter().partition(|descriptor| {
            // R4 has no $purge.
            ["http://sql-on-fhir.org/", "urn:vesta:", "http://hl7.org/fhir/OperationDefinition/Patient-purge"]
                .iter()
                .any(|of| descriptor.definition.starts_with(of))
        });
    assert_eq!(
        others.iter().map(|descriptor| descriptor.name).collect::<Vec<_>>(),
        ["viewdefinition-run", "run", "reindex", "purge"]
    );
    for descriptor in listed {
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

const PATIENT: &str = r#"{"resourceType":"Patient","id":"1","gender":"female"}"#;

#[tokio::test]
async fn validate() {
    let server = server().await;
    server.put("Patient/1", PATIENT).await;
    let check =
        async |call: &str, body: Option<&str>, expected: Expect| server.check(call, body, expected).await;
    check("Patient/$validate", Some(PATIENT), expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Nothing is wrong."}}]}"#]]).await;
    check("Patient/1/$validate", None, expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Nothing is wrong."}}]}"#]]).await;
    let us_core =
        "Patient/1/$validate?profile=http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient";
    check(us_core, None, expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Validation_VAL_Profile_Minimum_other"}],"severity":"error","code":"required","details":{"text":"Patient.identifier: at least 1 required by http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient, and there is none."},"diagnostics":"line 1, column 1","expression":["Patient"]},{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Validation_VAL_Profile_Minimum_other"}],"severity":"error","code":"required","details":{"text":"Patient.name: at least 1 required by http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient, and there is none."},"diagnostics":"line 1, column 1","expression":["Patient"]}]}"#]]).await;
    check(&format!("{us_core}&mode=profile"), None, expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Validation_VAL_Profile_Minimum_other"}],"severity":"error","code":"required","details":{"text":"Patient.identifier: at least 1 required by http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient, and there is none."},"diagnostics":"line 1, column 1","expression":["Patient"]},{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Validation_VAL_Profile_Minimum_other"}],"severity":"error","code":"required","details":{"text":"Patient.name: at least 1 required by http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient, and there is none."},"diagnostics":"line 1, column 1","expression":["Patient"]}]}"#]]).await;
    let wrapped = |name: &str, rest: &str| {
        format!(r#"{{"resourceType":"Parameters","parameter":[{{"name":"{name}",{rest}}}]}}"#)
    };
    let observation = wrapped("resource", r#""resource":{"resourceType":"Observation","status":"fin"}"#);
    check("Observation/$validate", Some(&observation), expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":112},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Terminology_TX_NoValid_16"}],"severity":"error","code":"code-invalid","details":{"text":"The code fin is not in the value set http://hl7.org/fhir/ValueSet/observation-status|4.0.1."},"diagnostics":"line 1, column 112","expression":["Observation.status"]},{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":112},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Validation_VAL_Profile_Minimum_other"}],"severity":"error","code":"required","details":{"text":"code is required, and there is none."},"diagnostics":"line 1, column 112","expression":["Observation"]}]}"#]]).await;
    check("Patient/$validate", Some(&observation), expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"The resource is of type Observation, but the operation was called on Patient."},"expression":["Observation"]},{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":112},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Terminology_TX_NoValid_16"}],"severity":"error","code":"code-invalid","details":{"text":"The code fin is not in the value set http://hl7.org/fhir/ValueSet/observation-status|4.0.1."},"diagnostics":"line 1, column 112","expression":["Observation.status"]},{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":112},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Validation_VAL_Profile_Minimum_other"}],"severity":"error","code":"required","details":{"text":"code is required, and there is none."},"diagnostics":"line 1, column 112","expression":["Observation"]}]}"#]]).await;
    check("Patient/$validate", Some("{\n \"resourceType\":\"Patient\",\n \"gendr\":1}"), expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":3},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":2}],"severity":"error","code":"structure","details":{"text":"Patient has no element 'gendr'; 'gender' is near."},"diagnostics":"line 3, column 2","expression":["Patient.gendr"]}]}"#]]).await;
    check("Patient/$validate", Some("{"), expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":1}],"severity":"error","code":"structure","details":{"text":"A resource needs a resourceType, for instance \"resourceType\": \"Patient\"."},"diagnostics":"line 1, column 1","expression":["Resource"]},{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":2}],"severity":"error","code":"invalid","details":{"text":"This is not JSON: expected a name in quotes, found the end of the text."},"diagnostics":"line 1, column 2","expression":["Resource"]}]}"#]]).await;
    check("Patient/2/$validate?mode=update", Some(PATIENT), expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"An update needs the id of the resource that it is to update."},"expression":["Patient.id"]}]}"#]]).await;
    check("Patient/1/$validate?mode=delete", None, expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Nothing is wrong."}}]}"#]]).await;
    check("Patient/2/$validate?mode=delete", None, expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/2."}}]}"#]]).await;
    check("Patient/$validate?mode=delete", None, expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"The mode delete is about a stored resource: call it on one."},"expression":["http.mode"]}]}"#]]).await;
    check("Patient/1/$validate?mode=create", Some(PATIENT), expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"The mode create is about a new resource: call it on the type."},"expression":["http.mode"]}]}"#]]).await;
    check("Patient/$validate?mode=guess", Some(PATIENT), expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"There is no mode guess; there are create, update, delete and profile."},"expression":["http.mode"]}]}"#]]).await;
    check("Patient/$validate?profile=http://x/none", Some(PATIENT), expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"The profile http://x/none is not known here."},"expression":["http.profile"]}]}"#]]).await;
    check("Patient/$validate?verbose=true", Some(PATIENT), expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $validate has no parameter verbose."},"expression":["http.verbose"]}]}"#]]).await;
    check("Patient/$validate", None, expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","details":{"text":"$validate on a type needs a resource."},"expression":["Parameters.parameter"]}]}"#]]).await;
}

#[tokio::test]
async fn terminology() {
    let server = server().await;
    server.put("CodeSystem/s", r#"{"resourceType":"CodeSystem","id":"s","url":"http://x/s","name":"S","status":"active","content":"complete","hierarchyMeaning":"is-a","concept":[{"code":"top","display":"Top","concept":[{"code":"low","display":"Low"}]}]}"#).await;
    server.put("ValueSet/v", r#"{"resourceType":"ValueSet","id":"v","url":"http://x/v","status":"active","compose":{"include":[{"system":"http://x/s"}]}}"#).await;
    server.put("ConceptMap/m", r#"{"resourceType":"ConceptMap","id":"m","url":"http://x/m","status":"active","group":[{"source":"http://x/s","target":"http://x/t","element":[{"code":"top","target":[{"code":"t","equivalence":"equal"}]}]}]}"#).await;
    let check =
        async |call: &str, body: Option<&str>, expected: Expect| server.check(call, body, expected).await;
    check("ValueSet/v/$expand", None, expect![[r#"200 {"resourceType":"ValueSet","url":"http://x/v","status":"active","expansion":{"identifier":"urn:uuid:new","timestamp":"1970-01-01T00:00:00.000Z","total":2,"contains":[{"system":"http://x/s","code":"top","display":"Top","contains":[{"system":"http://x/s","code":"low","display":"Low"}]}]}}"#]]).await;
    check("ValueSet/$expand?url=http://x/v&filter=low&count=1", None, expect![[r#"200 {"resourceType":"ValueSet","url":"http://x/v","status":"active","expansion":{"identifier":"urn:uuid:new","timestamp":"1970-01-01T00:00:00.000Z","total":1,"parameter":[{"name":"filter","valueString":"low"},{"name":"count","valueInteger":1}],"contains":[{"system":"http://x/s","code":"low","display":"Low"}]}}"#]]).await;
    check("ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender", None, expect![[r#"200 {"resourceType":"ValueSet","url":"http://hl7.org/fhir/ValueSet/administrative-gender","version":"4.0.1","name":"AdministrativeGender","title":"AdministrativeGender","status":"active","expansion":{"identifier":"urn:uuid:new","timestamp":"1970-01-01T00:00:00.000Z","total":4,"parameter":[{"name":"version","valueUri":"http://hl7.org/fhir/administrative-gender|4.0.1"}],"contains":[{"system":"http://hl7.org/fhir/administrative-gender","code":"male","display":"Male"},{"system":"http://hl7.org/fhir/administrative-gender","code":"female","display":"Female"},{"system":"http://hl7.org/fhir/administrative-gender","code":"other","display":"Other"},{"system":"http://hl7.org/fhir/administrative-gender","code":"unknown","display":"Unknown"}]}}"#]])
        .await;
    check("ValueSet/$expand?url=http://x/none", None, expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"the value set http://x/none is not known here"}}]}"#]]).await;
    check("ValueSet/none/$expand", None, expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource ValueSet/none."}}]}"#]]).await;
    check("ValueSet/$validate-code?url=http://x/v&system=http://x/s&code=low", None, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"display","valueString":"Low"},{"name":"code","valueCode":"low"},{"name":"system","valueUri":"http://x/s"}]}"#]]).await;
    check("ValueSet/v/$validate-code?system=http://x/s&code=none", None, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"the code http://x/s#none is not in the value set http://x/v"},{"name":"code","valueCode":"none"},{"name":"system","valueUri":"http://x/s"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"code-invalid","details":{"text":"the code http://x/s#none is not in the value set http://x/v"}}]}}]}"#]]).await;
    check("CodeSystem/s/$validate-code?code=low&display=Wrong", None, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"the code low is displayed as \"Low\", not \"Wrong\""},{"name":"display","valueString":"Low"},{"name":"code","valueCode":"low"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"the code low is displayed as \"Low\", not \"Wrong\""}}]}}]}"#]]).await;
    check("Patient/$validate-code?code=low", None, expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $validate-code cannot be called on Patient."}}]}"#]]).await;
    check("CodeSystem/$lookup?system=http://x/s&code=low", None, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"name","valueString":"S"},{"name":"display","valueString":"Low"},{"name":"property","part":[{"name":"code","valueCode":"parent"},{"name":"value","valueCode":"top"}]}]}"#]]).await;
    check("CodeSystem/$lookup?system=http://x/s&code=none", None, expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"code-invalid","details":{"text":"the code system http://x/s has no code none"}}]}"#]]).await;
    check("CodeSystem/$lookup?system=http://x/s&code=low&guess", None, expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"the parameter guess is not one of this operation's"},"expression":["http.guess"]}]}"#]]).await;
    check(
        "CodeSystem/s/$subsumes?codeA=top&codeB=low",
        None,
        expect![[
            r#"200 {"resourceType":"Parameters","parameter":[{"name":"outcome","valueCode":"subsumes"}]}"#
        ]],
    )
    .await;
    check("ConceptMap/$translate?url=http://x/m&system=http://x/s&code=top", None, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"match","part":[{"name":"equivalence","valueCode":"equal"},{"name":"concept","valueCoding":{"system":"http://x/t","code":"t"}},{"name":"source","valueUri":"http://x/m"}]}]}"#]]).await;
    check("ConceptMap/m/$translate?system=http://x/s&code=top", None, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"match","part":[{"name":"equivalence","valueCode":"equal"},{"name":"concept","valueCoding":{"system":"http://x/t","code":"t"}},{"name":"source","valueUri":"http://x/m"}]}]}"#]]).await;
    let body = r#"{"resourceType":"Parameters","parameter":[{"name":"coding","valueCoding":{"system":"http://x/s","code":"top"}}]}"#;
    check("CodeSystem/$lookup", Some(body), expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"name","valueString":"S"},{"name":"display","valueString":"Top"},{"name":"property","part":[{"name":"code","valueCode":"child"},{"name":"value","valueCode":"low"}]}]}"#]]).await;
    check("CodeSystem/$lookup?code=top", Some(body), expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"Give the parameters in the URL or in the body, not both."},"expression":["http.code"]}]}"#]]).await;
}

#[tokio::test]
async fn closure() {
    let server = server().await;
    server.put("CodeSystem/s", r#"{"resourceType":"CodeSystem","id":"s","url":"http://x/s","name":"S","status":"active","content":"complete","hierarchyMeaning":"is-a","concept":[{"code":"top","display":"Top","concept":[{"code":"low","display":"Low"}]}]}"#).await;
    let body = |rest: &str| {
        format!(r#"{{"resourceType":"Parameters","parameter":[{{"name":"name","valueString":"t"}}{rest}]}}"#)
    };
    let codes = |code: &str| {
        body(&format!(r#",{{"name":"concept","valueCoding":{{"system":"http://x/s","code":"{code}"}}}}"#))
    };
    let check = async |body: String, expected: Expect| server.check("$closure", Some(&body), expected).await;
    check(codes("top"), expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no closure table of this name; call $closure with nothing but the name first."},"expression":["http.name"]}]}"#]]).await;
    check(body(""), expect![[r#"200 {"resourceType":"ConceptMap","version":"0","name":"Updates for t","status":"active","experimental":true,"date":"1970-01-01T00:00:00.000Z"}"#]]).await;
    check(codes("top"), expect![[r#"200 {"resourceType":"ConceptMap","version":"1","name":"Updates for t","status":"active","experimental":true,"date":"1970-01-01T00:00:00.000Z"}"#]]).await;
    check(codes("low"), expect![[r#"200 {"resourceType":"ConceptMap","version":"2","name":"Updates for t","status":"active","experimental":true,"date":"1970-01-01T00:00:00.000Z","group":[{"source":"http://x/s","target":"http://x/s","element":[{"code":"low","target":[{"code":"top","equivalence":"subsumes"}]}]}]}"#]]).await;
    check(codes("none"), expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"code-invalid","details":{"text":"the code system http://x/s has no code none"}}]}"#]]).await;
    check(body(r#",{"name":"version","valueString":"1"}"#), expect![[r#"200 {"resourceType":"ConceptMap","version":"2","name":"Updates for t","status":"active","experimental":true,"date":"1970-01-01T00:00:00.000Z","group":[{"source":"http://x/s","target":"http://x/s","element":[{"code":"low","target":[{"code":"top","equivalence":"subsumes"}]}]}]}"#]]).await;
    server.check("$closure?name=t", None, expect![[r#"405 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $closure changes a table; call it with POST."}}]}"#]]).await;
}
