//! What a caller provides, and what is refused without it.

use std::cell::RefCell;

use super::*;
use crate::issue::IssueType;

/// Knows one other resource, one value set, one hierarchy and one profile.
struct Everything {
    other: Tree,
    traced: RefCell<Vec<String>>,
}

impl<'t> Resolver<'t> for &'t Everything {
    fn resolve(&self, url: &str, from: Element<'t>) -> Result<Option<Element<'t>>, EvaluationError> {
        assert_eq!(from.type_name(), "Reference");
        Ok((url == "Patient/7").then(|| self.other.root()))
    }
}

impl Terminology for Everything {
    fn member_of(&self, coding: &Coding<'_>, value_set: &str) -> Result<Option<bool>, EvaluationError> {
        match value_set {
            "http://x/vs" => Ok(Some(coding.code == "a" || coding.code == "final")),
            "http://x/unsure" => Ok((coding.code == "a").then_some(true)),
            _ => Err(EvaluationError::new(format!("there is no value set '{value_set}'"))),
        }
    }

    fn subsumes(
        &self,
        ancestor: &Coding<'_>,
        descendant: &Coding<'_>,
    ) -> Result<Option<bool>, EvaluationError> {
        Ok(Some(ancestor.code == "a" && descendant.code == "b"))
    }
}

impl<'t> Profiles<'t> for &'t Everything {
    fn conforms_to(&self, element: Element<'t>, structure: &str) -> Result<Option<bool>, EvaluationError> {
        Ok((structure == "http://x/profile").then(|| element.get("active").is_some()))
    }

    fn element_definition(&self, _: Element<'t>) -> Result<Option<Element<'t>>, EvaluationError> {
        Ok(Some(self.other.root()))
    }

    fn slice(&self, element: Element<'t>, _: &str, name: &str) -> Result<bool, EvaluationError> {
        Ok(element.get("use").and_then(Element::value).is_some_and(|found| found == name))
    }
}

impl Trace for Everything {
    fn trace(&self, name: &str, items: &[Item<'_>]) {
        let items: Vec<String> = items.iter().map(show).collect();
        self.traced.borrow_mut().push(format!("{name}: {}", items.join(", ")));
    }
}

/// The result with everything provided, and what was traced.
fn provided(json: &str, text: &str) -> (Result<String, String>, Vec<String>) {
    let schema = fixture::schema();
    let parse = |json: &str| Tree::parse_json(&schema, json.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
    let other = parse(r#"{"resourceType":"Patient","id":"7","active":true}"#);
    let everything = Everything { other, traced: RefCell::default() };
    let tree = parse(json);
    let expression = Expression::compile_as(&schema, tree.resource_type(), text, Dialect::Standard).unwrap();
    let handle = &everything;
    let environment = Environment {
        now: None,
        resolver: Some(&handle),
        terminology: Some(&everything),
        profiles: Some(&handle),
        trace: Some(&everything),
        resource: None,
    };
    let mut out = Vec::new();
    let done = expression.evaluate_in(tree.root(), &environment, &mut out);
    let shown = done.map(|()| out.iter().map(show).collect::<Vec<_>>().join(", "));
    let traced = everything.traced.borrow().clone();
    (shown.map_err(|error| error.to_string()), traced)
}

#[test]
fn the_environment_answers() {
    for (json, text, expected) in [
        (PATIENT, "Patient.link.other.resolve().id", "7, p2, o1"),
        (OBSERVATION, "subject.resolve().conformsTo('http://x/profile')", "true"),
        (OBSERVATION, "subject.conformsTo('http://x/else')", ""),
        (OBSERVATION, "conformsTo('http://hl7.org/fhir/StructureDefinition/Observation')", "true"),
        (PATIENT, "meta.tag[0].memberOf('http://x/vs')", "true"),
        (PATIENT, "meta.tag[1].memberOf('http://x/vs')", "false"),
        (PATIENT, "meta.tag[1].memberOf('http://x/unsure')", ""),
        (OBSERVATION, "status.memberOf('http://x/vs')", "true"),
        (PATIENT, "meta.tag[0].subsumes(%context.meta.tag[1])", "true"),
        (PATIENT, "meta.tag[1].subsumes(%context.meta.tag[0])", "false"),
        (PATIENT, "meta.tag[1].subsumedBy(%context.meta.tag[0])", "true"),
        (PATIENT, "meta.tag[1].subsumedBy(%context.meta.tag[1])", "true"),
        (PATIENT, "name.slice('http://x/profile', 'usual').given", "Jim"),
        (PATIENT, "birthDate.elementDefinition().id", "7"),
    ] {
        assert_eq!(provided(json, text).0.as_deref(), Ok(expected), "{text}");
    }
    let unknown = provided(PATIENT, "meta.tag[0].memberOf('http://x/none')").0;
    assert_eq!(unknown, Err("there is no value set 'http://x/none'".to_owned()));
    let uncoded = provided(PATIENT, "active.memberOf('http://x/vs')").0;
    let message = "memberOf() needs a code, a Coding, a CodeableConcept or a Quantity";
    assert_eq!(uncoded, Err(message.to_owned()));
}

#[test]
fn traces_are_heard() {
    let (shown, traced) = provided(PATIENT, "name.trace('n', given).given.trace('g').count()");
    assert_eq!(shown.as_deref(), Ok("3"));
    assert_eq!(traced, ["n: Peter, James, Jim", "g: Peter, James, Jim"]);
    let (_, each) = provided(PATIENT, "name.where(%resource.id.trace('id').exists()).count()");
    assert_eq!(each, ["id: p1", "id: p1"]);
}

#[test]
fn what_is_not_provided_is_refused_by_name() {
    let check = |json: &str, text: &str, details: &str| {
        let schema = fixture::schema();
        let tree = Tree::parse_json(&schema, json.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
        let compiled =
            Expression::compile_as(&schema, tree.resource_type(), text, Dialect::Standard).unwrap();
        let error = compiled.evaluate(tree.root(), &mut Vec::new()).unwrap_err();
        let details = format!("the FHIRPath expression cannot be evaluated: {details}");
        assert_eq!(Issue::from(error), Issue::error(IssueType::NotSupported, details), "{text}");
    };
    check(OBSERVATION, "subject.resolve()", "resolve() needs a resolver, and there is none here");
    check(OBSERVATION, "status.memberOf('x')", "memberOf() needs a terminology, and there is none here");
    check(OBSERVATION, "code.subsumes(code)", "subsumes() needs a terminology, and there is none here");
    check(OBSERVATION, "code.subsumedBy(code)", "subsumedBy() needs a terminology, and there is none here");
    check(OBSERVATION, "conformsTo('x')", "conformsTo() needs a source of profiles, and there is none here");
    check(
        OBSERVATION,
        "elementDefinition()",
        "elementDefinition() needs a source of profiles, and there is none here",
    );
    check(OBSERVATION, "slice('x', 'y')", "slice() needs a source of profiles, and there is none here");
    check(OBSERVATION, "now()", "now() has no meaning here: there is no clock");
}

#[test]
fn the_resource_is_the_one_that_holds_the_input() {
    let schema = fixture::schema();
    let check = |json: &str, at: &str, text: &str, expected: &str| {
        let tree = Tree::parse_json(&schema, json.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
        let mut found = Vec::new();
        let place = Expression::compile(&schema, tree.resource_type(), at).unwrap();
        place.evaluate(tree.root(), &mut found).unwrap();
        let input = found.first().and_then(Item::element).unwrap();
        let compiled = Expression::compile_as(&schema, input.type_name(), text, Dialect::Standard).unwrap();
        let mut out = Vec::new();
        compiled.evaluate(input, &mut out).unwrap();
        assert_eq!(out.iter().map(show).collect::<Vec<_>>().join(", "), expected, "{at} {text}");
    };
    check(PATIENT, "contained[0].code", "%resource.id", "o1");
    check(PATIENT, "contained[0].code", "%rootResource.id", "p1");
    check(PATIENT, "contained[0]", "%resource.id & %rootResource.id", "'o1p1'");
    check(PATIENT, "link[3].other", "%resource.id & %rootResource.id", "'p1p1'");
    check(BUNDLE, "entry[1].resource.subject", "%resource.type().name", "'Observation'");
    check(BUNDLE, "entry[1].resource.subject", "%rootResource.type().name", "'Observation'");
    check(BUNDLE, "entry[1]", "%rootResource.type().name", "'Bundle'");
}
