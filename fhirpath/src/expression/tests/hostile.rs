//! Random text, always the same: nothing of it may panic, and what compiles must evaluate within its bounds.

use super::*;

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

#[test]
fn each_whole_expression_compiles_and_runs() {
    for text in EXPRESSIONS {
        let found = result(PATIENT, text, Dialect::SearchParameter);
        assert!(found.is_ok(), "{text}: {found:?}");
    }
}
