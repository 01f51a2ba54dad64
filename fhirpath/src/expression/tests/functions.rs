//! Functions of later versions and of FHIR, units, and what is evaluated once.

use super::*;

#[test]
fn items_are_sorted() {
    for (text, expected) in [
        ("(3 | 1 | 2.5).sort()", "1, 2.5, 3"),
        ("(3 | 1 | 2).sort($this desc)", "3, 2, 1"),
        ("(3 | 1 | 2).sort($this asc)", "1, 2, 3"),
        ("(3 | 1 | 2).sort(-$this)", "3, 2, 1"),
        ("('b' | 'c' | 'a').sort(-$this).first()", "'c'"),
        ("name.sort(family).use", "usual, official"),
        ("name.sort(family desc).use", "official, usual"),
        ("name.given.sort($this.length(), $this desc)", "Jim, Peter, James"),
        ("{}.sort().empty()", "true"),
    ] {
        check(PATIENT, text, expected);
    }
    refused(PATIENT, "(1 | 'a').sort()", "values of these types have no order among them");
    refused(PATIENT, "name.sort(given)", "a sort key needs one item and has 2");
    let undecided = "sort() cannot order values of unlike precision or of units that do not convert";
    refused(PATIENT, "(@2012 | @2012-01 | @2013).sort()", undecided);
    refused(
        PATIENT,
        "name.sort().use",
        "only values of numbers, texts, dates, times and quantities have an order",
    );
}

#[test]
fn values_have_boundaries() {
    for (text, expected) in [
        ("1.587.lowBoundary()", "1.58650000"),
        ("(-1.587).lowBoundary(0)", "-2"),
        ("1.587.highBoundary(0)", "2"),
        ("1.lowBoundary(29)", ""),
        ("1 'mg'.highBoundary(1)", "1.5 'mg'"),
        ("@2016-02.highBoundary()", "@2016-02-29"),
        ("@2014.lowBoundary(5)", ""),
        ("@2014T.lowBoundary()", "@2014-01-01T00:00:00.000+14:00"),
        ("@2014-01-01T08.highBoundary()", "@2014-01-01T08:59:59.999-12:00"),
        ("@2014-01-01T08:05:02Z.highBoundary(17)", "@2014-01-01T08:05:02.999Z"),
        ("@T10:30:01.5.highBoundary()", "@T10:30:01.500"),
        ("@T10.highBoundary(4)", "@T10:59"),
        ("birthDate.lowBoundary(6)", "@1974-12"),
        ("{}.lowBoundary()", ""),
        (
            "(100.precision() | 1.50.precision() | @2014-01-05T10.precision() | @T10:30:00.precision())",
            "0, 2, 10, 6",
        ),
        ("@2014T.precision()", "4"),
    ] {
        check(PATIENT, text, expected);
    }
    refused(PATIENT, "'a'.lowBoundary()", "lowBoundary() needs a number, a quantity, a date or a time");
    refused(PATIENT, "name.given.precision()", "precision needs one item and has 3");
}

#[test]
fn units_convert() {
    for (text, expected) in [
        ("value = 1500 'g'", "true"),
        ("value > 3 '[lb_av]'", "true"),
        ("value = 1.5 'm'", ""),
        ("value + 500 'g'", "2000 'g'"),
        ("value * 2", "3.00 'kg'"),
        ("value / 2 'L'", "0.75 'kg/L'"),
        ("value / 3 'kg'", "0.5 '1'"),
        ("2 'cm' * 3 'cm'", "6 'cm2'"),
        ("2 'cm' * 3 days", ""),
        ("5 'foo' + 1 'g'", ""),
        ("2 + 2 '1'", "4 '1'"),
        ("1 year = 1 'a'", ""),
        ("1 year ~ 1 'a'", "true"),
        ("1 week = 7 'd'", "true"),
        ("value.toQuantity('g')", "1500 'g'"),
        ("value.toQuantity('m').empty()", "true"),
        ("'36 hours'.toQuantity('days')", "1.5 days"),
        ("value.convertsToQuantity('mg')", "true"),
        ("value.convertsToQuantity('s')", "false"),
        ("value.comparable(1 'mg')", "true"),
        ("1 year.comparable(1 'a')", "false"),
        ("(1 'g' | 1000 'mg' | 1 'kg').count()", "2"),
        ("1 'g' - 1 'm'", ""),
    ] {
        check(OBSERVATION, text, expected);
    }
    refused(OBSERVATION, "value div 2", "'div' is not defined for values of these types");
}

#[test]
fn modifiers_and_narratives_are_checked() {
    check(PATIENT, "checkModifiers('http://x').id", "p1");
    let modified = r#"{"resourceType":"Patient","modifierExtension":[{"url":"http://x/m","valueBoolean":true}],
        "text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>"}}"#;
    check(modified, "checkModifiers('http://x/n', 'http://x/m').exists()", "true");
    let message = "checkModifiers() found a modifier extension that is not named";
    refused(modified, "checkModifiers('http://x/n')", message);
    refused(modified, "checkModifiers({})", "checkModifiers() needs the URL of a modifier extension");
    check(modified, "text.`div`.htmlChecks()", "true");
    check(modified, "text.status.htmlChecks()", "");
    check(&modified.replace(">a<", "><script/><"), "text.`div`.htmlChecks()", "false");
    check(PATIENT, "birthDate.getValue() is System.Date and name.getValue().empty()", "true");
}

#[test]
fn order_is_strict_where_asked_for() {
    let message = "first() depends on an order that children and descendants do not have (at character 11)";
    refused(PATIENT, "children().first()", message);
    check(PATIENT, "descendants().skip(1).exists()", "true");
    let lenient = result(PATIENT, "(name as HumanName).given", Dialect::Standard);
    assert_eq!(lenient.as_deref(), Ok("Peter, James, Jim"));
}

#[test]
fn iterations_share_what_is_always_the_same() {
    for (text, expected) in [
        ("name.where(use in %resource.name.use).count()", "2"),
        ("name.where(%resource.name.use contains use).count()", "2"),
        ("name.where(given.first() in %resource.name.given.where(length() = 3)).use", "usual"),
        ("name.select(given.where($this in (%context.name.given | %context.id)).count())", "2, 1"),
        ("name.given.aggregate($total + %resource.name.count() + $this.length(), 0)", "19"),
        ("name.aggregate($total + %context.name.where(use.length() > $total).count(), 5)", "7"),
        ("name.where($index = 1 and %resource.name[1].use = use).given", "Jim"),
        ("name.where(%resource.birthDate in (@1974-12-25 | @1975)).count()", "2"),
        (
            "name.given.repeat($this.where(length() > %resource.name.count()).substring(1))",
            "'eter', 'ames', 'im', 'ter', 'mes', 'er', 'es'",
        ),
    ] {
        check(PATIENT, text, expected);
    }
}

#[test]
fn large_collections_keep_equality() {
    let many = "repeat(iif($this < 40, $this + 1, {}))";
    check(PATIENT, &format!("(0.{many} | 0.{many} | (1.0 | 2.50)).count()"), "41");
    check(PATIENT, &format!("(0.{many} | 5 '1').count()"), "40");
    check(PATIENT, &format!("0.{many}.select($this + 0.0).intersect(0.{many}).count()"), "40");
    check(PATIENT, &format!("0.{many}.exclude(0.{many}.where($this > 3))"), "1, 2, 3");
    check(PATIENT, &format!("0.{many}.subsetOf(0.{many}) and 0.{many}.isDistinct()"), "true");
    check(
        PATIENT,
        "descendants().combine(descendants()).distinct().count() = descendants().distinct().count()",
        "true",
    );
    check(PATIENT, "descendants().combine(descendants()).isDistinct()", "false");
}

#[test]
fn counts_and_truths_are_compared() {
    for (text, expected) in [
        ("name.where(given.count() = %resource.name.count()).use", "official"),
        ("name.where(%resource.name.count() >= given.count()).count()", "2"),
        ("name.where(given.count() > 1).use", "official"),
        ("name.all(given.count() < 3) and name.given.count() != 2 and 3 = name.given.count()", "true"),
        ("name.count() > -1", "true"),
        ("name.select(family.exists() = period.exists())", "false, false"),
        ("name.all(family.exists() != (%resource.active = 'x'))", "false"),
        ("(name.family = 'Chalmers') = {}", ""),
        ("(name.family = 'Chalmers') = name.use.exists()", "true"),
        ("(name[5].family = 'x') != name.exists()", ""),
        ("(name[5].use | name[6].use).exists() or (name[5].use | name.given).empty()", "false"),
        ("birthDate.hasValue() and name.given.hasValue().not()", "true"),
    ] {
        check(PATIENT, text, expected);
    }
}

#[test]
fn descendants_are_walked_in_the_order_of_the_document() {
    for (text, expected) in [
        ("contained[0].descendants().count()", "4"),
        ("name[1].descendants().ofType(string)", "Jim"),
        ("name.descendants().where($this is string).first()", "official"),
        ("descendants().family", "Chalmers"),
        ("descendants().descendants().start", "2001"),
        ("descendants().type().where(name = 'Period').namespace", "'FHIR'"),
        ("name.descendants().as(code)", "official, usual"),
    ] {
        check(PATIENT, text, expected);
    }
}

#[test]
fn items_are_shown_as_type_and_value() {
    let schema = fixture::schema();
    let tree = Tree::parse_json(&schema, OBSERVATION.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
    let check = |text: &str, kind: &str, value: &str| {
        let compiled = Expression::compile_as(&schema, "Observation", text, Dialect::Standard).unwrap();
        assert_eq!(compiled.text(), text);
        let mut out = Vec::new();
        compiled.evaluate(tree.root(), &mut out).unwrap();
        let pairs: Vec<_> = out.iter().map(Item::pair).collect();
        assert_eq!(pairs, [(kind.to_owned(), value.to_owned())], "{text}");
    };
    check("component[1].value", "CodeableConcept", r#"{"text":"c"}"#);
    check("status", "code", "final");
    check("value.value", "decimal", "1.50");
    check("value + 1 'g'", "System.Quantity", "1501 'g'");
    check("@2015-02-04T14:34:28.5Z", "System.DateTime", "2015-02-04T14:34:28.500Z");
    check("status.type()", "System.TypeInfo", "FHIR.code");
    check("status = 'final'", "System.Boolean", "true");
}
