//! Any valid resource, its keys in any order and its text spaced and escaped in any way, comes back.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::valid;

/// A JSON text of a value: white space, escapes and the order of keys as the seed says.
fn spell(value: &Value, seed: &mut u64, out: &mut String) {
    let mut next = |end: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % end
    };
    out.push_str(["", " ", "\n", "\t\r\n"][usize::try_from(next(4)).unwrap()]);
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            let turn = usize::try_from(next(members.len().max(1) as u64)).unwrap();
            members.rotate_left(turn);
            out.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if at > 0 { " , " } else { "" });
                spell(&Value::String(key.clone()), seed, out);
                out.push_str(" :");
                spell(value, seed, out);
            }
            out.push_str("\n}");
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                spell(item, seed, out);
            }
            out.push_str(" ]");
        }
        Value::String(text) => {
            out.push('"');
            for unit in text.chars() {
                if next(8) == 0 || unit < ' ' || unit == '"' || unit == '\\' {
                    let mut units = [0; 2];
                    for unit in unit.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04X}"));
                    }
                } else {
                    out.push(unit);
                }
            }
            out.push('"');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn text() -> impl Strategy<Value = Value> {
    "[^\u{0}]{1,12}".prop_map(Value::String)
}

fn decimal() -> impl Strategy<Value = Value> {
    "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?"
        .prop_map(|text| serde_json::from_str(&text).unwrap())
}

fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

fn extension() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(|value| json!([{"url": "urn:x", "valueString": value}])),
        decimal().prop_map(|value| json!([{"url": "urn:y", "valueDecimal": value}])),
        text().prop_map(
            |value| json!([{"url": "urn:z", "extension": [{"id": value, "url": "a", "valueBoolean": true}]}])
        ),
    ]
}

/// Values and extensions of a list of primitives, aligned.
fn given() -> impl Strategy<Value = (Option<Value>, Option<Value>)> {
    let item = prop_oneof![
        3 => text().prop_map(|value| (value, Value::Null)),
        1 => extension().prop_map(|extension| (Value::Null, json!({"extension": extension}))),
        1 => (text(), extension()).prop_map(|(value, extension)| (value, json!({"extension": extension}))),
    ];
    proptest::collection::vec(item, 0..5).prop_map(|items| {
        let (values, extensions): (Vec<Value>, Vec<Value>) = items.into_iter().unzip();
        let some =
            |items: Vec<Value>| items.iter().any(|item| !item.is_null()).then_some(Value::Array(items));
        (some(values), some(extensions))
    })
}

fn name() -> impl Strategy<Value = Value> {
    (text(), given(), proptest::option::of(extension())).prop_map(
        |(family, (given, extensions), extension)| {
            object(vec![
                ("family", Some(family)),
                ("given", given),
                ("_given", extensions),
                ("extension", extension),
            ])
        },
    )
}

fn patient() -> impl Strategy<Value = Value> {
    (
        proptest::option::of("[A-Za-z0-9.-]{1,64}".prop_map(Value::String)),
        proptest::collection::vec(name(), 0..4),
        proptest::option::of(any::<bool>()),
        proptest::option::of(extension()),
        proptest::option::of(any::<i32>()),
    )
        .prop_map(|(id, names, active, extension, birth)| {
            object(vec![
                ("resourceType", Some(json!("Patient"))),
                ("id", id),
                ("name", (!names.is_empty()).then_some(Value::Array(names))),
                ("active", active.map(Value::Bool)),
                ("_birthDate", extension.map(|extension| json!({"extension": extension}))),
                ("multipleBirthInteger", birth.map(Value::from)),
            ])
        })
}

fn resource() -> impl Strategy<Value = Value> {
    let bundle = proptest::collection::vec(patient(), 1..4).prop_map(|patients| {
        let entries: Vec<Value> = patients.into_iter().map(|patient| json!({"resource": patient})).collect();
        json!({"entry": entries, "type": "collection", "resourceType": "Bundle"})
    });
    prop_oneof![patient(), bundle]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_comes_back(value in resource(), seed in any::<u64>()) {
        let mut text = String::new();
        spell(&value, &mut { seed }, &mut text);
        let tree = valid(&text);
        let canonical = super::json(&tree);
        prop_assert_eq!(&serde_json::from_str::<Value>(&canonical).unwrap(), &value);
        prop_assert_eq!(super::json(&valid(&canonical)), &*canonical);
        let mut plain = String::new();
        spell(&value, &mut { seed.wrapping_add(1) }, &mut plain);
        prop_assert_eq!(super::json(&valid(&plain)), canonical, "canonical JSON does not depend on the spelling");
    }
}
