use super::parse;
use crate::fixture::schema;
use crate::issue::{Issue, IssueType};
use crate::tree::{Limits, Tree};

/// A fault: its kind, expression, line and column, and sentence.
type Told = (IssueType, &'static str, (u32, u32), &'static str);

fn issue(&(code, expression, (line, column), details): &Told) -> Issue {
    Issue::error(code, details).at(expression).line(line, column)
}

fn check(text: &str, told: &[Told]) {
    let expected: Vec<Issue> = told.iter().map(issue).collect();
    assert_eq!(parse(text).expect_err(text), expected, "{text}");
}

/// One fault of a Patient's member, `text` on its second line.
fn patient(text: &str, told: Told) {
    check(&format!("{{\"resourceType\":\"Patient\",\n{text}}}"), &[told]);
}

use IssueType::{Invalid, Structure, TooLong, Value};

#[test]
fn names_that_the_type_does_not_have() {
    patient(r#""nmae":[{}]"#, (Structure, "Patient.nmae", (2, 1), "Patient has no element 'nmae'."));
    patient(
        r#""brithDate":"2020""#,
        (Structure, "Patient.brithDate", (2, 1), "Patient has no element 'brithDate'; 'birthDate' is near."),
    );
    patient(
        r#""Name":1"#,
        (Structure, "Patient.Name", (2, 1), "Patient has no element 'Name'; 'name' is near."),
    );
    patient(
        r#""contact":[{"gender":"male"},{"name":{"sure\"name":"x"}}]"#,
        (Structure, "Patient.contact[1].name", (2, 39), "HumanName has no element 'sure\\\"name'."),
    );
    patient(
        r#""deceased":true"#,
        (
            Structure,
            "Patient.deceased",
            (2, 1),
            "'deceased' is written with its type: deceasedBoolean, deceasedDateTime.",
        ),
    );
    patient(
        r#""_name":[{"id":"x"}]"#,
        (
            Structure,
            "Patient._name",
            (2, 1),
            "'_name' is not allowed: Patient.name has no id and extensions beside its value.",
        ),
    );
    patient(
        r#""_id":{"id":"x"}"#,
        (
            Structure,
            "Patient._id",
            (2, 1),
            "'_id' is not allowed: Patient.id has no id and extensions beside its value.",
        ),
    );
    patient(
        r#""fhir_comments":["x"]"#,
        (
            Structure,
            "Patient.fhir_comments",
            (2, 1),
            "'fhir_comments' is not allowed: comments are no part of FHIR R4.",
        ),
    );
    patient(r#""":1"#, (Structure, "Patient", (2, 1), "Patient has no element ''."));
}

#[test]
fn repeated_keys() {
    patient(
        r#""active":true,"gender":"male","active":false"#,
        (Structure, "Patient.active", (2, 31), "The key 'active' is repeated."),
    );
    patient(
        r#""_gender":{"id":"x"},"_gender":{"id":"x"}"#,
        (Structure, "Patient.gender", (2, 22), "The key '_gender' is repeated."),
    );
    patient(
        r#""\u0061ctive":true,"active":false"#,
        (Structure, "Patient.active", (2, 20), "The key 'active' is repeated."),
    );
    patient(
        r#""gender":"male","active":true,"gender":"male""#,
        (Structure, "Patient.gender", (2, 31), "The key 'gender' is repeated."),
    );
    patient(
        r#""resourceType":"Patient""#,
        (Structure, "Patient", (2, 1), "The key 'resourceType' is repeated."),
    );
}

#[test]
fn two_of_a_choice() {
    patient(
        r#""deceasedBoolean":true,"deceasedDateTime":"2020""#,
        (
            Structure,
            "Patient.deceased",
            (2, 24),
            "deceasedBoolean and deceasedDateTime exclude each other: a choice has one value.",
        ),
    );
    patient(
        r#""_deceasedDateTime":{"id":"a"},"active":true,"deceasedBoolean":true"#,
        (
            Structure,
            "Patient.deceased",
            (2, 46),
            "deceasedDateTime and deceasedBoolean exclude each other: a choice has one value.",
        ),
    );
}

#[test]
fn json_types() {
    patient(
        r#""active":"true""#,
        (
            Structure,
            "Patient.active",
            (2, 10),
            "boolean is written as true or false, without quotes in JSON.",
        ),
    );
    patient(r#""gender":1"#, (Structure, "Patient.gender", (2, 10), "code is written as a string in JSON."));
    patient(
        r#""multipleBirthInteger":"1""#,
        (Structure, "Patient.multipleBirth", (2, 24), "integer is written as a number in JSON."),
    );
    patient(
        r#""gender":{"value":"male"}"#,
        (Structure, "Patient.gender", (2, 10), "code is written as a string in JSON."),
    );
    patient(r#""meta":"x""#, (Structure, "Patient.meta", (2, 8), "Meta is written as an object."));
    patient(
        r#""name":[{"given":["a"]},"b"]"#,
        (Structure, "Patient.name[1]", (2, 25), "HumanName is written as an object."),
    );
    patient(
        r#""_gender":"x""#,
        (
            Structure,
            "Patient.gender",
            (2, 11),
            "Beside a primitive's value stands an object with id and extension.",
        ),
    );
    patient(
        r#""name":{"family":"x"}"#,
        (Structure, "Patient.name", (2, 8), "Values are written as an array here."),
    );
    patient(
        r#""gender":["male"]"#,
        (
            Structure,
            "Patient.gender",
            (2, 10),
            "There is one value at most here: it is not written as an array.",
        ),
    );
    patient(
        r#""name":[[{"family":"x"}]]"#,
        (Structure, "Patient.name[0]", (2, 9), "An array must not be in an array."),
    );
}

#[test]
fn nothing() {
    patient(r#""meta":{}"#, (Structure, "Patient.meta", (2, 8), "An object must not be empty."));
    patient(r#""name":[ ]"#, (Structure, "Patient.name", (2, 8), "An array must not be empty."));
    patient(r#""_gender":{}"#, (Structure, "Patient.gender", (2, 11), "An object must not be empty."));
    patient(
        r#""name":[{"given":["a",""]}]"#,
        (Value, "Patient.name[0].given[1]", (2, 23), "A value must not be an empty string: leave it out."),
    );
    patient(
        r#""gender":null"#,
        (Structure, "Patient.gender", (2, 10), "null is not a value: leave the property out."),
    );
    patient(
        r#""_gender":null"#,
        (Structure, "Patient.gender", (2, 11), "null is not a value: leave the property out."),
    );
    patient(
        r#""name":[null]"#,
        (Structure, "Patient.name[0]", (2, 9), "null is not a value: leave the item out."),
    );
    patient(
        r#""name":[{"given":[null]}]"#,
        (
            Structure,
            "Patient.name[0].given",
            (2, 18),
            "An array must not consist of nulls only: leave it out.",
        ),
    );
    patient(
        r#""name":[{"given":["a",null]}]"#,
        (
            Structure,
            "Patient.name[0].given[1]",
            (2, 23),
            "null stands for a value only where _given has an extension for it.",
        ),
    );
    patient(
        r#""name":[{"given":["a",null],"_given":[{"id":"x"},null]}]"#,
        (
            Structure,
            "Patient.name[0].given[1]",
            (2, 23),
            "null stands for a value only where _given has an extension for it.",
        ),
    );
    patient(
        r#""name":[{"given":["a"],"_given":[null,{"id":"x"}]}]"#,
        (
            Structure,
            "Patient.name[0].given",
            (2, 33),
            "given and _given must have as many items, with null where one has none.",
        ),
    );
    patient(
        r#""name":[{"_given":[{"id":"x"}],"given":["a","b"]}]"#,
        (
            Structure,
            "Patient.name[0].given",
            (2, 40),
            "given and _given must have as many items, with null where one has none.",
        ),
    );
    patient(
        r#""name":[{"given":["a","b"],"_given":[{"id":"x"}]}]"#,
        (
            Structure,
            "Patient.name[0].given",
            (2, 37),
            "given and _given must have as many items, with null where one has none.",
        ),
    );
    check(
        "{}",
        &[(
            Structure,
            "Resource",
            (1, 1),
            "A resource needs a resourceType, for instance \"resourceType\": \"Patient\".",
        )],
    );
}

#[test]
fn values() {
    patient(
        r#""birthDate":"2020-02-30""#,
        (Value, "Patient.birthDate", (2, 13), "'2020-02-30' is out of range: no such day or time."),
    );
    patient(
        r#""birthDate":"30.2.2020""#,
        (Value, "Patient.birthDate", (2, 13), "'30.2.2020' is not a date (YYYY, YYYY-MM or YYYY-MM-DD)."),
    );
    patient(
        r#""multipleBirthInteger":2147483648"#,
        (Value, "Patient.multipleBirth", (2, 24), "'2147483648' is out of range: -2147483648 to 2147483647."),
    );
    patient(
        r#""multipleBirthInteger":1.0"#,
        (Value, "Patient.multipleBirth", (2, 24), "'1.0' is not a whole number."),
    );
    patient(
        "\"gender\":\"\\u0020male and a text that goes on and on and on\"",
        (
            Value,
            "Patient.gender",
            (2, 10),
            "' male and a text that goes on and on and...' is not a code (no white space at the ends, single spaces inside).",
        ),
    );
    patient(
        "\"name\":[{\"text\":\"a\\u0000b\"}]",
        (Value, "Patient.name[0].text", (2, 19), "A string must not have the character U+0000."),
    );
    let long = format!(
        "{{\"resourceType\":\"Patient\",\"name\":[{{\"text\":\"{}\"}}]}}",
        "x".repeat(1024 * 1024 + 1)
    );
    let details = format!("'{}...' is longer than 1048576 characters.", "x".repeat(40));
    let expected = Issue::error(TooLong, details).at("Patient.name[0].text").line(1, 43);
    assert_eq!(parse(&long).unwrap_err(), [expected]);
}

#[test]
fn resource_types() {
    check(
        r#"{"resourceType":"Patiend"}"#,
        &[(Structure, "Resource", (1, 18), "'Patiend' is not a resource type; 'Patient' is near.")],
    );
    check(
        r#"{"resourceType":"DomainResource"}"#,
        &[(Structure, "Resource", (1, 18), "'DomainResource' is not a resource type.")],
    );
    check(
        r#"{"resourceType":"HumanName"}"#,
        &[(Structure, "Resource", (1, 18), "'HumanName' is not a resource type.")],
    );
    let needs = "A resource needs a resourceType, for instance \"resourceType\": \"Patient\".";
    check(r#"{"id":"a","resourceType":1}"#, &[(Structure, "Resource", (1, 1), needs)]);
    patient(r#""contained":[{"id":"a"}]"#, (Structure, "Patient.contained[0]", (2, 14), needs));
    check("[]", &[(Structure, "Resource", (1, 1), "A resource is a JSON object.")]);
    check("12", &[(Structure, "Resource", (1, 1), "A resource is a JSON object.")]);
}

#[test]
fn faults_inside_other_resources_have_the_path_from_the_root() {
    check(
        "{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{\"fullUrl\":\"a b\"},\n\t{\"resource\":{\"active\":1,\"resourceType\":\"Patient\"}}]}",
        &[
            (Value, "Bundle.entry[0].fullUrl", (1, 61), "'a b' is not a URI (no white space)."),
            (
                Structure,
                "Bundle.entry[1].resource.active",
                (2, 24),
                "boolean is written as true or false, without quotes in JSON.",
            ),
        ],
    );
}

#[test]
fn what_is_not_json() {
    check(
        "",
        &[(Invalid, "Resource", (1, 1), "This is not JSON: expected a value, found the end of the text.")],
    );
    check("<Patient/>", &[(Invalid, "Resource", (1, 1), "This is not JSON: expected a value, found '<'.")]);
    let patient_text = r#"{"resourceType":"Patient","active":true"#;
    let end = "This is not JSON: expected ',' or '}', found the end of the text.";
    check(patient_text, &[(Invalid, "Patient", (1, 40), end)]);
    check(
        &format!("{patient_text}}} x"),
        &[(Invalid, "Patient", (1, 42), "This is not JSON: expected the end of the text, found 'x'.")],
    );
    check(
        &format!("{patient_text},}}"),
        &[(Invalid, "Patient", (1, 41), "This is not JSON: expected a name in quotes, found '}'.")],
    );
    patient(
        "active:true",
        (Invalid, "Patient", (2, 1), "This is not JSON: expected a name in quotes, found 'a'."),
    );
    patient("\"active\" true", (Invalid, "Patient", (2, 10), "This is not JSON: expected ':', found 't'."));
    patient(
        "\"active\":tru",
        (Invalid, "Patient.active", (2, 10), "This is not JSON: expected a value, found 't'."),
    );
    check(
        "{\"resourceType\":\"Patient\",\"active\":nul}",
        &[
            (Structure, "Patient.active", (1, 36), "null is not a value: leave the property out."),
            (Invalid, "Patient.active", (1, 36), "This is not JSON: expected a value, found 'n'."),
        ],
    );
    patient(
        "\"multipleBirthInteger\":01",
        (
            Invalid,
            "Patient.multipleBirth",
            (2, 24),
            "This is not JSON: expected a number as JSON writes it, found '0'.",
        ),
    );
    patient(
        "\"name\":[{\"text\":\"é\n\"}]",
        (
            Invalid,
            "Patient.name[0].text",
            (2, 19),
            "This is not JSON: expected no control character in a string (write it as \\u0000 or such), found '\\n'.",
        ),
    );
    for escape in ["\\x", "\\ud800", "\\udc00\\ud800", "\\u12", "\\ud800\\u0041"] {
        patient(
            &format!("\"name\":[{{\"text\":\"{escape}\"}}]"),
            (
                Invalid,
                "Patient.name[0].text",
                (2, 18),
                "This is not JSON: expected an escape of JSON, surrogates in pairs, found '\\\\'.",
            ),
        );
    }
    patient(
        "\"name\":[{\"text\":\"a\"};]",
        (Invalid, "Patient.name[0]", (2, 21), "This is not JSON: expected ',' or ']', found ';'."),
    );
    check(
        "{\"resourceType\":\"Patient\",\"nix\":[1 2]}",
        &[
            (Structure, "Patient.nix", (1, 27), "Patient has no element 'nix'."),
            (Invalid, "Patient", (1, 36), "This is not JSON: expected ',' or ']', found '2'."),
        ],
    );
}

#[test]
fn bytes_that_are_not_utf8() {
    let text = b"{\"resourceType\":\"Patient\",\n\"gender\":\"\xC3\xA4\xFF\"}".to_vec();
    let expected = Issue::error(Invalid, "The text is not UTF-8 here.").line(2, 12);
    assert_eq!(Tree::parse_json(&schema(), text, &Limits::DEFAULT).unwrap_err(), [expected]);
}

#[test]
fn faults_are_told_up_to_the_limit_and_in_the_order_of_the_text() {
    let text = r#"{"resourceType":"Patient","a1":1,"gender":2,"c1":3,"d1":4}"#;
    let limits = Limits { issues: 3, ..Limits::DEFAULT };
    let issues = Tree::parse_json(&schema(), text.as_bytes().to_vec(), &limits).unwrap_err();
    let told: Vec<_> = issues.iter().map(|issue| issue.expression.as_deref().unwrap()).collect();
    assert_eq!(told, ["Patient.a1", "Patient.gender", "Patient.c1"]);
}

#[test]
fn size_and_depth() {
    let text = br#"{"resourceType":"Patient","active":true}"#.to_vec();
    let limits = Limits { bytes: 10, ..Limits::DEFAULT };
    let expected = Issue::error(TooLong, "The input has 40 bytes; at most 10 are taken.");
    assert_eq!(Tree::parse_json(&schema(), text, &limits).unwrap_err(), [expected]);

    let item = |levels: usize| {
        let (open, close) = (r#""item":[{"linkId":"a","#.repeat(levels), "}]".repeat(levels));
        format!("{{\"resourceType\":\"Questionnaire\",{}{}}}", open.trim_end_matches(','), close)
    };
    assert!(parse(&item(49)).is_ok(), "99 levels");
    let issues = parse(&item(50)).unwrap_err();
    let details = "Objects and arrays are nested deeper than 100 levels.";
    let expression = format!("Questionnaire{}", ".item[0]".repeat(50));
    assert_eq!(issues, [Issue::error(TooLong, details).at(expression).line(1, 1119)]);

    let text = format!("{{\"resourceType\":\"Patient\",\"x\":{}", "[".repeat(100_000));
    let details = "Objects and arrays are nested deeper than 100 levels.";
    let expected = [
        Issue::error(Structure, "Patient has no element 'x'.").at("Patient.x").line(1, 27),
        Issue::error(TooLong, details).at("Patient").line(1, 130),
    ];
    assert_eq!(parse(&text).unwrap_err(), expected);
}

#[test]
fn elements_are_bounded() {
    let given = ["null"; 0x1_0000].join(",");
    let text = format!(r#"{{"resourceType":"Patient","name":[{{"_given":[{given}]}}]}}"#);
    let limits = Limits { bytes: 0x8_0000, ..Limits::DEFAULT };
    let issues = Tree::parse_json(&schema(), text.into_bytes(), &limits).unwrap_err();
    let details = "The resource has more than 65536 elements.";
    let last = issues.last().unwrap();
    assert_eq!((last.code, last.details.as_str()), (TooLong, details));
}
