use expect_test::{Expect, expect};

use super::{outcome, tree, written};
use crate::fixture::schema;
use crate::patch::{MAX_OPERATIONS, Patch};
use crate::tree::{Limits, Tree};

/// The Parameters of operations, each a list of `name=member of JSON`, where the value of a part is a text unless it says more.
fn parameters(operations: &[&str]) -> String {
    let part = |part: &str| {
        let (name, value) = part.split_once('=').expect("name=value");
        let value = match value.chars().next() {
            Some('"') => value.to_owned(),
            _ if value.parse::<i64>().is_ok() => format!(r#""valueInteger":{value}"#),
            _ => format!(r#""valueString":"{value}""#),
        };
        format!(r#"{{"name":"{name}",{value}}}"#)
    };
    let operation = |text: &&str| {
        let parts: Vec<String> = text.split("; ").map(part).collect();
        format!(r#"{{"name":"operation","part":[{}]}}"#, parts.join(","))
    };
    let operations: Vec<String> = operations.iter().map(operation).collect();
    format!(r#"{{"resourceType":"Parameters","parameter":[{}]}}"#, operations.join(","))
}

/// Applies operations to a resource whose JSON without its type is `before`.
fn check(resource_type: &str, before: &str, operations: &[&str], expected: Expect) {
    let patch = Patch::fhirpath(tree(&parameters(operations)), resource_type);
    let comma = if before.is_empty() { "" } else { "," };
    let after = outcome(patch, &format!(r#"{{"resourceType":"{resource_type}"{comma}{before}}}"#));
    expected.assert_eq(&after.replace(&format!(r#""resourceType":"{resource_type}","#), ""));
}

#[test]
fn values_take_the_type_of_what_they_become_values_of() {
    check(
        "Patient",
        "",
        &[
            "type=add; path=Patient; name=birthDate; value=2020-01",
            "type=add; path=Patient; name=gender; value=female",
            r#"type=add; path=Patient; name=deceased; value="valueBoolean":false"#,
            r#"type=add; path=Patient; name=multipleBirthInteger; value=2"#,
            r#"type=add; path=Patient; name=name; value="valueHumanName":{"given":["A","B"],"_given":[null,{"id":"x"}]}"#,
            r#"type=add; path=Patient.name.given[1]; name=extension; value="valueExtension":{"url":"u","valueCode":"c"}"#,
            r#"type=add; path=Patient; name=contained; value="resource":{"resourceType":"Patient","id":"in","active":true}"#,
        ],
        expect![[
            r#"{"contained":[{"id":"in","active":true}],"name":[{"given":["A","B"],"_given":[null,{"id":"x","extension":[{"url":"u","valueCode":"c"}]}]}],"gender":"female","birthDate":"2020-01","deceasedBoolean":false,"multipleBirthInteger":2}"#
        ]],
    );
    check(
        "Observation",
        r#""status":"final","code":{"text":"c"}"#,
        &[
            r#"type=add; path=Observation; name=value; value="valueQuantity":{"value":1.10,"unit":"mg"}"#,
            r#"type=add; path=Observation; name=effectiveDateTime; value="valueDate":"2020-01-01""#,
            r#"type=add; path=Observation; name=component; value="part":[{"name":"value","valueString":"v"},{"name":"code","part":[{"name":"coding","valueCoding":{"code":"1"}},{"name":"coding","part":[{"name":"code","valueString":"2"},{"name":"userSelected","valueBoolean":true}]}]}]"#,
        ],
        expect![[
            r#"{"status":"final","code":{"text":"c"},"effectiveDateTime":"2020-01-01","valueQuantity":{"value":1.10,"unit":"mg"},"component":[{"code":{"coding":[{"code":"1"},{"code":"2","userSelected":true}]},"valueString":"v"}]}"#
        ]],
    );
}

#[test]
fn lists_are_inserted_into_and_reordered() {
    let names = r#""name":[{"text":"0"},{"text":"1"},{"text":"2"}]"#;
    check(
        "Patient",
        names,
        &[
            r#"type=insert; path=Patient.name; index=3; value="valueHumanName":{"text":"last"}"#,
            r#"type=insert; path=name; index=0; value="valueHumanName":{"text":"first"}"#,
            "type=move; path=Patient.name; source=1; destination=3",
            "type=insert; path=Patient.name[1].given; index=0; value=G",
            "type=insert; path=Patient.name.where(text = '1').given; index=1; value=H",
        ],
        expect![[
            r#"{"name":[{"text":"first"},{"text":"1","given":["G","H"]},{"text":"2"},{"text":"0"},{"text":"last"}]}"#
        ]],
    );
    check(
        "Patient",
        names,
        &["type=insert; path=Patient.name; index=4; value=x", "type=delete; path=Patient.active"],
        expect![
            "structure Parameters.parameter[0].part[3].value: Patient.name is of type HumanName; a value of type string is none."
        ],
    );
    check(
        "Patient",
        names,
        &[
            "type=delete; path=Patient.active",
            r#"type=insert; path=Patient.name; index=4; value="valueHumanName":{"text":"x"}"#,
        ],
        expect!["value Parameters.parameter[1].part[2]: The list has 3 items, so that there is no index 4."],
    );
    check(
        "Patient",
        names,
        &["type=move; path=Patient.name; source=3; destination=0"],
        expect!["value Parameters.parameter[0].part[2]: The list has 3 items, so that there is none at 3."],
    );
    check(
        "Patient",
        names,
        &["type=insert; path=Patient.name.given; index=0; value=x"],
        expect![
            "multiple-matches Parameters.parameter[0].part[1]: The path leads to 3 elements; it must lead to one."
        ],
    );
    check(
        "Patient",
        names,
        &["type=insert; path=Patient.gender; index=0; value=x"],
        expect!["value Parameters.parameter[0].part[1]: gender is no list: there is one value at most."],
    );
}

#[test]
fn what_is_replaced_goes_whole_and_a_choice_may_change_its_type() {
    check(
        "Patient",
        r#""name":[{"text":"0","given":["a","b"]}],"birthDate":"2020","_birthDate":{"extension":[{"url":"u","valueCode":"c"}]},"deceasedBoolean":true"#,
        &[
            "type=replace; path=Patient.birthDate; value=2021-01",
            "type=replace; path=Patient.name[0].given[1]; value=c",
            r#"type=replace; path=Patient.deceased; value="valueDateTime":"2021-01-01""#,
        ],
        expect![[
            r#"{"name":[{"text":"0","given":["a","c"]}],"birthDate":"2021-01","deceasedDateTime":"2021-01-01"}"#
        ]],
    );
    check(
        "Observation",
        r#""status":"final","code":{"text":"c"},"valueString":"s""#,
        &[r#"type=replace; path=Observation.value; value="valueCoding":{"code":"c"}"#],
        expect![
            "structure Parameters.parameter[0].part[2].value: Observation.value takes Quantity, CodeableConcept, string, boolean, integer, time, dateTime; a value of type Coding is none of them."
        ],
    );
    check(
        "Patient",
        r#""active":true"#,
        &[r#"type=replace; path=Patient; value="resource":{"resourceType":"Patient"}"#],
        expect![
            "processing Parameters.parameter[0].part[1]: The resource itself cannot be replaced by a patch: update it."
        ],
    );
    check(
        "Patient",
        "",
        &["type=replace; path=Patient.birthDate; value=2021-01"],
        expect!["not-found Parameters.parameter[0].part[1]: The resource has nothing where the path leads."],
    );
}

#[test]
fn what_is_emptied_goes_too() {
    let before = r#""contact":[{"name":{"text":"t"}},{"gender":"male"}],"_birthDate":{"extension":[{"url":"u","valueCode":"c"}]}"#;
    check(
        "Patient",
        before,
        &[
            "type=delete; path=Patient.contact[0].name.text",
            "type=delete; path=Patient.birthDate.extension('u')",
        ],
        expect![[r#"{"contact":[{"gender":"male"}]}"#]],
    );
    check(
        "Patient",
        before,
        &["type=delete; path=Patient.active"],
        expect![[
            r#"{"_birthDate":{"extension":[{"url":"u","valueCode":"c"}]},"contact":[{"name":{"text":"t"}},{"gender":"male"}]}"#
        ]],
    );
    check(
        "Patient",
        before,
        &["type=delete; path=Patient.contact"],
        expect![
            "multiple-matches Parameters.parameter[0].part[1]: The path leads to 2 elements; it must lead to one."
        ],
    );
    check(
        "Patient",
        before,
        &["type=delete; path=Patient"],
        expect![
            "processing Parameters.parameter[0].part[1]: The resource itself cannot be deleted by a patch."
        ],
    );
    check(
        "Patient",
        r#""contained":[{"resourceType":"Patient","id":"x"}]"#,
        &["type=delete; path=Patient.contained[0].id"],
        expect![[r#"{"contained":[{"resourceType":"Patient"}]}"#]],
    );
}

#[test]
fn an_operation_that_cannot_be_done_says_where_and_why() {
    check(
        "Patient",
        r#""birthDate":"2020","name":[{"text":"t"}]"#,
        &["type=add; path=Patient; name=birthDate; value=2021-01"],
        expect![
            "structure Parameters.parameter[0].part[2]: There is a value of birthDate already, and at most one: replace it."
        ],
    );
    check(
        "Patient",
        "",
        &["type=add; path=Patient; name=birthdate; value=2021-01"],
        expect![
            "structure Parameters.parameter[0].part[2]: Patient has no element 'birthdate'; 'birthDate' is near."
        ],
    );
    check(
        "Patient",
        "",
        &["type=add; path=Patient; name=birthDate; value=soon"],
        expect![
            "value Parameters.parameter[0].part[3].value: 'soon' is not a date (YYYY, YYYY-MM or YYYY-MM-DD)."
        ],
    );
    check(
        "Patient",
        "",
        &[r#"type=add; path=Patient; name=active; value=true"#],
        expect![
            "structure Parameters.parameter[0].part[3].value: Patient.active is of type boolean; a value of type string is none."
        ],
    );
    check(
        "Patient",
        r#""deceasedBoolean":true"#,
        &[r#"type=add; path=Patient; name=deceased; value="valueDateTime":"2021""#],
        expect![
            "structure Parameters.parameter[0].part[2]: There is a value of deceased already, and at most one: replace it."
        ],
    );
    check(
        "Patient",
        "",
        &[
            r#"type=add; path=Patient; name=contact; value="part":[{"name":"gender","valueCode":"male"},{"name":"gender","valueCode":"female"}]"#,
        ],
        expect!["structure Parameters.parameter[0].part[3].part[1]: There is one value at most of gender."],
    );
    check(
        "Observation",
        r#""status":"final","code":{"text":"c"}"#,
        &[r#"type=add; path=Observation; name=value; value="part":[{"name":"unit","valueString":"mg"}]"#],
        expect![
            "structure Parameters.parameter[0].part[3]: value may have several types; parts can be given for one, named with it (valueQuantity)."
        ],
    );
    check(
        "Patient",
        "",
        &[r#"type=add; path=Patient; name=id; value="valueString":"a","_valueString":{"id":"x"}"#],
        expect![
            "structure Parameters.parameter[0].part[3]: The resource would no longer be sound at Patient._id: '_id' is not allowed: Patient.id has no id and extensions beside its value."
        ],
    );
    check(
        "Patient",
        r#""name":[{"text":"t"}]"#,
        &["type=delete; path=Patient.name.count()"],
        expect![
            "value Parameters.parameter[0].part[1]: The path yields a value that is computed, not an element of the resource."
        ],
    );
    check(
        "Patient",
        r#""name":[{"text":"a"},{"text":"b"}]"#,
        &["type=delete; path=iif(Patient.name.text, name, name)"],
        expect![
            "processing Parameters.parameter[0].part[1]: the FHIRPath expression cannot be evaluated: the criterion of iif() is no Boolean"
        ],
    );
}

#[test]
fn a_faulty_patch_is_refused_with_all_its_faults() {
    check(
        "Patient",
        "",
        &[
            "path=Patient.active",
            "type=upsert; path=Patient.active",
            "type=delete; path=Patient.activ",
            "type=delete; path=Patient..active",
            "type=delete; path=Observation.status",
            "type=delete; path=Patient.active; value=x",
            "type=delete; path=Patient.active; path=Patient.active",
            "type=add; path=Patient; value=x",
            "type=insert; path=Patient.name; index=-1; value=x",
            "type=insert; path=Patient.name.first(); index=0; value=x",
            r#"type=delete; path="valueBoolean":true"#,
            "type=move; path=Patient.name; source=0",
        ],
        expect![[r#"
            required Parameters.parameter[0]: An operation needs a part 'type'.
            not-supported Parameters.parameter[1].part[0]: 'upsert' is not a type of operation; they are add, insert, delete, replace, move.
            invalid Parameters.parameter[2].part[1]: The path does not compile: 'activ' is no element of Patient (at character 8).
            invalid Parameters.parameter[3].part[1]: The path does not compile: expected a name, found '.' (at character 8).
            invalid Parameters.parameter[4].part[1]: The path does not compile: 'Observation' is neither an element of Patient nor its type (at character 0).
            not-supported Parameters.parameter[5].part[2]: The operation delete has no part 'value'; it has path.
            structure Parameters.parameter[6].part[2]: The part 'path' is repeated.
            required Parameters.parameter[7]: The operation add needs a part 'name'.
            value Parameters.parameter[8].part[2]: The index is a valueInteger of 0 or more.
            value Parameters.parameter[9].part[1]: The path of the operation insert ends in the name of a list.
            value Parameters.parameter[10].part[1]: Its value is a valueString or valueCode.
            required Parameters.parameter[11]: The operation move needs a part 'destination'."#]],
    );
    let named =
        r#"{"resourceType":"Parameters","parameter":[{"name":"operations"},{"part":[{"name":"type"}]}]}"#;
    let expected = expect![[r#"
        not-supported Parameters.parameter[0]: The parameters of a patch are named 'operation', not 'operations'.
        required Parameters.parameter[1]: It needs a name."#]];
    expected.assert_eq(&outcome(Patch::fhirpath(tree(named), "Patient"), r#"{"resourceType":"Patient"}"#));
    let expected = expect!["invalid resourceType: A FHIRPath Patch is a Parameters resource, not a Patient."];
    expected.assert_eq(&outcome(
        Patch::fhirpath(tree(r#"{"resourceType":"Patient"}"#), "Patient"),
        r#"{"resourceType":"Patient"}"#,
    ));
    let expected =
        expect!["invalid Parameters: The patch was read for Observation, but the resource is a Patient."];
    expected.assert_eq(&outcome(
        Patch::fhirpath(tree(r#"{"resourceType":"Parameters"}"#), "Observation"),
        r#"{"resourceType":"Patient"}"#,
    ));
}

#[test]
fn hostile_patches_end_within_limits() {
    let many = vec!["type=delete; path=Patient.active"; MAX_OPERATIONS + 1];
    check(
        "Patient",
        "",
        &many,
        expect![
            "too-costly Parameters.parameter: The patch has 1001 operations; at most 1000 are done at once."
        ],
    );
    let heavy = "type=delete; path=name.where((%resource.name.given | text).count() < 4).first()";
    let names = vec![r#"{"given":["a","b","c","d","e","f"]}"#; 400].join(",");
    check(
        "Patient",
        &format!(r#""name":[{names}]"#),
        &[heavy; 40],
        expect![
            "too-costly Parameters.parameter[4].part[1]: the FHIRPath expression cannot be evaluated: the evaluation takes more than 20000000 steps"
        ],
    );
    let long = format!(r#""text":{{"status":"generated","div":"{}"}}"#, "x".repeat(1_000_000));
    check(
        "Patient",
        &long,
        &["type=add; path=Patient; name=name; value=\"valueHumanName\":{\"text\":\"x\"}"; 400],
        expect![
            "too-costly Parameters.parameter[267].part[3]: The operations write more than 268435456 bytes between them."
        ],
    );
    let open = r#"{"name":"item","part":["#.repeat(40);
    let value = format!(r#""part":[{open}{{"name":"linkId","valueString":"1"}}{}]"#, "]}".repeat(40));
    let outer = format!("type=add; path=Questionnaire; name=item; value={value}");
    let inner = format!("type=add; path=repeat(item).where(linkId.exists()); name=item; value={value}");
    let patch = Patch::fhirpath(tree(&parameters(&[&outer, &inner])), "Questionnaire");
    let refused = outcome(patch, r#"{"resourceType":"Questionnaire","status":"draft"}"#);
    let expected = "too-long Parameters.parameter[1].part[3]: The resource would no longer be sound at Questionnaire.item[0]";
    assert!(refused.starts_with(expected), "{refused}");
}

#[test]
fn no_mix_of_parts_panics_and_what_is_made_is_sound() {
    let before = r#"{"resourceType":"Patient","id":"p","contained":[{"resourceType":"Patient","name":[{"text":"in"}]}],"extension":[{"url":"u","valueCode":"c"}],"active":true,"name":[{"text":"t","given":["g",null],"_given":[null,{"id":"x"}]}],"_birthDate":{"id":"y"},"deceasedBoolean":true}"#;
    let paths = [
        "Patient",
        "$this",
        "%resource",
        "active",
        "name",
        "name[0]",
        "name.given",
        "name.given[0]",
        "name.given[1]",
        "name.text",
        "contained",
        "contained[0]",
        "contained.name",
        "extension.value",
        "extension.url",
        "deceased",
        "birthDate",
        "birthDate.id",
        "children()",
        "descendants()",
        "'x'",
        "{}",
        "id",
        "name.given | active",
        "gender",
    ];
    let values = [
        r#""valueString":"x""#,
        r#""valueBoolean":true"#,
        r#""valueInteger":1"#,
        r#""valueHumanName":{"text":"x"}"#,
        r#""resource":{"resourceType":"Patient"}"#,
        r#""part":[{"name":"text","valueString":"x"}]"#,
        r#""part":[{"name":"given","valueString":"x"},{"name":"given","_valueString":{"id":"z"}}]"#,
        r#""_valueCode":{"id":"z"}"#,
    ];
    let names = ["name", "given", "value", "extension", "contained", "id", "deceased", "text"];
    let mut done = 0;
    for path in paths {
        let mut operations = vec![format!("type=delete; path={path}")];
        operations.extend(
            [(0, 0), (0, 1), (1, 0)]
                .map(|(from, to)| format!("type=move; path={path}; source={from}; destination={to}")),
        );
        for value in values {
            operations.push(format!("type=replace; path={path}; value={value}"));
            operations.extend(
                (0..3).map(|index| format!("type=insert; path={path}; index={index}; value={value}")),
            );
            operations.extend(names.map(|name| format!("type=add; path={path}; name={name}; value={value}")));
        }
        for operation in operations {
            let text = parameters(&[&operation]).replace(r#""valueString":""value"#, r#""value"#);
            let Ok(parameters) = Tree::parse_json(&schema(), text.into_bytes(), &Limits::DEFAULT) else {
                continue;
            };
            let after = Patch::fhirpath(parameters, "Patient")
                .and_then(|patch| patch.apply(&tree(before), &Limits::DEFAULT));
            if let Ok(after) = after {
                done += 1;
                assert_eq!(written(&tree(&written(&after))), written(&after), "{operation}");
            }
        }
    }
    assert!(done > 100, "{done} operations were done");
}
