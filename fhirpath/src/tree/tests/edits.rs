use super::{json, parse, valid};
use crate::tree::{Element, Subset, Tree, write_string};

fn edited(before: &str, edit: impl FnOnce(&mut Tree), after: &str) {
    let mut tree = valid(before);
    edit(&mut tree);
    assert_eq!(json(&tree), after);
    assert_eq!(json(&valid(after)), after, "what was written is read again");
}

fn part(subset: Subset, whole: &str, expected: &str) {
    let mut out = Vec::new();
    valid(whole).write_subset(&subset, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    valid(expected);
}

fn node(tree: &Tree, path: &str) -> u32 {
    tree.descendants().find(|element| element.path() == path).map(Element::node_id).unwrap()
}

#[test]
fn an_id_is_set_replaced_and_removed() {
    let with_id = r#"{"resourceType":"Patient","id":"b","active":true}"#;
    let without = r#"{"resourceType":"Patient","active":true}"#;
    edited(without, |tree| tree.set_id("b"), with_id);
    edited(&with_id.replace("\"b\"", "\"old\""), |tree| tree.set_id("b"), with_id);
    edited(with_id, Tree::remove_id, without);
    edited(without, Tree::remove_id, without);
    edited(
        with_id,
        |tree| {
            tree.remove_id();
            tree.set_id("b");
        },
        with_id,
    );
    let mut tree = valid(with_id);
    tree.remove_id();
    assert_eq!(tree.id(), None);
    assert_eq!(tree.descendants().count(), 2, "a removed node is not visited");
}

#[test]
fn meta_is_created_or_completed() {
    let set = |tree: &mut Tree| tree.set_meta("7", "2026-01-02T03:04:05Z");
    edited(
        r#"{"resourceType":"Patient","id":"a","active":true}"#,
        set,
        r#"{"resourceType":"Patient","id":"a","meta":{"versionId":"7","lastUpdated":"2026-01-02T03:04:05Z"},"active":true}"#,
    );
    edited(
        r#"{"resourceType":"Patient","meta":{"extension":[{"url":"u","valueCode":"c"}],"versionId":"1","source":"s","tag":[{"code":"t"}]}}"#,
        set,
        r#"{"resourceType":"Patient","meta":{"extension":[{"url":"u","valueCode":"c"}],"versionId":"7","lastUpdated":"2026-01-02T03:04:05Z","source":"s","tag":[{"code":"t"}]}}"#,
    );
}

#[test]
fn a_value_keeps_its_extensions_and_is_escaped_when_written() {
    let text = r#"{"resourceType":"Patient","name":[{"family":"a\u0041","_family":{"id":"x"}}]}"#;
    let mut tree = valid(text);
    let family = node(&tree, "Patient.name[0].family");
    assert!(tree.set_text(family, "O\"B\\\u{1}ä"));
    assert_eq!(tree.element(family).unwrap().value().unwrap(), "O\"B\\\u{1}ä");
    let expected = r#"{"resourceType":"Patient","name":[{"family":"O\"B\\\u0001ä","_family":{"id":"x"}}]}"#;
    assert_eq!(json(&tree), expected);
    assert!(tree.set_text(family, "again"));
    assert_eq!(json(&tree), expected.replace(r#"O\"B\\\u0001ä"#, "again"));
    let name = node(&tree, "Patient.name[0]");
    assert!(!tree.set_text(name, "no primitive"));
    assert!(!tree.set_text(99, "no node"));
}

#[test]
fn the_stamp_is_found() {
    let mut tree = valid(
        r#"{"resourceType":"Patient","active":false,"contained":[{"resourceType":"Patient","meta":{"lastUpdated":"2000-01-01T00:00:00Z"}}]}"#,
    );
    let mut out = b"before".to_vec();
    assert_eq!(tree.write_stamped(&mut out), None);
    tree.set_meta("1", "2026-01-02T03:04:05Z");
    let mut out = b"before".to_vec();
    let at = tree.write_stamped(&mut out).unwrap();
    assert!(out["before".len() + at..].starts_with(b"2026-01-02T03:04:05Z\""));
    assert_eq!(&out["before".len()..], json(&tree).as_bytes());
}

#[test]
fn an_inner_resource_becomes_a_tree() {
    let inner = r#"{"resourceType":"Patient","id":"c","contained":[{"resourceType":"Patient","id":"d"}],"name":[{"family":"F\n","given":["x","y"],"_given":[null,{"id":"q"}]}]}"#;
    let other = r#"{"resourceType":"Observation","status":"final","code":{"text":"t"}}"#;
    let bundle = format!(
        r#"{{"resourceType":"Bundle","type":"batch","entry":[{{"fullUrl":"urn:a","resource":{inner}}},{{"resource":{other}}}]}}"#
    );
    let mut tree = valid(&bundle);
    let resource = |tree: &Tree, at: usize| {
        let entry = tree.root().all("entry").nth(at).unwrap();
        tree.extract(entry.get("resource").unwrap())
    };
    let first = resource(&tree, 0).unwrap();
    assert_eq!(json(&first), inner);
    assert_eq!(first.resource_type(), "Patient");
    assert_eq!(first.root().name(), "Patient");
    assert_eq!(first.id().as_deref(), Some("c"));
    assert!(first.memory() < tree.memory());
    assert_eq!(json(&resource(&tree, 1).unwrap()), other);
    assert_eq!(json(&tree.extract(tree.root()).unwrap()), bundle);
    let id = node(&tree, "Bundle.entry[0].resource.contained[0].id");
    tree.set_text(id, "changed");
    let mut first = resource(&tree, 0).unwrap();
    assert_eq!(json(&first), inner.replace("\"d\"", "\"changed\""));
    first.set_id("mine");
    assert_eq!(first.id().as_deref(), Some("mine"));
    let contained = first.extract(first.root().get("contained").unwrap()).unwrap();
    assert_eq!(json(&contained), r#"{"resourceType":"Patient","id":"changed"}"#);
    assert!(tree.extract(tree.root().get("entry").unwrap()).is_none(), "an entry is no resource");
}

const WHOLE: &str = r#"{"resourceType":"Patient","id":"a","meta":{"versionId":"1"},"implicitRules":"urn:r","language":"en","text":{"status":"generated","div":"<div/>"},"contained":[{"resourceType":"Patient","id":"c"}],"extension":[{"url":"u","valueCode":"c"}],"active":true,"_active":{"id":"i"},"name":[{"id":"n","family":"F"}],"photo":[{"title":"t"}],"contact":[{"gender":"male"}],"link":[{"id":"l","modifierExtension":[{"url":"m","valueCode":"v"}],"other":{"reference":"Patient/b"},"type":"refer"}]}"#;
const TAG: &str =
    r#""tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]"#;

#[test]
fn summary_true_has_the_summary_elements_at_every_level() {
    part(
        Subset::Summary,
        WHOLE,
        &format!(
            r#"{{"resourceType":"Patient","id":"a","meta":{{"versionId":"1",{TAG}}},"implicitRules":"urn:r","active":true,"_active":{{"id":"i"}},"name":[{{"family":"F"}}],"link":[{{"modifierExtension":[{{"url":"m","valueCode":"v"}}],"other":{{"reference":"Patient/b"}},"type":"refer"}}]}}"#
        ),
    );
}

#[test]
fn an_element_with_nothing_of_the_summary_is_left_out() {
    part(
        Subset::Summary,
        r#"{"resourceType":"Patient","name":[{"id":"only"},{"text":"T"}]}"#,
        &format!(r#"{{"resourceType":"Patient","meta":{{{TAG}}},"name":[{{"text":"T"}}]}}"#),
    );
}

#[test]
fn summary_text_has_text_and_what_is_mandatory() {
    part(
        Subset::Text,
        r#"{"resourceType":"Observation","id":"a","text":{"status":"empty","div":"<div/>"},"status":"final","code":{"text":"c"},"subject":{"display":"d"}}"#,
        &format!(
            r#"{{"resourceType":"Observation","id":"a","meta":{{{TAG}}},"text":{{"status":"empty","div":"<div/>"}},"status":"final","code":{{"text":"c"}}}}"#
        ),
    );
}

#[test]
fn summary_data_has_all_but_text() {
    part(
        Subset::Data,
        WHOLE,
        &WHOLE
            .replace(r#""text":{"status":"generated","div":"<div/>"},"#, "")
            .replace(r#""versionId":"1""#, &format!(r#""versionId":"1",{TAG}"#)),
    );
}

#[test]
fn elements_has_those_named_the_mandatory_and_the_modifiers() {
    part(
        Subset::Elements(vec!["value".to_owned(), "category".to_owned()]),
        r#"{"resourceType":"Observation","id":"a","language":"en","status":"final","category":[{"text":"k"}],"code":{"text":"c"},"subject":{"display":"d"},"valueString":"v"}"#,
        &format!(
            r#"{{"resourceType":"Observation","id":"a","meta":{{{TAG}}},"status":"final","category":[{{"text":"k"}}],"code":{{"text":"c"}},"valueString":"v"}}"#
        ),
    );
}

#[test]
fn a_part_is_not_tagged_twice() {
    let tagged = format!(r#"{{"resourceType":"Patient","meta":{{{TAG}}},"active":true}}"#);
    part(Subset::Data, &tagged, &tagged);
}

#[test]
fn pretty_json_is_the_same_json() {
    let tree = valid(
        r#"{"resourceType":"Patient","active":true,"name":[{"given":["a",null],"_given":[null,{"id":"b"}]}]}"#,
    );
    let mut pretty = Vec::new();
    tree.write_pretty(&mut pretty);
    let pretty = String::from_utf8(pretty).unwrap();
    assert_eq!(json(&parse(&pretty).unwrap()), json(&tree));
    expect_test::expect![[r#"
        {
          "resourceType": "Patient",
          "active": true,
          "name": [
            {
              "given": [
                "a",
                null
              ],
              "_given": [
                null,
                {
                  "id": "b"
                }
              ]
            }
          ]
        }"#]]
    .assert_eq(&pretty);
}

#[test]
fn an_element_is_written_alone() {
    let tree = valid(r#"{"resourceType":"Patient","name":[{"family":"F"}],"_birthDate":{"id":"x"}}"#);
    let alone = |name: &str| {
        let mut out = Vec::new();
        tree.root().get(name).unwrap().write_json(&mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(alone("name"), r#"{"family":"F"}"#);
    assert_eq!(alone("birthDate"), "null");
}

#[test]
fn strings_have_the_least_escapes() {
    for (text, expected) in [
        ("", r#""""#),
        ("a/b ä \u{7f}\u{2028}", "\"a/b ä \u{7f}\u{2028}\""),
        ("\"\\\u{8}\u{9}\u{a}\u{c}\u{d}\u{1f}", r#""\"\\\b\t\n\f\r\u001f""#),
    ] {
        let mut out = Vec::new();
        write_string(&mut out, text);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn children_are_found_by_name_in_the_order_of_the_specification() {
    let tree = valid(
        r#"{"valueString":"v","component":[{"code":{"text":"2"}},{"code":{"text":"3"}}],"code":{"text":"1"},"status":"final","resourceType":"Observation"}"#,
    );
    let names: Vec<&str> = tree.root().children().map(Element::name).collect();
    assert_eq!(names, ["status", "code", "value", "component", "component"]);
    let value = tree.root().get("value").unwrap();
    assert_eq!(
        (value.json_name(), value.type_name(), value.path()),
        ("valueString", "string", "Observation.value".to_owned())
    );
    assert!(value.has_value() && !value.is_resource());
    let texts: Vec<_> = tree
        .root()
        .all("component")
        .filter_map(|component| component.get("code")?.get("text")?.value())
        .collect();
    assert_eq!(texts, ["2", "3"]);
    let paths: Vec<String> = tree.descendants().map(Element::path).collect();
    assert_eq!(
        paths,
        [
            "Observation",
            "Observation.value",
            "Observation.component[0]",
            "Observation.component[0].code",
            "Observation.component[0].code.text",
            "Observation.component[1]",
            "Observation.component[1].code",
            "Observation.component[1].code.text",
            "Observation.code",
            "Observation.code.text",
            "Observation.status",
        ]
    );
    assert!(tree.root().get("nothing").is_none());
    assert!(tree.root().get("valueString").is_none(), "FHIRPath names have no type");
}
