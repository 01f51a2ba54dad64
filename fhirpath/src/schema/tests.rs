use super::{ElementDefinition, Primitive, Schema, SchemaError, TypeDefinition, TypeKind, TypeReference};
use crate::fixture::{definitions, schema};

fn element(name: &str, types: &[&str]) -> ElementDefinition {
    ElementDefinition {
        name: name.to_owned(),
        types: types
            .iter()
            .map(|&code| TypeReference { code: code.to_owned(), targets: Vec::new() })
            .collect(),
        min: 0,
        max: Some(1),
        is_choice: types.len() > 1,
        is_summary: false,
        is_modifier: false,
    }
}

fn complex(name: &str, base: Option<&str>, elements: Vec<ElementDefinition>) -> TypeDefinition {
    let base = base.map(str::to_owned);
    TypeDefinition { name: name.to_owned(), kind: TypeKind::ComplexType, base, is_abstract: false, elements }
}

#[test]
fn choices_are_neighbouring_properties_of_one_name() {
    let schema = schema();
    let observation = schema.type_id("Observation").unwrap();
    let value = schema.property(observation, "value").unwrap();
    let names: Vec<&str> =
        (value.start.0..value.end.0).map(|id| &*schema.definition(super::PropertyId(id)).json_name).collect();
    assert_eq!(
        names,
        [
            "valueQuantity",
            "valueCodeableConcept",
            "valueString",
            "valueBoolean",
            "valueInteger",
            "valueTime",
            "valueDateTime"
        ]
    );
    assert_eq!(schema.property(observation, "valueString"), None);
    let status = schema.property(observation, "status").unwrap();
    assert_eq!(status.end.0 - status.start.0, 1);
}

#[test]
fn every_property_is_found_by_both_names() {
    let schema = schema();
    for owner in schema.type_ids() {
        let ids: Vec<_> = schema.property_ids(owner).collect();
        assert_eq!(ids.len(), schema.properties(owner).len());
        for (id, property) in ids.iter().zip(schema.properties(owner)) {
            assert_eq!(property.owner, owner);
            assert_eq!(schema.json_property(owner, property.json_name.as_bytes(), 0), Some(*id));
            let named = schema.property(owner, &property.name).unwrap();
            assert!(named.contains(id), "{}", property.json_name);
        }
        assert_eq!(schema.json_property(owner, b"", 0), None);
        assert_eq!(schema.json_property(owner, b"noSuchElement", 0), None);
    }
}

#[test]
fn types_know_their_kind_and_ancestors() {
    let schema = schema();
    let id = |name: &str| schema.type_id(name).unwrap();
    assert!(schema.is_subtype(id("Patient"), id("Resource")));
    assert!(schema.is_subtype(id("Patient"), id("Patient")));
    assert!(!schema.is_subtype(id("Bundle"), id("DomainResource")));
    assert!(!schema.is_subtype(id("Resource"), id("Patient")));
    assert_eq!(schema.base(id("code")), Some(id("string")));
    assert_eq!(schema.primitive(id("code")), Some(Primitive::Code));
    assert_eq!(schema.primitive(id("Coding")), None);
    assert_eq!(schema.kind(id("Patient.contact")), TypeKind::ComplexType);
    assert_eq!(schema.type_name(id("Patient.contact")), "Patient.contact");
    assert!(schema.is_resource("Patient") && !schema.is_resource("DomainResource"));
    assert!(!schema.is_resource("HumanName") && !schema.is_resource("Nothing"));
    assert!(schema.is_abstract(id("Element")));
    let resources: Vec<&str> = schema.resource_types().collect();
    assert_eq!(resources, ["Patient", "Observation", "Questionnaire", "Bundle", "Parameters"]);
}

#[test]
fn an_element_that_is_ruled_out_is_no_property() {
    let schema = schema();
    assert_eq!(schema.property(schema.type_id("xhtml").unwrap(), "extension"), None);
}

#[test]
fn a_primitive_that_specialises_one_of_r4_is_checked_as_that() {
    let mut types = definitions();
    let mut special = complex("specialCode", Some("code"), Vec::new());
    special.kind = TypeKind::PrimitiveType;
    types.push(special);
    let schema = Schema::build(&types).unwrap();
    assert_eq!(schema.primitive(schema.type_id("specialCode").unwrap()), Some(Primitive::Code));
}

#[test]
fn types_that_do_not_fit_together_are_refused_by_name() {
    let check = |added: TypeDefinition, expected: SchemaError| {
        let mut types = definitions();
        types.push(added);
        assert_eq!(Schema::build(&types).unwrap_err(), expected);
    };
    let undefined =
        |owner: &str, name: &str| SchemaError::Undefined { owner: owner.into(), name: name.into() };
    check(complex("A", Some("Nix"), Vec::new()), undefined("A", "Nix"));
    check(complex("A", None, vec![element("b", &["string", "Nix"])]), undefined("A.b", "Nix"));
    check(complex("Coding", None, Vec::new()), SchemaError::Duplicate("Coding".to_owned()));
    let mut primitive = complex("integer64", Some("Element"), Vec::new());
    primitive.kind = TypeKind::PrimitiveType;
    check(primitive, SchemaError::UnknownPrimitive("integer64".to_owned()));
    let types: Vec<_> = (0..=0x1_0000).map(|n| complex(&format!("T{n}"), None, Vec::new())).collect();
    assert_eq!(Schema::build(&types).unwrap_err(), SchemaError::TooLarge);
}

#[test]
fn a_circle_of_bases_ends() {
    let types = [
        complex("A", Some("B"), Vec::new()),
        complex("B", Some("A"), Vec::new()),
        complex("C", None, Vec::new()),
    ];
    let schema = Schema::build(&types).unwrap();
    let id = |name: &str| schema.type_id(name).unwrap();
    assert!(schema.is_subtype(id("A"), id("B")));
    assert!(!schema.is_subtype(id("A"), id("C")));
}
