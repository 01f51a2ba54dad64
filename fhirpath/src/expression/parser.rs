//! Tokens to a syntax tree, with the precedence of FHIRPath N1 (<https://hl7.org/fhirpath/N1/#precedence>).
//! Hostile text cannot make it recurse deeply: nesting, and the height of what it builds, are bounded.

use super::CompileError;
use super::ast::*;
use super::decimal::Decimal;
use super::lexer::{self, Token, TokenKind};
use super::temporal::{Date, DateTime, Time};

/// Longest text, bytes.
pub const MAX_LENGTH: usize = 64 * 1024;
/// Deepest nesting of an expression, parentheses and operators together.
pub const MAX_HEIGHT: usize = 100;
/// Most steps of one path.
pub const MAX_PATH: usize = 250;

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Expr, CompileError> {
    if text.len() > MAX_LENGTH {
        return Err(CompileError::at(text, 0, format!("an expression has at most {MAX_LENGTH} bytes")));
    }
    let tokens = lexer::tokens(text).map_err(|error| CompileError::at(text, error.at, error.message))?;
    let mut parser = Parser { text, tokens, next: 0, depth: 0 };
    let parsed = parser.expression(0)?;
    match parser.peek() {
        TokenKind::End => Ok(parsed.expr),
        _ => parser.unexpected("an operator or the end"),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    next: usize,
    depth: usize,
}

/// An expression and how many levels it has.
struct Parsed {
    expr: Expr,
    height: usize,
}

/// What stands between two operands.
enum Infix {
    Binary(Operator),
    Union,
    Type(TypeOperator),
}

type Result<T, E = CompileError> = std::result::Result<T, E>;

impl<'a> Parser<'a> {
    fn peek(&self) -> &TokenKind<'a> {
        self.tokens.get(self.next).map_or(&TokenKind::End, |token| &token.kind)
    }

    fn position(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |token| token.start)
    }

    fn advance(&mut self) {
        self.next += 1;
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), TokenKind::Symbol(found) if *found == symbol)
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.accept(symbol) { Ok(()) } else { self.unexpected(&format!("'{symbol}'")) }
    }

    fn fail<T>(&self, position: usize, message: impl Into<String>) -> Result<T> {
        Err(CompileError::at(self.text, position, message))
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T> {
        let found = match self.peek() {
            TokenKind::End => "the end".to_owned(),
            TokenKind::Word(text) | TokenKind::Number(text) | TokenKind::Temporal(text) => {
                format!("'{text}'")
            }
            TokenKind::Variable(text) => format!("'{text}'"),
            TokenKind::Symbol(text) => format!("'{text}'"),
            TokenKind::Delimited(_) => "an identifier".to_owned(),
            TokenKind::String(_) => "a string".to_owned(),
        };
        self.fail(self.position(), format!("expected {expected}, found {found}"))
    }

    fn built(&self, kind: ExprKind, position: usize, height: usize) -> Result<Parsed> {
        if height > MAX_HEIGHT {
            return self.fail(position, format!("an expression is at most {MAX_HEIGHT} levels deep"));
        }
        Ok(Parsed { expr: Expr { kind, position }, height })
    }

    /// Operators that bind at least as tightly as `least`, all of them left-associative.
    fn expression(&mut self, least: u8) -> Result<Parsed> {
        self.depth += 1;
        if self.depth > MAX_HEIGHT {
            return self.fail(self.position(), format!("an expression is at most {MAX_HEIGHT} levels deep"));
        }
        let mut left = self.operand()?;
        while let Some((infix, power)) = self.infix().filter(|(_, power)| *power >= least) {
            let position = self.position();
            self.advance();
            left = match infix {
                Infix::Type(operator) => {
                    let specifier = self.type_specifier()?;
                    let (operand, height) = (Box::new(left.expr), left.height + 1);
                    self.built(ExprKind::Type { operator, operand, specifier }, position, height)?
                }
                Infix::Union => {
                    let right = self.expression(power + 1)?;
                    self.union(left, right, position)?
                }
                Infix::Binary(operator) => {
                    let right = self.expression(power + 1)?;
                    let height = left.height.max(right.height) + 1;
                    let (left, right) = (Box::new(left.expr), Box::new(right.expr));
                    self.built(ExprKind::Binary { operator, left, right }, position, height)?
                }
            };
        }
        self.depth -= 1;
        Ok(left)
    }

    /// `a | b | c` is one union of three.
    fn union(&self, left: Parsed, right: Parsed, position: usize) -> Result<Parsed> {
        if let ExprKind::Union(mut branches) = left.expr.kind {
            branches.push(right.expr);
            let height = left.height.max(right.height + 1);
            return self.built(ExprKind::Union(branches), left.expr.position, height);
        }
        let height = left.height.max(right.height) + 1;
        self.built(ExprKind::Union(vec![left.expr, right.expr]), position, height)
    }

    /// The operator that comes next, and how tightly it binds.
    fn infix(&self) -> Option<(Infix, u8)> {
        use Operator::*;
        let (operator, power) = match self.peek() {
            TokenKind::Symbol(symbol) => match *symbol {
                "*" => (Multiply, 10),
                "/" => (Divide, 10),
                "+" => (Add, 9),
                "-" => (Subtract, 9),
                "&" => (Concatenate, 9),
                "|" => return Some((Infix::Union, 7)),
                "<=" => (LessOrEqual, 6),
                "<" => (Less, 6),
                ">" => (Greater, 6),
                ">=" => (GreaterOrEqual, 6),
                "=" => (Equal, 5),
                "!=" => (NotEqual, 5),
                "~" => (Equivalent, 5),
                "!~" => (NotEquivalent, 5),
                _ => return None,
            },
            TokenKind::Word(word) => match *word {
                "div" => (Div, 10),
                "mod" => (Mod, 10),
                "is" => return Some((Infix::Type(TypeOperator::Is), 8)),
                "as" => return Some((Infix::Type(TypeOperator::As), 8)),
                "in" => (In, 4),
                "contains" => (Contains, 4),
                "and" => (And, 3),
                "or" => (Or, 2),
                "xor" => (Xor, 2),
                "implies" => (Implies, 1),
                _ => return None,
            },
            _ => return None,
        };
        Some((Infix::Binary(operator), power))
    }

    /// Signs, which bind less than a path and more than multiplication.
    fn operand(&mut self) -> Result<Parsed> {
        let position = self.position();
        let negative = self.is_symbol("-");
        if !negative && !self.is_symbol("+") {
            return self.path();
        }
        self.advance();
        let operand = self.expression(11)?;
        let height = operand.height + 1;
        self.built(ExprKind::Sign { negative, operand: Box::new(operand.expr) }, position, height)
    }

    /// A term and its steps.
    fn path(&mut self) -> Result<Parsed> {
        let base = self.term()?;
        let mut steps = Vec::new();
        let mut height = base.height;
        loop {
            let mut position = self.position();
            let kind = if self.accept("[") {
                let index = self.expression(0)?;
                self.expect("]")?;
                height = height.max(index.height + 1);
                StepKind::Index(index.expr)
            } else if self.accept(".") {
                position = self.position();
                let (kind, inside) = self.invocation(true)?;
                height = height.max(inside + 1);
                kind
            } else {
                break;
            };
            steps.push(Step { kind, position });
            if steps.len() > MAX_PATH {
                return self.fail(position, format!("a path has at most {MAX_PATH} steps"));
            }
        }
        if steps.is_empty() {
            return Ok(base);
        }
        let position = base.expr.position;
        self.built(ExprKind::Path { base: Box::new(base.expr), steps }, position, height + 1)
    }

    /// A name, a call or a variable, and the height of its arguments. Behind a dot the name may be an operator's word: FHIR
    /// itself writes `Patient.text.div`, though the grammar wants it delimited.
    fn invocation(&mut self, behind_dot: bool) -> Result<(StepKind, usize)> {
        if let Some(variable) = self.variable() {
            return Ok((StepKind::Variable(variable), 0));
        }
        let name = match self.peek() {
            TokenKind::Word(word @ ("and" | "or" | "xor" | "implies" | "div" | "mod")) if behind_dot => {
                let name = (*word).to_owned();
                self.advance();
                name
            }
            _ => self.identifier()?,
        };
        if !self.accept("(") {
            return Ok((StepKind::Name(name), 0));
        }
        let (mut arguments, mut height) = (Vec::new(), 0);
        if !self.accept(")") {
            loop {
                let argument = self.expression(0)?;
                let argument = if name == "sort" { self.direction(argument)? } else { argument };
                height = height.max(argument.height);
                arguments.push(argument.expr);
                if !self.accept(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        Ok((StepKind::Call(Call { name, arguments }), height))
    }

    /// `asc` or `desc` behind a key of `sort`; a descending key is one with a sign before it.
    fn direction(&mut self, key: Parsed) -> Result<Parsed> {
        let descends = match self.peek() {
            TokenKind::Word("asc") => false,
            TokenKind::Word("desc") => true,
            _ => return Ok(key),
        };
        self.advance();
        if !descends {
            return Ok(key);
        }
        let (position, height) = (key.expr.position, key.height + 1);
        self.built(ExprKind::Sign { negative: true, operand: Box::new(key.expr) }, position, height)
    }

    fn variable(&mut self) -> Option<Variable> {
        let variable = match self.peek() {
            TokenKind::Variable("$this") => Variable::This,
            TokenKind::Variable("$index") => Variable::Index,
            TokenKind::Variable("$total") => Variable::Total,
            _ => return None,
        };
        self.advance();
        Some(variable)
    }

    /// A name: no keyword but `as`, `is`, `in` and `contains`, as the grammar has it.
    fn identifier(&mut self) -> Result<String> {
        let name = match self.peek() {
            TokenKind::Delimited(name) => name.clone().into_owned(),
            TokenKind::Word("and" | "or" | "xor" | "implies" | "div" | "mod" | "true" | "false") => {
                return self.unexpected("a name");
            }
            TokenKind::Word(name) => (*name).to_owned(),
            _ => return self.unexpected("a name"),
        };
        self.advance();
        Ok(name)
    }

    fn type_specifier(&mut self) -> Result<TypeSpecifier> {
        let position = self.position();
        let name = self.identifier()?;
        if !self.accept(".") {
            return Ok(TypeSpecifier { namespace: None, name, position });
        }
        let inner = self.identifier()?;
        Ok(TypeSpecifier { namespace: Some(name), name: inner, position })
    }

    fn term(&mut self) -> Result<Parsed> {
        let position = self.position();
        let kind = match self.peek().clone() {
            TokenKind::Symbol("(") => {
                self.advance();
                let inner = self.expression(0)?;
                self.expect(")")?;
                return Ok(inner);
            }
            TokenKind::Symbol("{") => {
                self.advance();
                self.expect("}")?;
                ExprKind::Empty
            }
            TokenKind::Symbol("%") => {
                self.advance();
                ExprKind::Constant(self.constant_name()?)
            }
            TokenKind::Number(text) => {
                self.advance();
                ExprKind::Literal(self.number(text, position)?)
            }
            TokenKind::String(text) => {
                self.advance();
                ExprKind::Literal(Literal::String(text.into_owned()))
            }
            TokenKind::Temporal(text) => {
                self.advance();
                ExprKind::Literal(self.temporal(text, position)?)
            }
            TokenKind::Word(word @ ("true" | "false")) => {
                self.advance();
                ExprKind::Literal(Literal::Boolean(word == "true"))
            }
            TokenKind::Word(_) | TokenKind::Delimited(_) | TokenKind::Variable(_) => {
                let (kind, height) = self.invocation(false)?;
                let kind = match kind {
                    StepKind::Name(name) => ExprKind::Name(name),
                    StepKind::Call(call) => ExprKind::Call(call),
                    StepKind::Variable(variable) => ExprKind::Variable(variable),
                    StepKind::Index(_) => return self.unexpected("an expression"),
                };
                return self.built(kind, position, height + 1);
            }
            TokenKind::Symbol(_) | TokenKind::End => return self.unexpected("an expression"),
        };
        self.built(kind, position, 1)
    }

    /// What follows `%`: a name, or a string.
    fn constant_name(&mut self) -> Result<String> {
        if let TokenKind::String(name) = self.peek() {
            let name = name.clone().into_owned();
            self.advance();
            return Ok(name);
        }
        self.identifier()
    }

    /// An integer, a decimal, or a quantity when a unit follows.
    fn number(&mut self, text: &str, position: usize) -> Result<Literal> {
        let Some(value) = Decimal::parse(text) else {
            return self.fail(position, "this number has too many digits");
        };
        let unit = match self.peek() {
            TokenKind::String(unit) => Some((unit.clone().into_owned(), false)),
            TokenKind::Word(word) => calendar_unit(word).map(|unit| (unit.to_owned(), true)),
            _ => None,
        };
        if let Some((unit, calendar)) = unit {
            self.advance();
            return Ok(Literal::Quantity { value, unit, calendar });
        }
        if text.contains('.') {
            return Ok(Literal::Decimal(value));
        }
        match text.parse() {
            Ok(value) => Ok(Literal::Integer(value)),
            Err(_) => self.fail(position, "this integer is too large"),
        }
    }

    fn temporal(&self, text: &str, position: usize) -> Result<Literal> {
        let body = text.strip_prefix('@').unwrap_or(text);
        let literal = if let Some(time) = body.strip_prefix('T') {
            Time::parse(time).map(Literal::Time)
        } else if body.contains('T') {
            DateTime::parse(body).map(Literal::DateTime)
        } else {
            Date::parse(body).map(Literal::Date)
        };
        match literal {
            Some(literal) => Ok(literal),
            None => self.fail(position, format!("'{text}' is no date or time")),
        }
    }
}

/// The singular of a calendar duration's keyword (<https://hl7.org/fhirpath/N1/#time-valued-quantities>).
pub(super) fn calendar_unit(word: &str) -> Option<&'static str> {
    Some(match word {
        "year" | "years" => "year",
        "month" | "months" => "month",
        "week" | "weeks" => "week",
        "day" | "days" => "day",
        "hour" | "hours" => "hour",
        "minute" | "minutes" => "minute",
        "second" | "seconds" => "second",
        "millisecond" | "milliseconds" => "millisecond",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
