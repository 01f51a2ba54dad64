//! Random text, always the same: nothing of it may panic, and what compiles must evaluate within its bounds.

use super::*;
use crate::issue::IssueType;

const EXPRESSIONS: &[&str] = &[
    "Patient.name.given | Observation.code.text",
    "Patient.extension.where(url = 'http://x/two').valueDateTime",
    "Patient.link.other.where(resolve() is Patient and $this.reference.exists()).type",
    "(Patient.deceased as dateTime) | Patient.birthDate",
    "name.select(iif($index > 0, given.first() & ' ' & family, {})).join(', ')",
    "Patient.name.aggregate($total + given.count(), 0) * 2.5 div 3 mod 4",
    "repeat(contained).descendants().where($this is Observation).status ~ 'FINAL'",
    "birthDate + 2 months > @2015-02-04T14:34:28Z or now() - 4 'h' <= today()",
    "(1 | 2.0 | 3 'mg' | @T14:30).combine('a\\u0041\\n' | true).distinct().tail().take(2)[0].toString()",
    "name.given.first().replaceMatches('[A-J]+', '-').substring(1, 2).indexOf('x').power(0.5).round(2).type().name",
    "name.sort(-family, given.first() desc).where(use in %resource.name.use).text.lowBoundary() = {}",
    "1.587.lowBoundary(2) < 2 and @2014 < @2014.highBoundary(6) or (4 'g' / 2 'm').comparable(1 'kg/cm') or 7 days = 1 'wk'",
    "text.`div`.htmlChecks() and checkModifiers('http://x').getValue().empty() and birthDate.precision() = 8",
    "name.given.all(matches('^[A-Z]')) and name.given.first().toQuantity('cm') ~ 3 'Cel' + 2 '[degF]'",
    "meta.tag.code.first().encode('base64').decode('base64').matches('^a?$') implies %resource.id in ('p1' | 'p2')",
];

const TOKENS: &[&str] = &[
    ".",
    ",",
    "(",
    ")",
    "[",
    "]",
    "{}",
    "|",
    "=",
    "!=",
    "~",
    "<=",
    ">",
    "+",
    "-",
    "*",
    "/",
    "&",
    "and",
    "or",
    "xor",
    "implies",
    "is",
    "as",
    "in",
    "contains",
    "div",
    "mod",
    "$this",
    "$index",
    "$total",
    "%resource",
    "%context",
    "name",
    "given",
    "Patient",
    "Observation",
    "Quantity",
    "System.String",
    "0",
    "1",
    "2.5",
    "99999999999",
    "'a'",
    "'é'",
    "''",
    "@2015",
    "@2015-02-04T14:34:28Z",
    "@T10",
    "4 days",
    "3 'mg'",
    "true",
    "first()",
    "where(",
    "select(",
    "exists(",
    "all(",
    "repeat(",
    "iif(",
    "aggregate(",
    "ofType(",
    "descendants()",
    "children()",
    "count()",
    "resolve()",
    "type()",
    "toString()",
    "sort(",
    "desc",
    "lowBoundary(",
    "highBoundary(",
    "precision()",
    "comparable(",
    "memberOf(",
    "htmlChecks()",
    "matches(",
    "'['",
    "'(a+)+$'",
    "1 'Cel'",
    "2 '10*30'",
    "3 'mo'",
    "combine(",
    "substring(",
    "split(",
    "`x y`",
    "//",
    "/*",
    "*/",
    "'",
    "\\",
    "\u{1F600}",
    "\u{0}",
];

/// A generator of numbers (splitmix64): the same ones in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ mixed >> 31) % below as u64).unwrap()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.next(of.len())]
    }

    fn soup(&mut self) -> String {
        let count = 1 + self.next(24);
        (0..count).map(|_| self.pick(TOKENS)).collect::<Vec<_>>().join([" ", ""][self.next(2)])
    }

    /// An expression with a few pieces taken out, doubled, or replaced by a token.
    fn mutated(&mut self) -> String {
        let mut chars: Vec<char> = self.pick(EXPRESSIONS).chars().collect();
        for _ in 0..1 + self.next(3) {
            let start = self.next(chars.len());
            let end = (start + self.next(5)).min(chars.len());
            let put: Vec<char> = match self.next(3) {
                0 => Vec::new(),
                1 => chars[start..end].repeat(2),
                _ => self.pick(TOKENS).chars().collect(),
            };
            chars.splice(start..end, put);
            if chars.is_empty() {
                chars.push('a');
            }
        }
        chars.into_iter().collect()
    }
}

#[test]
fn random_text_is_refused_or_runs() {
    let schema = fixture::schema();
    let tree = Tree::parse_json(&schema, PATIENT.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
    let now = DateTime::parse("2026-01-02T03:04:05.678Z").unwrap();
    let mut random = Random(1);
    let (mut compiled, mut evaluated) = (0, 0);
    for round in 0..20_000 {
        let text = if round % 2 == 0 { random.soup() } else { random.mutated() };
        let dialect = [Dialect::Standard, Dialect::Strict, Dialect::SearchParameter][random.next(3)];
        match Expression::compile_as(&schema, "Patient", &text, dialect) {
            Ok(expression) => {
                compiled += 1;
                let mut out = Vec::new();
                evaluated += usize::from(expression.evaluate_at(tree.root(), now, &mut out).is_ok());
            }
            Err(error) => assert!(error.position <= text.chars().count(), "{error}: {text}"),
        }
    }
    assert!(
        compiled > 600 && evaluated > 400,
        "{compiled} compile, {evaluated} evaluate: too few to tell anything"
    );
}

/// That an expression ends in an Issue of code too-costly, soon.
fn too_costly(json: &str, text: &str, message: &str) {
    let schema = fixture::schema();
    let tree = Tree::parse_json(&schema, json.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
    let compiled = Expression::compile_as(&schema, tree.resource_type(), text, Dialect::Standard).unwrap();
    let mut out = Vec::new();
    let error = compiled.evaluate(tree.root(), &mut out).expect_err(text);
    let details = format!("the FHIRPath expression cannot be evaluated: {message}");
    assert_eq!(Issue::from(error), Issue::error(IssueType::TooCostly, details), "{text}");
    assert!(out.is_empty(), "{text}");
}

#[test]
fn what_grows_without_end_is_stopped() {
    let steps = format!("the evaluation takes more than {MAX_STEPS} steps");
    let items = format!("a collection has more than {MAX_ITEMS} items");
    let counter = "0.repeat(iif($this < 99, $this + 1, {}))";
    for (text, message) in [
        ("1.repeat($this + 1)".to_owned(), &items),
        ("'a'.repeat($this & 'a')".to_owned(), &steps),
        (format!("{counter}.aggregate($total.combine($total), 1 | 2)"), &items),
        (format!("{counter}.aggregate($total & $total, 'ab')"), &steps),
        (format!("{counter}.select({counter}.select({counter}.select({counter})))"), &items),
        (format!("{counter}.aggregate($total.replace('', 'xxxxxxxx'), 'ab')"), &steps),
        (
            format!("{counter}.aggregate($total | $total.select($this + 1) | $total.select($this * 2), 1)"),
            &items,
        ),
        (
            format!(
                "{counter}.select($this.toString() & 'a').select(%context.id.matches($this & '(a{{1000}}){{9}}'))"
            ),
            &steps,
        ),
    ] {
        too_costly(PATIENT, &text, message);
    }
}

#[test]
fn hostile_patterns_and_units_end() {
    let a = "a".repeat(5000);
    check(PATIENT, &format!("'{a}b'.matches('^(a+)+$')"), "false");
    check(PATIENT, &format!("1 '{a}' = 1 'g'"), "");
    check(PATIENT, &format!("1 '{}m{}' = 1 'g'", "(".repeat(120), ")".repeat(120)), "");
    check(PATIENT, "1 '10*2000000000' = 1 '10*2000000000.10*2000000000'", "");
    check(PATIENT, "(1 'm400' * 1 'm400').empty()", "true");
    check(
        PATIENT,
        "0.repeat(iif($this < 99, $this + 1, {})).aggregate($total * 1 'm9', 1 'm').empty()",
        "true",
    );
    refused(
        PATIENT,
        "'a'.matches('[')",
        "the pattern of matches() is no regular expression (at character 12)",
    );
    refused(PATIENT, "'a'.matches(id & '[')", "the pattern of matches() is no regular expression");
    refused(
        PATIENT,
        "'a'.matches('(a{1000}){1000}')",
        "the pattern of matches() is no regular expression (at character 12)",
    );
}

/// A reference to each of many contained resources, and dom-3, which asks for all references at each one.
#[test]
fn a_quadratic_trap_takes_linear_work() {
    let count = 3000;
    let contained: Vec<String> = (0..count)
        .map(|id| format!(r#"{{"resourceType":"Observation","id":"{id}","status":"final"}}"#))
        .collect();
    let links: Vec<String> =
        (0..count).map(|id| format!(r##"{{"other":{{"reference":"#{id}"}},"type":"refer"}}"##)).collect();
    let json = format!(
        r#"{{"resourceType":"Patient","contained":[{}],"link":[{}]}}"#,
        contained.join(","),
        links.join(",")
    );
    let dom3 = "contained.where((('#'+id in (%resource.descendants().reference | \
        %resource.descendants().as(canonical) | %resource.descendants().as(uri) | \
        %resource.descendants().as(url))) or descendants().where(reference = '#').exists() or \
        descendants().where(as(canonical) = '#').exists()).not()).trace('unmatched', id).empty()";
    let standard = |text: &str| result(&json, text, Dialect::Standard);
    assert_eq!(standard(dom3).as_deref(), Ok("true"));
    assert_eq!(standard("contained.id.isDistinct() and link.isDistinct()").as_deref(), Ok("true"));
    assert_eq!(standard("descendants().combine(descendants()).isDistinct()").as_deref(), Ok("false"));
    assert_eq!(
        standard("link.other.reference.intersect(contained.select('#' + id)).count()").as_deref(),
        Ok("3000")
    );
}

#[test]
fn each_whole_expression_compiles_and_runs() {
    for text in EXPRESSIONS {
        let found = result(PATIENT, text, Dialect::SearchParameter);
        assert!(found.is_ok(), "{text}: {found:?}");
    }
}
