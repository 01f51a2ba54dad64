#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test
//! What views refuse, what they write and where they end, beside the official suite.

use std::sync::{Arc, LazyLock};

use conformance::Definitions;
use fhirpath::expression::Environment;
use fhirpath::{IssueType, Limits, Schema, Tree};
use serde_json::{Value, json};
use views::View;
use views::write::{Format, Writer};

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| Definitions::embedded().unwrap().schema);

fn tree(json: &Value) -> Tree {
    Tree::parse_json(&SCHEMA, json.to_string().into_bytes(), &Limits::DEFAULT).unwrap()
}

fn column(name: &str, path: &str) -> Value {
    json!({"name": name, "path": path})
}

fn write(view: &Value, resources: &[Value], format: Format) -> Vec<u8> {
    let view = View::compile(&SCHEMA, view).unwrap();
    let mut writer = Writer::new(view.columns(), format).unwrap();
    for resource in resources {
        let tree = tree(resource);
        for row in view.rows(&tree, &Environment::default()).unwrap() {
            writer.row(&row).unwrap();
        }
    }
    writer.finish().unwrap()
}

#[test]
fn refusals() {
    let one = |part: Value| json!({"resource": "Patient", "select": [part]});
    let check = |view: Value, code: IssueType, at: &str, details: &str| {
        let issue = View::compile(&SCHEMA, &view).err().unwrap_or_else(|| panic!("{details}: is taken"));
        assert_eq!(
            (issue.code, issue.expression.as_deref().unwrap_or(""), issue.details.as_str()),
            (code, at, details)
        );
    };
    let select = "ViewDefinition.select[0]";
    let c = |name: &str, path: &str| one(json!({"column": [column(name, path)]}));
    check(
        json!({"resource": "Patient"}),
        IssueType::Required,
        "ViewDefinition",
        "select is missing: the view has no columns.",
    );
    check(
        json!({"select": [{"column": [column("a", "id")]}]}),
        IssueType::Required,
        "ViewDefinition",
        "resource is missing.",
    );
    check(
        json!({"resource": "Patient", "selects": []}),
        IssueType::Structure,
        "ViewDefinition",
        "There is no element selects here.",
    );
    check(
        json!({"resource": "Patint", "select": [{"column": [column("a", "id")]}]}),
        IssueType::NotSupported,
        "ViewDefinition.resource",
        "Patint is not a resource type of FHIR R4.",
    );
    check(
        c("_a", "id"),
        IssueType::Invariant,
        &format!("{select}.column[0].name"),
        "A name has letters, digits and underscores, and a letter first.",
    );
    check(
        c("a", "nme"),
        IssueType::Invalid,
        &format!("{select}.column[0].path"),
        "the FHIRPath expression is refused: 'nme' is no element of Patient (at character 0)",
    );
    check(
        c("a", "name"),
        IssueType::Required,
        &format!("{select}.column[0].type"),
        "The path yields a complex element; a column of such has to declare its type.",
    );
    check(
        one(json!({"column": [{"name": "a", "path": "active", "type": "integer"}]})),
        IssueType::Value,
        &format!("{select}.column[0].type"),
        "The column is declared integer, but its path yields boolean.",
    );
    check(
        one(json!({"column": [{"name": "a", "path": "active", "type": "bool"}]})),
        IssueType::NotSupported,
        &format!("{select}.column[0].type"),
        "There is no type bool in FHIR R4.",
    );
    check(
        one(json!({"column": [column("a", "id"), column("a", "active")]})),
        IssueType::Duplicate,
        "ViewDefinition.select",
        "There are two columns named a.",
    );
    check(
        one(json!({"forEach": "name", "forEachOrNull": "name"})),
        IssueType::Invariant,
        select,
        "A select has at most one of forEach, forEachOrNull and repeat.",
    );
    check(
        one(json!({"forEach": "name.count()", "column": [column("a", "$this")]})),
        IssueType::NotSupported,
        &format!("{select}.forEach"),
        "Rows are made for elements; this yields computed values (System.Integer).",
    );
    check(
        one(json!({"unionAll": [{"column": [column("a", "id")]}, {"column": [column("a", "active")]}]})),
        IssueType::Invariant,
        &format!("{select}.unionAll[1]"),
        "The branches of unionAll are to have the same columns: names, order and types.",
    );
    check(
        json!({"resource": "Patient", "select": [{"column": [column("a", "id")]}],
        "constant": [{"name": "c", "valueInteger": "x"}]}),
        IssueType::Value,
        "ViewDefinition.constant[0].valueInteger",
        "valueInteger is no value that a constant can have.",
    );
    let mut deep = json!({"column": [column("a", "id")]});
    for _ in 0..views::MAX_DEPTH {
        deep = json!({ "select": [deep] });
    }
    let issue = View::compile(&SCHEMA, &one(deep)).unwrap_err();
    assert_eq!((issue.code, issue.details.as_str()), (IssueType::TooCostly, "Selects nest deeper than 20."));
    let many: Vec<Value> = (0..=views::MAX_PARTS).map(|n| column(&format!("c{n}"), "id")).collect();
    assert_eq!(
        View::compile(&SCHEMA, &one(json!({ "column": many }))).unwrap_err().code,
        IssueType::TooCostly
    );
}

#[test]
fn rows_of_one_resource_are_bounded() {
    let names: Vec<Value> = (0..100).map(|n| json!({"family": format!("f{n}")})).collect();
    let patient = tree(&json!({"resourceType": "Patient", "name": names}));
    let part = |name: &str| json!({"forEach": "name", "column": [column(name, "family")]});
    let view = json!({"resource": "Patient", "select": [part("a"), part("b"), part("c"), part("d")]});
    let view = View::compile(&SCHEMA, &view).unwrap();
    let issue = view.rows(&patient, &Environment::default()).unwrap_err();
    assert_eq!(issue.code, IssueType::TooCostly);
    let endless =
        json!({"resource": "Patient", "select": [{"repeat": ["$this"], "column": [column("a", "id")]}]});
    let endless = View::compile(&SCHEMA, &endless).unwrap();
    let issue = endless.rows(&patient, &Environment::default()).unwrap_err();
    assert_eq!(issue.code, IssueType::TooCostly, "{}", issue.details);
}

#[test]
fn repeat_goes_down() {
    let item = |id: &str, items: Value| json!({"linkId": id, "item": items});
    let response = json!({"resourceType": "QuestionnaireResponse", "status": "completed", "item": [
        item("1", json!([item("1.1", json!([{"linkId": "1.1.1"}]))])),
        {"linkId": "2", "answer": [{"valueBoolean": true, "item": [{"linkId": "2.1"}]}]},
    ]});
    let view = json!({"resource": "QuestionnaireResponse", "select": [
        {"repeat": ["item", "answer.item"], "column": [column("id", "linkId")]}]});
    let text = String::from_utf8(write(&view, &[response], Format::Csv)).unwrap();
    assert_eq!(text, "id\r\n1\r\n1.1\r\n1.1.1\r\n2\r\n2.1\r\n");
}

fn sample() -> (Value, [Value; 2]) {
    let view = json!({"resourceType": "ViewDefinition", "name": "sample", "resource": "Patient", "select": [{"column": [
        column("key", "getResourceKey()"),
        column("active", "active"),
        {"name": "born", "path": "birthDate", "tag": [{"name": "ansi/type", "value": "DATE"}]},
        column("births", "multipleBirth.ofType(integer)"),
        {"name": "given", "path": "name.given", "collection": true},
        {"name": "where_", "path": "maritalStatus", "type": "CodeableConcept"},
        column("half", "0.50"),
    ]}]});
    let patients = [
        json!({"resourceType": "Patient", "id": "1", "active": true, "birthDate": "2001-02", "multipleBirthInteger": 2,
            "name": [{"given": ["A, \"B\"", "C"]}], "maritalStatus": {"text": "x"}}),
        json!({"resourceType": "Patient", "id": "2"}),
    ];
    (view, patients)
}

#[test]
fn text_formats() {
    let (view, patients) = sample();
    let text = |format| String::from_utf8(write(&view, &patients, format)).unwrap();
    let first = r#"{"key":"Patient/1","active":true,"born":"2001-02","births":2,"given":["A, \"B\"","C"],"where_":{"text":"x"},"half":0.50}"#;
    let second =
        r#"{"key":"Patient/2","active":null,"born":null,"births":null,"given":[],"where_":null,"half":0.50}"#;
    assert_eq!(text(Format::Ndjson), format!("{first}\n{second}\n"));
    assert_eq!(text(Format::Json), format!("[{first},{second}]"));
    let lines = "Patient/1,true,2001-02,2,\"[\"\"A, \\\"\"B\\\"\"\"\",\"\"C\"\"]\",\"{\"\"text\"\":\"\"x\"\"}\",0.50\r\nPatient/2,,,,[],,0.50\r\n";
    assert_eq!(text(Format::Csv), format!("key,active,born,births,given,where_,half\r\n{lines}"));
    assert_eq!(text(Format::CsvWithoutHeader), lines);
}

/// What is written is read back by the crate's reader.
#[test]
fn parquet() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    let (view, patients) = sample();
    let file = tempfile(&write(&view, &patients, Format::Parquet));
    let reader = SerializedFileReader::new(file).unwrap();
    let rows: Vec<Vec<(String, Field)>> = reader
        .get_row_iter(None)
        .unwrap()
        .map(|row| {
            row.unwrap().get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect()
        })
        .collect();
    let shown: Vec<String> = rows
        .iter()
        .map(|row| row.iter().map(|(name, field)| format!("{name}={field}")).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        shown,
        [
            r#"key="Patient/1" active=true born="2001-02" births=2 given=["A, "B"", "C"] where_="{"text":"x"}" half="0.50""#,
            r#"key="Patient/2" active=null born=null births=null given=[] where_=null half="0.50""#,
        ]
    );
}

fn tempfile(bytes: &[u8]) -> std::fs::File {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("views.parquet");
    std::fs::write(&path, bytes).unwrap();
    std::fs::File::open(path).unwrap()
}
