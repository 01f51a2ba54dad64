use expect_test::{Expect, expect};

use super::{outcome, tree, written};
use crate::patch::{MAX_OPERATIONS, Patch};
use crate::tree::Limits;

fn check(before: &str, patch: &str, expected: Expect) {
    expected.assert_eq(&outcome(Patch::json(patch.as_bytes()), before));
}

const PATIENT: &str =
    r#"{"resourceType":"Patient","id":"a","name":[{"text":"t","given":["g","h"]}],"active":true}"#;
const OBSERVATION: &str =
    r#"{"resourceType":"Observation","status":"final","code":{"text":"c"},"valueQuantity":{"value":1.10}}"#;

#[test]
fn decimals_keep_their_text_and_are_tested_by_value() {
    check(
        OBSERVATION,
        r#"[{"op":"test","path":"/valueQuantity/value","value":1.100},{"op":"add","path":"/component","value":[{"code":{"text":"d"},"valueQuantity":{"value":100.00}}]},{"op":"copy","from":"/component/0","path":"/component/-"},{"op":"replace","path":"/component/1/valueQuantity/value","value":1e2}]"#,
        expect![[
            r#"{"resourceType":"Observation","status":"final","code":{"text":"c"},"valueQuantity":{"value":1.10},"component":[{"code":{"text":"d"},"valueQuantity":{"value":100.00}},{"code":{"text":"d"},"valueQuantity":{"value":1e+2}}]}"#
        ]],
    );
}

#[test]
fn numbers_with_an_exponent_keep_their_text() {
    check(
        &OBSERVATION.replace("1.10", "1E2"),
        r#"[{"op":"replace","path":"/status","value":"amended"}]"#,
        expect![[
            r#"{"resourceType":"Observation","status":"amended","code":{"text":"c"},"valueQuantity":{"value":1E2}}"#
        ]],
    );
}

#[test]
fn what_operations_leave_empty_goes_away() {
    check(
        PATIENT,
        r#"[{"op":"remove","path":"/name/0"}]"#,
        expect![[r#"{"resourceType":"Patient","id":"a","active":true}"#]],
    );
    check(
        r#"{"resourceType":"Patient","name":[{"given":["g",null],"_given":[{"id":"x"},{"id":"y"}]}],"contact":[{"name":{"text":"t"}}]}"#,
        r#"[{"op":"remove","path":"/name/0/_given/0/id"},{"op":"remove","path":"/contact/0/name/text"}]"#,
        expect![[r#"{"resourceType":"Patient","name":[{"given":["g",null],"_given":[null,{"id":"y"}]}]}"#]],
    );
}

#[test]
fn an_operation_that_cannot_be_done_is_named() {
    let operations = |last: &str| format!(r#"[{{"op":"test","path":"/active","value":true}},{last}]"#);
    let check = |last: &str, expected| check(PATIENT, &operations(last), expected);
    check(
        r#"{"op":"remove","path":"/name/3"}"#,
        expect![
            "not-found Patient.name[3]: Operation 1 (remove /name/3) cannot be done: there is no such place."
        ],
    );
    check(
        r#"{"op":"replace","path":"/name/0/family/x","value":1}"#,
        expect![
            "not-found Patient.name[0].family: Operation 1 (replace /name/0/family/x) cannot be done: there is no such place."
        ],
    );
    check(
        r#"{"op":"add","path":"/name/3","value":{}}"#,
        expect![
            "not-found Patient.name[3]: Operation 1 (add /name/3) cannot be done: there is no such place."
        ],
    );
    check(
        r#"{"op":"test","path":"/name/0/text","value":"u"}"#,
        expect![
            "conflict Patient.name[0].text: Operation 1 (test /name/0/text) cannot be done: another value is there."
        ],
    );
    check(
        r#"{"op":"copy","from":"/photo/0","path":"/photo/1"}"#,
        expect![
            "not-found Patient.photo[1]: Operation 1 (copy /photo/1) cannot be done: there is nothing at 'from'."
        ],
    );
    check(
        r#"{"op":"move","from":"/name","path":"/name/0"}"#,
        expect![
            "processing Patient.name[0]: Operation 1 (move /name/0) cannot be done: a value cannot be moved into itself."
        ],
    );
    check(
        r#"{"op":"replace","path":"/resourceType","value":"Questionnaire"}"#,
        expect![[r#"
        structure Questionnaire.active: Questionnaire has no element 'active'.
        structure Questionnaire.name: Questionnaire has no element 'name'."#]],
    );
    check(
        r#"{"op":"replace","path":"","value":"x"}"#,
        expect!["structure Resource: A resource is a JSON object."],
    );
    check(
        r#"{"op":"remove","path":""}"#,
        expect!["not-found Patient: Operation 1 (remove ) cannot be done: there is no such place."],
    );
    check(
        r#"{"op":"add","path":"/birthDate","value":"soon"}"#,
        expect!["value Patient.birthDate: 'soon' is not a date (YYYY, YYYY-MM or YYYY-MM-DD)."],
    );
    check(
        r#"{"op":"add","path":"/shoe","value":1}"#,
        expect!["structure Patient.shoe: Patient has no element 'shoe'."],
    );
    check(
        r#"{"op":"replace","path":"/name/0/given","value":null}"#,
        expect!["structure Patient.name[0].given: Values are written as an array here."],
    );
}

#[test]
fn a_faulty_patch_is_refused_with_all_its_faults() {
    check(PATIENT, "[", expect!["invalid -: This is not JSON."]);
    check(PATIENT, "{}", expect!["structure -: A JSON Patch is an array of operations."]);
    check(
        PATIENT,
        r#"[1,{"path":"/a"},{"op":"upsert","path":"/a"},{"op":"add","path":"/a"},{"op":"remove"},{"op":"remove","path":"a"},{"op":"remove","path":7},{"op":"move","path":"/a"},{"op":"copy","path":"/a","from":"~2"}]"#,
        expect![[r#"
            structure -: Operation 0: it is not an object.
            required -: Operation 1: it needs an 'op'.
            not-supported -: Operation 2: 'upsert' is no 'op' of JSON Patch; they are add, remove, replace, move, copy, test.
            required -: Operation 3: it needs a member 'value'.
            required -: Operation 4: it needs a member 'path'.
            value -: Operation 5: 'path' is not a JSON Pointer, which reads '' or /name/0/family.
            value -: Operation 6: 'path' is not a JSON Pointer, which reads '' or /name/0/family.
            required -: Operation 7: it needs a member 'from'.
            value -: Operation 8: 'from' is not a JSON Pointer, which reads '' or /name/0/family."#]],
    );
    check(
        PATIENT,
        r#"[{"op":"remove","path":"/a","path":"/b"}]"#,
        expect!["invalid -: This is not an operation of JSON Patch."],
    );
    let many = vec![r#"{"op":"test","path":"/id","value":"a"}"#; MAX_OPERATIONS + 1].join(",");
    check(
        PATIENT,
        &format!("[{many}]"),
        expect!["too-costly -: The patch has 1001 operations; at most 1000 are done at once."],
    );
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    check(
        PATIENT,
        &format!(r#"[{{"op":"add","path":"/a","value":{deep}}}]"#),
        expect!["invalid -: This is not JSON."],
    );
}

#[test]
fn hostile_patches_end_within_limits() {
    let copies: Vec<String> =
        (0..60).map(|n| format!(r#"{{"op":"copy","from":"/name","path":"/name/0/x{n}"}}"#)).collect();
    check(
        PATIENT,
        &format!("[{}]", copies.join(",")),
        expect![
            "too-costly Patient.name[0]: Operation 20 (copy /name/0/x20) cannot be done: the resource becomes too large."
        ],
    );
    let text = "x".repeat(1_000_000);
    let doubles = vec![r#"{"op":"copy","from":"/name/0","path":"/name/-"}"#; 100].join(",");
    check(
        &PATIENT.replace("\"t\"", &format!("\"{text}\"")),
        &format!("[{doubles}]"),
        expect![
            "too-costly Patient.name: Operation 66 (copy /name/-) cannot be done: the resource becomes too large."
        ],
    );
    let items = vec!["1"; 50_000].join(",");
    let shifts = vec![r#"{"op":"add","path":"/x/0","value":1}"#; 900].join(",");
    check(
        PATIENT,
        &format!(r#"[{{"op":"add","path":"/x","value":[{items}]}},{shifts}]"#),
        expect!["too-costly Patient: Operation 398 (add /x/0) cannot be done: the patch has too much to do."],
    );
    let deeper: Vec<String> = (0..20)
        .map(|n| {
            let value = format!(r#"{}1{}"#, r#"{"a":"#.repeat(100), "}".repeat(100));
            format!(r#"{{"op":"add","path":"{}/a","value":{value}}}"#, "/a".repeat(n * 100))
        })
        .collect();
    check(
        PATIENT,
        &format!("[{}]", deeper.join(",")),
        expect![
            "too-costly Patient: Operation 1 (add /a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a...) cannot be done: the resource becomes nested too deep."
        ],
    );
}

#[test]
fn no_mix_of_operations_panics_and_what_is_made_is_sound() {
    let before = r#"{"resourceType":"Patient","id":"a","contained":[{"resourceType":"Patient","id":"in"}],"name":[{"text":"t","given":["g",null],"_given":[null,{"id":"x"}]}],"active":true,"_birthDate":{"id":"y"}}"#;
    let pointers = [
        "",
        "/",
        "/id",
        "/resourceType",
        "/contained",
        "/contained/0",
        "/contained/0/id",
        "/name",
        "/name/0",
        "/name/-",
        "/name/1",
        "/name/01",
        "/name/0/given",
        "/name/0/given/0",
        "/name/0/given/1",
        "/name/0/_given",
        "/name/0/_given/1",
        "/name/0/_given/1/id",
        "/active",
        "/active/x",
        "/_birthDate",
        "/_birthDate/id",
        "/~01",
        "/photo",
        "/name/18446744073709551616",
    ];
    let values = [
        "null",
        "true",
        "1.10",
        "\"x\"",
        "[]",
        "{}",
        "[null]",
        r#"{"text":"x"}"#,
        r#"[{"text":"x"}]"#,
        r#"{"resourceType":"Patient"}"#,
    ];
    let mut done = 0;
    for path in pointers {
        let mut operations = vec![format!(r#"{{"op":"remove","path":"{path}"}}"#)];
        for op in ["add", "replace", "test"] {
            operations
                .extend(values.map(|value| format!(r#"{{"op":"{op}","path":"{path}","value":{value}}}"#)));
        }
        for op in ["move", "copy"] {
            operations
                .extend(pointers.map(|from| format!(r#"{{"op":"{op}","path":"{path}","from":"{from}"}}"#)));
        }
        for operation in operations {
            let patch = Patch::json(format!("[{operation}]").as_bytes())
                .unwrap_or_else(|issues| panic!("{operation}: {issues:?}"));
            if let Ok(after) = patch.apply(&tree(before), &Limits::DEFAULT) {
                done += 1;
                assert_eq!(written(&tree(&written(&after))), written(&after), "{operation}");
            }
        }
    }
    assert!(done > 100, "{done} operations were done");
}
