//! Code systems that were imported, kept as resources: half a table says nothing, a whole one answers, to its tenant alone.

use std::io::Cursor;

use conformance::terminology::import::{LoincFiles, loinc};
use conformance::terminology::{ExpandRequest, LookupRequest, Terminology, ValueSetSource, model};
use interaction::code_tables::{self, TableName};
use interaction::{Caller, ValidationLevel};
use serde_json::{Value, json};
use store::Tenant;

use super::server::Server;

const LOINC: &str = "http://loinc.org";
const ROWS: usize = 3_000;

/// The resources of a made-up LOINC, in the order in which they are put; `said` stands in each display.
fn resources(version: &str, said: &str) -> Vec<Value> {
    let columns = "LOINC_NUM,COMPONENT,PROPERTY,TIME_ASPCT,SYSTEM,SCALE_TYP,METHOD_TYP,CLASS,STATUS,CLASSTYPE,ORDER_OBS";
    let mut table = format!("{columns},LONG_COMMON_NAME\n");
    let mut hierarchy =
        "PATH_TO_ROOT,SEQUENCE,IMMEDIATE_PARENT,CODE,CODE_TEXT\n,1,,LP1-1,Tastes\n".to_owned();
    for row in 0..ROWS {
        table.push_str(&format!(
            "{row}-1,Taste {row},,,,,,CHEM,ACTIVE,,,{said} {row} in a rather long sentence\n"
        ));
        hierarchy.push_str(&format!("LP1-1,1,LP1-1,{row}-1,Taste {row}\n"));
    }
    let files =
        LoincFiles { table: Cursor::new(table), hierarchy: Some(Cursor::new(hierarchy)), answers: None };
    let table = loinc(files, version).expect("it is LOINC's form");
    let (description, concepts) = (table.description().clone(), table.len());
    let mut pieces = Vec::new();
    let put = |number, bytes| -> Result<(), serde_json::Error> {
        pieces.push((number, bytes));
        Ok(())
    };
    table.write(put).expect("it can be written");
    let name = TableName::of(&description, &pieces);
    let piece = |(number, bytes): &(u32, Vec<u8>)| code_tables::piece(&name.name, *number, bytes);
    let mut resources: Vec<Value> = pieces.iter().map(piece).collect();
    assert!(resources.len() > 5, "{}", resources.len());
    resources.push(code_tables::system(&description, concepts, &name));
    resources
}

async fn put(server: &Server, resource: &Value) -> u16 {
    let (kind, id) = (resource["resourceType"].as_str(), resource["id"].as_str());
    let request = format!("PUT {}/{}\n\n{resource}", kind.expect("a type"), id.expect("an id"));
    server.send(&request).await.expect("it is put").status.code()
}

fn lookup(terminology: &Terminology, code: &str, version: Option<&str>) -> String {
    let code = model::Code {
        system: Some(LOINC.into()),
        code: Some(code.into()),
        version: version.map(Into::into),
        ..model::Code::default()
    };
    let request = LookupRequest { code, instance: None, display_language: None, properties: Vec::new() };
    terminology.lookup(&request).map_or_else(|error| error.to_string(), |found| found.display)
}

async fn display(server: &Server, caller: &Caller, code: &str, version: Option<&str>) -> String {
    let asked = server.service.ask(caller, |_, terminology| lookup(terminology, code, version)).await;
    asked.expect("the store answers")
}

#[tokio::test]
async fn half_a_table_says_nothing_and_a_whole_one_answers() {
    let server = Server::with(|_| {}, ValidationLevel::Base).await;
    let caller = server.caller.clone();
    let (resources, unknown) =
        (resources("1", "Sweet"), "the code system http://loinc.org|1 is not known here");
    let (system, pieces) = resources.split_last().expect("there is one");
    assert_eq!(display(&server, &caller, "7-1", Some("1")).await, unknown);
    for piece in pieces {
        assert_eq!(put(&server, piece).await, 201);
        assert_eq!(display(&server, &caller, "7-1", Some("1")).await, unknown);
    }
    assert_eq!(put(&server, system).await, 201);
    let said = "Sweet 7 in a rather long sentence";
    assert_eq!(display(&server, &caller, "7-1", Some("1")).await, said);
    assert_eq!(display(&server, &caller, "7-1", None).await, said);
    assert_eq!(
        display(&server, &caller, "7-2", None).await,
        "the code system http://loinc.org has no code 7-2"
    );
    // All pieces are needed.
    let listed = server.service.ask(&caller, |_, terminology| {
        let mut request = ExpandRequest::new(ValueSetSource::Canonical(format!("{LOINC}/vs/LP1-1")));
        request.filter = Some("sweet 2999".to_owned());
        terminology
            .expand(&request)
            .map(|it| it.contains.iter().map(|it| it.code.to_string()).collect::<Vec<_>>())
    });
    assert_eq!(listed.await.expect("the store answers"), Ok(vec!["2999-1".to_owned()]));
    // Of another tenant, nothing.
    let other = Caller { tenant: Tenant::new("other").expect("a name"), ..caller.clone() };
    if let Ok(said) = server.service.ask(&other, |_, terminology| lookup(terminology, "7-1", None)).await {
        assert_ne!(said, "Sweet 7 in a rather long sentence");
    }
    // What is written is checked by it.
    let observation = |code: &str| {
        let coding = json!([{ "system": LOINC, "code": code }]);
        json!({"resourceType": "Observation", "id": "o", "status": "final", "code": { "coding": coding }})
    };
    let refused = server.send(&format!("PUT Observation/o\n\n{}", observation("7-2"))).await;
    let refused = refused.expect_err("the code is bogus");
    let issue = refused.issues.first().expect("an issue");
    assert_eq!(
        (refused.status.code(), issue.expression.as_deref()),
        (422, Some("Observation.code.coding[0]")),
        "{issue:?}"
    );
    assert_eq!(put(&server, &observation("7-1")).await, 201);
    // The same again is nothing new.
    for resource in &resources {
        assert_eq!(put(&server, resource).await, 200);
    }
    let id = system["id"].as_str().expect("an id");
    assert_eq!(server.json(&format!("GET CodeSystem/{id}")).await["meta"]["versionId"], "1");
}

#[tokio::test]
async fn other_content_and_other_versions() {
    let server = Server::with(|_| {}, ValidationLevel::Off).await;
    let caller = server.caller.clone();
    let of = |said: &str| format!("{said} 7 in a rather long sentence");
    for resource in resources("2.9", "Sweet") {
        put(&server, &resource).await;
    }
    assert_eq!(display(&server, &caller, "7-1", None).await, of("Sweet"));
    // Other content for the same version: until the last resource is put, that of before.
    let again = resources("2.9", "Sour");
    let (system, pieces) = again.split_last().expect("there is one");
    for piece in pieces {
        assert_eq!(put(&server, piece).await, 201);
    }
    assert_eq!(display(&server, &caller, "8-1", None).await, "Sweet 8 in a rather long sentence");
    assert_eq!(put(&server, system).await, 200);
    assert_eq!(display(&server, &caller, "7-1", None).await, of("Sour"));
    // A later version counts where none is asked for; each answers when it is.
    for resource in resources("2.10", "Bitter") {
        put(&server, &resource).await;
    }
    for (version, said) in [(None, "Bitter"), (Some("2.10"), "Bitter"), (Some("2.9"), "Sour")] {
        assert_eq!(display(&server, &caller, "7-1", version).await, of(said), "{version:?}");
    }
    // What somebody else says of the code system does not count before it, whatever its version.
    let said = json!({"resourceType": "CodeSystem", "id": "said", "url": LOINC, "version": "3", "status": "active",
        "content": "fragment", "concept": [{"code": "7-1", "display": "Said"}]});
    assert_eq!(put(&server, &said).await, 201);
    assert_eq!(display(&server, &caller, "7-1", None).await, of("Bitter"));
    assert_eq!(display(&server, &caller, "7-1", Some("3")).await, "Said");
    // Who removes the CodeSystem removes the table.
    let id =
        resources("2.10", "Bitter").pop().expect("there is one")["id"].as_str().expect("an id").to_owned();
    server.send(&format!("DELETE CodeSystem/{id}")).await.expect("it is deleted");
    assert_eq!(display(&server, &caller, "7-1", None).await, of("Sour"));
}
