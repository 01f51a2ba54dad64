//! Golden syntax trees, refusals, and hostile text.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

/// The tree with every operator's operands in parentheses.
fn show(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Literal(literal) => show_literal(literal),
        ExprKind::Empty => "{}".to_owned(),
        ExprKind::Variable(variable) => format!("${variable:?}"),
        ExprKind::Constant(name) => format!("%{name}"),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Call(call) => show_call(call),
        ExprKind::Path { base, steps } => steps.iter().fold(show(base), |mut out, step| {
            match &step.kind {
                StepKind::Name(name) => write!(out, ".{name}"),
                StepKind::Call(call) => write!(out, ".{}", show_call(call)),
                StepKind::Index(index) => write!(out, "[{}]", show(index)),
                StepKind::Variable(variable) => write!(out, ".${variable:?}"),
            }
            .unwrap();
            out
        }),
        ExprKind::Sign { negative, operand } => {
            format!("({}{})", if *negative { '-' } else { '+' }, show(operand))
        }
        ExprKind::Binary { operator, left, right } => {
            format!("({} {} {})", show(left), operator.text(), show(right))
        }
        ExprKind::Union(branches) => {
            format!("({})", branches.iter().map(show).collect::<Vec<_>>().join(" | "))
        }
        ExprKind::Type { operator, operand, specifier } => {
            let namespace = specifier.namespace.iter().fold(String::new(), |_, name| format!("{name}."));
            format!("({} {operator:?} {namespace}{})", show(operand), specifier.name)
        }
    }
}

fn show_call(call: &Call) -> String {
    format!("{}({})", call.name, call.arguments.iter().map(show).collect::<Vec<_>>().join(", "))
}

fn show_literal(literal: &Literal) -> String {
    match literal {
        Literal::Boolean(value) => value.to_string(),
        Literal::String(text) => format!("{text:?}"),
        Literal::Integer(value) => value.to_string(),
        Literal::Decimal(value) => value.to_string(),
        Literal::Date(value) => format!("Date {value}"),
        Literal::DateTime(value) => format!("DateTime {value}"),
        Literal::Time(value) => format!("Time {value}"),
        Literal::Quantity { value, unit, calendar } => {
            format!("Quantity {value} {unit}{}", if *calendar { " (calendar)" } else { "" })
        }
    }
}

#[test]
fn operators_bind_as_the_specification_says() {
    let texts = [
        "a.b.c",
        "Observation.value as Quantity | Observation.value as Range",
        "(a as Quantity).unit",
        "a or b and c implies d xor e",
        "a implies b implies c",
        "1 + 2 * 3 - 4 & 'x'",
        "-a.b * 2",
        "1 + -2",
        "a | b | c = d",
        "a | (b | c) | d",
        "a < b = c in d",
        "a is FHIR.Patient and b as `System`.String",
        "7 div 2 mod 3",
        "name[0].given[1 + 1].first()",
        "where(type='x' and $this.exists()).select($index + $total)",
        "iif(a, {}, 4 days) ~ 4.0 'mg'",
        "contains.as(contains).is.in contains in",
        "@2015-02 != @2015-02-04T14:34:28Z and @T14:34 > %now and %'a b' = %`c`",
        "a.year + 1 year",
    ];
    let shown: String = texts.iter().map(|text| show(&parse(text).unwrap()) + "\n").collect();
    expect![[r#"
        a.b.c
        ((Observation.value As Quantity) | (Observation.value As Range))
        (a As Quantity).unit
        ((a or (b and c)) implies (d xor e))
        ((a implies b) implies c)
        (((1 + (2 * 3)) - 4) & "x")
        ((-a.b) * 2)
        (1 + (-2))
        ((a | b | c) = d)
        (a | (b | c) | d)
        (((a < b) = c) in d)
        ((a Is FHIR.Patient) and (b As System.String))
        ((7 div 2) mod 3)
        name[0].given[(1 + 1)].first()
        where(((type = "x") and $This.exists())).select(($Index + $Total))
        (iif(a, {}, Quantity 4 day (calendar)) ~ Quantity 4.0 mg)
        (contains.as(contains).is.in contains in)
        (((Date 2015-02 != DateTime 2015-02-04T14:34:28Z) and (Time 14:34 > %now)) and (%a b = %c))
        (a.year + Quantity 1 year (calendar))
    "#]]
    .assert_eq(&shown);
}

#[test]
fn positions_are_kept() {
    expect![[r#"
        Expr {
            kind: Binary {
                operator: Equal,
                left: Expr {
                    kind: Path {
                        base: Expr {
                            kind: Name(
                                "a",
                            ),
                            position: 0,
                        },
                        steps: [
                            Step {
                                kind: Call(
                                    Call {
                                        name: "b",
                                        arguments: [
                                            Expr {
                                                kind: Name(
                                                    "c",
                                                ),
                                                position: 4,
                                            },
                                        ],
                                    },
                                ),
                                position: 2,
                            },
                        ],
                    },
                    position: 0,
                },
                right: Expr {
                    kind: Literal(
                        String(
                            "x",
                        ),
                    ),
                    position: 9,
                },
            },
            position: 7,
        }
    "#]]
    .assert_debug_eq(&parse("a.b(c) = 'x'").unwrap());
}

fn refused(text: &str, expected: &Expect) {
    expected.assert_eq(&parse(text).unwrap_err().to_string());
}

#[test]
fn refusals_name_the_place() {
    refused("", &expect!["expected an expression, found the end (at character 0)"]);
    refused("a.", &expect!["expected a name, found the end (at character 2)"]);
    refused("a b", &expect!["expected an operator or the end, found 'b' (at character 2)"]);
    refused("é = ", &expect![[r#"the character '\u{e9}' has no meaning here (at character 0)"#]]);
    refused("'é' = ]", &expect!["expected an expression, found ']' (at character 6)"]);
    refused("(a", &expect!["expected ')', found the end (at character 2)"]);
    refused("f(a,)", &expect!["expected an expression, found ')' (at character 4)"]);
    refused("a[0", &expect!["expected ']', found the end (at character 3)"]);
    refused("a is 'b'", &expect!["expected a name, found a string (at character 5)"]);
    refused("a and and", &expect!["expected a name, found 'and' (at character 6)"]);
    refused("99999999999999999999", &expect!["this integer is too large (at character 0)"]);
    refused("@2015-02-30", &expect!["'@2015-02-30' is no date or time (at character 0)"]);
    refused("%", &expect!["expected a name, found the end (at character 1)"]);
    refused(&"x".repeat(MAX_LENGTH + 1), &expect!["an expression has at most 65536 bytes (at character 0)"]);
}

#[test]
fn hostile_nesting_is_refused() {
    for (open, close) in
        [("(", ")"), ("f(", ")"), ("a[", "]"), ("-", ""), ("1+", ""), ("a.b(c,", ")"), ("a as b|(", ")")]
    {
        let text = format!("{}1{}", open.repeat(3000), close.repeat(3000));
        let error = parse(&text).unwrap_err();
        assert_eq!(error.message, format!("an expression is at most {MAX_HEIGHT} levels deep"), "{open}");
    }
    let long = vec!["a"; MAX_PATH + 2].join(".");
    assert_eq!(parse(&long).unwrap_err().message, format!("a path has at most {MAX_PATH} steps"));
    let union = vec!["a"; 5000].join(" | ");
    assert!(parse(&union).is_ok(), "a union is flat");
}
