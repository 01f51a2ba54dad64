//! `_filter` (<https://hl7.org/fhir/R4/search_filter.html>): conditions joined by `and`, `or` and `not`, in parentheses, with
//! paths through references (`subject.name`, `subject[active eq true].name`), to the same filters as other parameters.
//!
//! `and` binds closer than `or`. Values with spaces, `)` or `]` stand in double quotes, in which `\"` and `\\` are escapes.

use std::borrow::Cow;

use conformance::{SearchParameter, SearchParameterType};
use fhirpath::IssueType;
use fhirpath::primitive::is_id;
use store::{Comparison, Filter, ParameterId, Predicate, StringMatch};

use super::chain::chainable;
use super::criterion::{ValueKind, always_present, string};
use super::fault::{Fault, shown};
use super::{MAX_ALTERNATIVE_BYTES, MAX_LINKS, Name, Reader, all_of, any_of, date};

/// All operators of the grammar.
const OPERATORS: [&str; 18] = [
    "eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in",
    "ni",
];
/// Those of ordered values, which are also prefixes.
const ORDERED: [&str; 9] = ["eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"];

impl Reader<'_> {
    /// The filter of `_filter`.
    pub(super) fn filter(
        &self,
        resource_type: Option<&str>,
        name: Name<'_>,
        value: &str,
    ) -> Result<Filter, Fault> {
        if name.modifier.is_some() || name.chained.is_some() {
            return Err(Fault::unknown(IssueType::Invalid, "_filter takes no modifier and no chain."));
        }
        let mut parser = Parser { reader: self, text: value, at: 0, depth: 0 };
        let filter = parser.either(resource_type)?;
        match parser.peek() {
            None => Ok(filter),
            Some(_) => Err(parser.expected("and, or, or the end")),
        }
    }
}

/// A `_filter` being read.
struct Parser<'r, 't> {
    reader: &'r Reader<'r>,
    text: &'t str,
    /// Bytes read.
    at: usize,
    depth: usize,
}

impl<'t> Parser<'_, 't> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    /// Takes a character that comes at once.
    fn takes(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Takes a character, perhaps after spaces.
    fn expect(&mut self, wanted: char, name: &str) -> Result<(), Fault> {
        self.peek();
        if self.takes(wanted) { Ok(()) } else { Err(self.expected(name)) }
    }

    /// The word that comes next, not taken.
    fn word(&mut self) -> &'t str {
        self.peek();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    }

    /// Takes a keyword, if it comes next.
    fn takes_word(&mut self, wanted: &str) -> bool {
        let found = self.word() == wanted;
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn character(&self, at: usize) -> usize {
        1 + self.text.get(..at).unwrap_or_default().chars().count()
    }

    fn placed(&self, fault: Fault, at: usize) -> Fault {
        fault.within(self.character(at), "_filter")
    }

    fn expected(&mut self, what: &str) -> Fault {
        let found = match self.peek() {
            None => "it ends".to_owned(),
            Some(_) => {
                format!("there is {}", shown(self.rest().split_whitespace().next().unwrap_or_default()))
            }
        };
        let fault = Fault::value(format!("_filter should have {what} where {found}."));
        self.placed(fault, self.at)
    }

    /// Goes into brackets or parentheses.
    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth <= MAX_LINKS {
            return Ok(());
        }
        let text = format!("A _filter may be nested {MAX_LINKS} times; this one is more.");
        Err(self.placed(Fault::bad(IssueType::TooCostly, text), self.at))
    }

    fn either(&mut self, resource_type: Option<&str>) -> Result<Filter, Fault> {
        let mut any = vec![self.both(resource_type)?];
        while self.takes_word("or") {
            any.push(self.both(resource_type)?);
        }
        Ok(any_of(any))
    }

    fn both(&mut self, resource_type: Option<&str>) -> Result<Filter, Fault> {
        let mut all = vec![self.one(resource_type)?];
        while self.takes_word("and") {
            all.push(self.one(resource_type)?);
        }
        Ok(all_of(all))
    }

    fn one(&mut self, resource_type: Option<&str>) -> Result<Filter, Fault> {
        let not = self.takes_word("not");
        if self.peek() != Some('(') {
            return match not {
                true => Err(self.expected("( after not")),
                false => self.condition(resource_type),
            };
        }
        self.takes('(');
        self.deeper()?;
        let filter = self.either(resource_type)?;
        self.expect(')', ")")?;
        self.depth -= 1;
        Ok(if not { Filter::Not(Box::new(filter)) } else { filter })
    }

    /// `path operator value`.
    fn condition(&mut self, resource_type: Option<&str>) -> Result<Filter, Fault> {
        let code = self.word();
        let start = self.at;
        if code.is_empty() {
            return Err(self.expected("a search parameter"));
        }
        self.at += code.len();
        let engine = matches!(code, "_id" | "_lastUpdated");
        if engine {
            let (operator, value) = self.operation()?;
            return self.engine(code, operator, &value).map_err(|fault| self.placed(fault, start));
        }
        let found = self.reader.find_or_refuse(resource_type, code);
        let parameter = found.map_err(|fault| self.placed(fault, start))?;
        let of_type = if self.takes(':') {
            let name = self.word();
            self.at += name.len();
            Some(name)
        } else {
            None
        };
        if of_type.is_some() || self.rest().starts_with(['.', '[']) {
            return self.linked(parameter, of_type, start);
        }
        let (operator, value) = self.operation()?;
        let filter = self.compared(parameter, operator, &value);
        filter.map_err(|fault| self.placed(fault, start))
    }

    /// What follows a reference, on each type that it may point to.
    fn linked(
        &mut self,
        parameter: &SearchParameter,
        of_type: Option<&str>,
        start: usize,
    ) -> Result<Filter, Fault> {
        let types = self.target_types(parameter, of_type).map_err(|fault| self.placed(fault, start))?;
        self.deeper()?;
        let (from, depth) = (self.at, self.depth);
        let (mut targets, mut end, mut first) = (Vec::new(), None, None);
        for target in types {
            (self.at, self.depth) = (from, depth);
            self.reader.charge(1)?;
            match self.beyond(&target) {
                Ok(filter) => {
                    end = Some(self.at);
                    targets.push((Box::from(target), filter));
                }
                Err(Fault::Bad(issue)) if issue.code == IssueType::TooCostly => {
                    return Err(Fault::Bad(issue));
                }
                Err(fault) => {
                    first.get_or_insert(fault);
                }
            }
        }
        match (end, first) {
            (None, Some(fault)) => Err(fault),
            (end, _) => {
                self.at = end.unwrap_or(from);
                self.depth = depth - 1;
                Ok(Filter::Chain { parameter: self.reader.context.index.id(parameter), targets })
            }
        }
    }

    fn target_types(&self, parameter: &SearchParameter, of_type: Option<&str>) -> Result<Vec<String>, Fault> {
        chainable(parameter)?;
        let Some(name) = of_type else {
            let any = parameter.targets.is_empty() || parameter.targets.iter().any(|name| name == "Resource");
            let all = self.reader.definitions().resource_types();
            return Ok(if any { all.to_vec() } else { parameter.targets.clone() });
        };
        if !self.reader.definitions().schema.is_resource(name) {
            return Err(Fault::value(format!("{} is no resource type.", shown(name))));
        }
        self.reader.type_modifier(parameter, name).map(|name| vec![name.to_owned()])
    }

    /// `[filter].path operator value`, or without the filter.
    fn beyond(&mut self, target: &str) -> Result<Filter, Fault> {
        let mut filters = Vec::new();
        if self.takes('[') {
            self.deeper()?;
            filters.push(self.either(Some(target))?);
            self.expect(']', "]")?;
            self.depth -= 1;
        }
        if !self.takes('.') {
            return Err(self.expected(". and a search parameter"));
        }
        filters.push(self.condition(Some(target))?);
        Ok(all_of(filters))
    }

    /// The operator and the value.
    fn operation(&mut self) -> Result<(&'t str, Cow<'t, str>), Fault> {
        let operator = self.word();
        if operator != "re" && !OPERATORS.contains(&operator) {
            let all = OPERATORS.join(", ");
            return Err(self.expected(&format!("an operator ({all}, re)")));
        }
        self.at += operator.len();
        let value = self.value()?;
        if value.len() > MAX_ALTERNATIVE_BYTES {
            let text = format!("A value has {} bytes; {MAX_ALTERNATIVE_BYTES} are allowed.", value.len());
            return Err(self.placed(Fault::bad(IssueType::TooLong, text), self.at));
        }
        Ok((operator, value))
    }

    fn value(&mut self) -> Result<Cow<'t, str>, Fault> {
        if self.peek() == Some('"') {
            return self.quoted().map(Cow::Owned);
        }
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, ')' | ']')).unwrap_or(rest.len());
        let value = rest.get(..end).unwrap_or_default();
        if value.is_empty() {
            return Err(self.expected("a value"));
        }
        self.at += end;
        Ok(Cow::Borrowed(value))
    }

    fn quoted(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let mut value = String::new();
        let mut rest = self.rest().char_indices().skip(1);
        while let Some((at, next)) = rest.next() {
            match next {
                '"' => {
                    self.at += at + 1;
                    return Ok(value);
                }
                '\\' => match rest.next() {
                    Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                    Some((_, other)) => value.extend(['\\', other]),
                    None => break,
                },
                other => value.push(other),
            }
        }
        let fault = Fault::value("_filter should have \" at the end of the text that begins here.");
        Err(self.placed(fault, start))
    }

    /// A condition on what the engines know by themselves.
    fn engine(&self, code: &str, operator: &str, value: &str) -> Result<Filter, Fault> {
        if operator == "pr" {
            return truth(value).map(|present| always_present(!present));
        }
        if code == "_lastUpdated" {
            let text = ordered(code, "date", operator, value)?;
            let (comparison, (lo, hi)) = date::comparison(&text, self.reader.context.now)?;
            let comparison = if operator == "po" { Comparison::Approximately } else { comparison };
            return Ok(Filter::LastUpdated(comparison, lo, hi));
        }
        if !is_id(value) {
            return Err(Fault::value(format!("{} is not an id.", shown(value))));
        }
        match operator {
            "eq" => Ok(Filter::Ids(vec![value.into()])),
            "ne" => Ok(Filter::Not(Box::new(Filter::Ids(vec![value.into()])))),
            other => Err(not_of(code, "id", other, "eq, ne, pr")),
        }
    }

    /// A condition on a parameter.
    fn compared(&self, parameter: &SearchParameter, operator: &str, value: &str) -> Result<Filter, Fault> {
        let id = self.reader.context.index.id(parameter);
        if operator == "pr" {
            let present = Filter::Present(id);
            return Ok(if truth(value)? { present } else { Filter::Not(Box::new(present)) });
        }
        let (code, kind) = (parameter.code.as_str(), parameter.kind.as_str());
        let predicates = match (parameter.kind, operator) {
            (SearchParameterType::String, _) => vec![text(code, operator, value)?],
            (SearchParameterType::Token, "in" | "ni") => self.reader.of_value_set(parameter, value)?,
            (SearchParameterType::Token, "ss") => self.reader.related(parameter, "is-a", value)?,
            (SearchParameterType::Token, "sb") => self.reader.related(parameter, "generalizes", value)?,
            (SearchParameterType::Token | SearchParameterType::Uri, "eq" | "ne")
            | (SearchParameterType::Reference, "eq" | "ne" | "re") => self.simple(parameter, value)?,
            (
                SearchParameterType::Date | SearchParameterType::Number | SearchParameterType::Quantity,
                operator,
            ) => {
                let mut predicates = self.simple(parameter, &ordered(code, kind, operator, value)?)?;
                if operator == "po" {
                    predicates.iter_mut().for_each(overlapping);
                }
                let filters = predicates.into_iter().map(|one| self.reader.matching(parameter, id, one));
                return Ok(any_of(filters.collect()));
            }
            (SearchParameterType::Token, other) => {
                return Err(not_of(code, kind, other, "eq, ne, in, ni, ss, sb, pr"));
            }
            (SearchParameterType::Uri, other) => return Err(not_of(code, kind, other, "eq, ne, pr")),
            (SearchParameterType::Reference, other) => {
                return Err(not_of(code, kind, other, "eq, ne, re, pr"));
            }
            (SearchParameterType::Composite | SearchParameterType::Special, other) => {
                return Err(not_of(code, kind, other, "pr"));
            }
        };
        Ok(match operator {
            "ne" => Filter::Match(id, Predicate::NoneOf(predicates)),
            "ni" => Filter::Not(Box::new(of_any(id, predicates))),
            _ => of_any(id, predicates),
        })
    }

    fn simple(&self, parameter: &SearchParameter, value: &str) -> Result<Vec<Predicate>, Fault> {
        let kind = ValueKind {
            kind: parameter.kind,
            targets: &parameter.targets,
            of_type: None,
            systems: self.reader.context.index.systems(parameter, 0),
        };
        self.reader.simple(kind, value).unwrap_or_else(|| Ok(Vec::new()))
    }
}

fn of_any(id: ParameterId, predicates: Vec<Predicate>) -> Filter {
    any_of(predicates.into_iter().map(|predicate| Filter::Match(id, predicate)).collect())
}

fn overlapping(predicate: &mut Predicate) {
    if let Predicate::Date(comparison, ..) = predicate {
        *comparison = Comparison::Approximately;
    }
}

fn text(code: &str, operator: &str, value: &str) -> Result<Predicate, Fault> {
    let how = match operator {
        "eq" | "ne" => StringMatch::Same,
        "co" => StringMatch::Contains,
        "sw" => StringMatch::StartsWith,
        "ew" => StringMatch::EndsWith,
        other => return Err(not_of(code, "string", other, "eq, ne, co, sw, ew, pr")),
    };
    string(how, value)
}

/// A value of a date, number or quantity with its prefix; `po`, of dates, has that of the span itself.
fn ordered(code: &str, kind: &str, operator: &str, value: &str) -> Result<String, Fault> {
    match operator {
        "po" if kind == "date" => Ok(format!("eq{value}")),
        prefix if ORDERED.contains(&prefix) => Ok(format!("{prefix}{value}")),
        other => {
            let has = if kind == "date" { ", po, pr" } else { ", pr" };
            Err(not_of(code, kind, other, &format!("{}{has}", ORDERED.join(", "))))
        }
    }
}

fn truth(value: &str) -> Result<bool, Fault> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Fault::value(format!("pr takes true or false, not {}.", shown(other)))),
    }
}

fn not_of(code: &str, kind: &str, operator: &str, has: &str) -> Fault {
    let text = format!("{code} is of the type {kind}, which has the operators {has}, not {operator}.");
    Fault::bad(IssueType::NotSupported, text)
}
