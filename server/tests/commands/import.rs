//! `vesta import`: small releases in the publishers' formats, written for these tests, answer over HTTP.

use std::path::Path;

use serde_json::{Value, json};

use super::support::{Answer, Server, directory, done, run, said};
use super::text;

const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";
const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
const ICD: &str = "http://hl7.org/fhir/sid/icd-10-cm";

/// A folder with a release of each, as it is unpacked.
fn releases() -> tempfile::TempDir {
    let folder = directory();
    let file = |path: &str, content: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    file(
        "loinc/LoincTable/Loinc.csv",
        "LOINC_NUM,COMPONENT,PROPERTY,TIME_ASPCT,SYSTEM,SCALE_TYP,METHOD_TYP,CLASS,STATUS,CLASSTYPE,ORDER_OBS,\
         LONG_COMMON_NAME\r\n\
         \"0001-1\",\"Sweetness\",MCnc,Pt,Bld,Qn,,CHEM,ACTIVE,1,Both,\"Sweetness in Serum, or \"\"Plasma\"\"\"\r\n\
         \"0002-9\",\"Sourness\",MCnc,Pt,Bld,Qn,,CHEM,DEPRECATED,1,Both,\"Sourness\"\r\n",
    );
    file(
        "loinc/AccessoryFiles/ComponentHierarchyBySystem/ComponentHierarchyBySystem.csv",
        "PATH_TO_ROOT,SEQUENCE,IMMEDIATE_PARENT,CODE,CODE_TEXT\n,1,,LP1-1,Tastes\nLP1-1,1,LP1-1,0001-1,Sweetness\n",
    );
    let terminology = "snomed/Snapshot/Terminology";
    file(
        &format!("{terminology}/sct2_Concept_Snapshot_INT_20250101.txt"),
        "id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId\r\n\
         138875005\t20020131\t1\t1\t900000000000074008\r\n\
         10\t20020131\t1\t1\t900000000000074008\r\n\
         11\t20020131\t1\t1\t900000000000073002\r\n",
    );
    file(
        &format!("{terminology}/sct2_Description_Snapshot-en_INT_20250101.txt"),
        "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\r\n\
         1\t20020131\t1\t1\t138875005\ten\t900000000000003001\tRoot (root)\t1\r\n\
         2\t20020131\t1\t1\t10\ten\t900000000000013009\tTaste\t1\r\n\
         3\t20020131\t1\t1\t11\ten\t900000000000013009\tSweet taste\t1\r\n",
    );
    file(
        &format!("{terminology}/sct2_Relationship_Snapshot_INT_20250101.txt"),
        "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\t\
         characteristicTypeId\tmodifierId\n\
         1\t1\t1\t1\t10\t138875005\t0\t116680003\t900000000000011006\t1\n\
         2\t1\t1\t1\t11\t10\t0\t116680003\t900000000000011006\t1\n",
    );
    file(
        "rxnorm/rrf/RXNCONSO.RRF",
        "1|ENG||||||1|1|1||RXNORM|IN|1|sweetol||N|4096|\n\
         2|ENG||||||2|2|2||RXNORM|SCD|2|sweetol 10 MG Oral Tablet||N|4096|\n",
    );
    file("rxnorm/rrf/RXNREL.RRF", "1||CUI|RO|2||CUI|has_ingredient|1||RXNORM|RXNORM|||N||\n");
    file(
        "icd/icd10cm-order-2025.txt",
        &[("00001 A00     0 ", "Sweetness"), ("00002 A000    1 ", "Sweetness of sugar")]
            .map(|(start, name)| format!("{start}{name:<60} {name}\r\n"))
            .concat(),
    );
    folder
}

fn parameters(answer: Answer) -> Value {
    let answer = answer.expect(200).json();
    let each = answer["parameter"].as_array().unwrap().iter();
    let values = each.filter_map(|it| {
        let (name, value) =
            (it["name"].as_str()?, it.as_object()?.iter().find(|(key, _)| key.starts_with("value"))?);
        Some((name.to_owned(), value.1.clone()))
    });
    values.collect::<serde_json::Map<_, _>>().into()
}

fn lookup(server: &Server, base: &str, system: &str, code: &str) -> Answer {
    server.get(&format!("{base}/CodeSystem/$lookup?system={system}&code={code}"))
}

/// The codes that an is-a filter lets pass.
fn below(server: &Server, system: &str, code: &str) -> String {
    let filter = json!([{ "property": "concept", "op": "is-a", "value": code }]);
    let set = json!({ "resourceType": "ValueSet", "status": "active",
        "compose": { "include": [{ "system": system, "filter": filter }] } });
    let parameters = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "valueSet", "resource": set }, { "name": "excludeNested", "valueBoolean": true }] });
    let answer = server.post("/fhir/ValueSet/$expand", &parameters.to_string()).expect(200).json();
    let contains = answer["expansion"]["contains"].as_array().unwrap();
    contains.iter().map(|it| it["code"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn observation(system: &str, code: &str) -> String {
    json!({ "resourceType": "Observation", "id": "o", "status": "final",
        "code": { "coding": [{ "system": system, "code": code }] } })
    .to_string()
}

fn import(system: &str, folder: &Path, to: &[&str]) -> String {
    let arguments = ["import", system, text(folder), "--release", "1"];
    done(&[&arguments[..], to].concat())
}

#[test]
fn import_of_each_code_system() {
    let (data, releases) = (directory(), releases());
    let folder = releases.path();
    let base = text(data.path());
    // Into a stopped server's store, and through a running one.
    let said = import("loinc", &folder.join("loinc"), &["--data", base]);
    assert!(said.contains("Imported http://loinc.org 1: 3 codes in 2 pieces, "), "{said}");
    import("snomed", &folder.join("snomed"), &["--data", base]);
    let server = Server::start(data.path());
    import("rxnorm", &folder.join("rxnorm"), &["--server", &server.base()]);
    import("icd-10-cm", &folder.join("icd"), &["--data", base]);

    for (system, code, display, (a, b, relation), (root, listed)) in [
        (
            LOINC,
            "0001-1",
            "Sweetness in Serum, or \"Plasma\"",
            ("LP1-1", "0001-1", "subsumes"),
            ("LP1-1", "LP1-1 0001-1"),
        ),
        (SNOMED, "11", "Sweet taste", ("11", "138875005", "subsumed-by"), ("10", "10 11")),
        (RXNORM, "2", "sweetol 10 MG Oral Tablet", ("1", "2", "not-subsumed"), ("1", "1")),
        (ICD, "A00.0", "Sweetness of sugar", ("A00", "A00.0", "subsumes"), ("A00", "A00 A00.0")),
    ] {
        let found = parameters(lookup(&server, "/fhir", system, code));
        assert_eq!(
            (found["display"].as_str(), found["version"].as_str()),
            (Some(display), Some("1")),
            "{system}"
        );
        for (code, expected) in [(code, true), ("bogus", false)] {
            let asked = format!("/fhir/CodeSystem/$validate-code?url={system}&code={code}");
            assert_eq!(parameters(server.get(&asked))["result"], expected, "{system} {code}");
        }
        let asked = format!("/fhir/CodeSystem/$subsumes?system={system}&codeA={a}&codeB={b}");
        assert_eq!(parameters(server.get(&asked))["outcome"], relation, "{system}");
        assert_eq!(below(&server, system, root), listed, "{system}");
        let refused = server.put("/fhir/Observation/o", &observation(system, "bogus")).expect(422).json();
        let issue = &refused["issue"][0];
        assert_eq!(
            (&issue["code"], &issue["expression"], &issue["details"]["text"]),
            (
                &json!("code-invalid"),
                &json!(["Observation.code.coding[0]"]),
                &json!(format!("The code system {system} has no code bogus."))
            ),
            "{refused}"
        );
        let status = server.put("/fhir/Observation/o", &observation(system, code)).status;
        assert!(matches!(status, 200 | 201), "{system}: {status}");
    }
    // On the resource that stands for it.
    let found = server.get(&format!("/fhir/CodeSystem?url={LOINC}&_elements=id")).expect(200).json();
    let id = found["entry"][0]["resource"]["id"].as_str().unwrap();
    for (code, expected) in [("0001-1", true), ("bogus", false)] {
        let asked = format!("/fhir/CodeSystem/{id}/$validate-code?code={code}");
        assert_eq!(parameters(server.get(&asked))["result"], expected, "{code}");
    }
    server.stop();
}

#[test]
fn import_goes_on_and_mends() {
    let (data, other, releases) = (directory(), directory(), releases());
    let folder = releases.path().join("loinc");
    let server = Server::start(data.path());
    import("loinc", &folder, &["--data", text(data.path())]);
    let pieces = |server: &Server| {
        let found = server.get("/fhir/Binary").expect(200).json();
        let entries = found["entry"].as_array().cloned().unwrap_or_default();
        entries.into_iter().map(|entry| entry["resource"].clone()).collect::<Vec<Value>>()
    };
    let whole = pieces(&server);
    assert_eq!(whole.len(), 2);
    // An import that was interrupted before its end, on another server: nobody sees anything of it.
    let second = Server::start(other.path());
    for piece in &whole {
        second
            .put(&format!("/fhir/Binary/{}", piece["id"].as_str().unwrap()), &piece.to_string())
            .expect(201);
    }
    lookup(&second, "/fhir", LOINC, "0001-1").expect(404);
    second.put("/fhir/Observation/o", &observation(LOINC, "bogus")).expect(201);
    // The same command ends it; what was there is not written again.
    import("loinc", &folder, &["--server", &second.base()]);
    lookup(&second, "/fhir", LOINC, "0001-1").expect(200);
    second.put("/fhir/Observation/o", &observation(LOINC, "wrong")).expect(422);
    let versions: Vec<Value> = pieces(&second).iter().map(|it| it["meta"]["versionId"].clone()).collect();
    assert_eq!(versions, ["1", "1"]);
    second.stop();
    // Faults of the release: nothing of it is there.
    let table = folder.join("LoincTable/Loinc.csv");
    let good = std::fs::read_to_string(&table).unwrap();
    std::fs::write(&table, format!("{good}\"0003-7\"\n")).unwrap();
    let command = ["import", "loinc", text(&folder), "--release", "1", "--data", text(data.path())];
    let fails = |command: &[&str], code: i32, expected: &str| {
        let output = run(command);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    };
    fails(&command, 1, "vesta: cannot import the release: Loinc.csv, line 4: has 1 columns, not 12\n");
    fails(
        &["import", "snomed", text(&folder), "--release", "1", "--data", text(data.path())],
        1,
        "vesta: cannot import the release: there is no sct2_Concept_Snapshot_*.txt in the folder\n",
    );
    fails(&["import", "loinc", text(&folder)], 2, "--release");
    fails(&["import", "other", text(&folder), "--release", "1"], 2, "loinc, snomed, rxnorm, icd-10-cm");
    assert_eq!(pieces(&server), whole);
    // Other content for the same version takes the place of what was there.
    std::fs::write(&table, good.replace("\"Sourness\"\r\n", "\"Sour\"\r\n")).unwrap();
    done(&command);
    let found = parameters(lookup(&server, "/fhir", LOINC, "0002-9"));
    assert_eq!(found["display"], "Sour");
    let now = pieces(&server);
    assert_eq!(now.len(), 2);
    assert!(now.iter().all(|piece| !whole.contains(piece)));
    server.stop();
}

#[test]
fn import_is_of_one_tenant() {
    let (data, releases) = (directory(), releases());
    let table = data.path().join("tenants.toml");
    std::fs::write(&table, "[tenants.a]\n\n[tenants.b]\n").unwrap();
    let flags = ["--data", text(data.path()), "--tenants", text(&table)];
    let folder = releases.path().join("icd");
    import("icd-10-cm", &folder, &[&flags[..], &["--tenant", "a"]].concat());
    let server = Server::start_with(data.path(), &["--tenants", text(&table)]);
    lookup(&server, "/t/a/fhir", ICD, "A00.0").expect(200);
    lookup(&server, "/t/b/fhir", ICD, "A00.0").expect(404);
    server.put("/t/a/fhir/Observation/o", &observation(ICD, "bogus")).expect(422);
    server.put("/t/b/fhir/Observation/o", &observation(ICD, "bogus")).expect(201);
    // Also through the running server.
    import("icd-10-cm", &folder, &[&flags[..], &["--tenant", "b"]].concat());
    lookup(&server, "/t/b/fhir", ICD, "A00.0").expect(200);
    server.stop();
}
