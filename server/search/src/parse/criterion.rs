//! One criterion: a search parameter with its modifier and its values, to a filter. Values joined by commas are
//! alternatives; criteria are all required.

use conformance::{SearchParameter, SearchParameterType};
use fhirpath::IssueType;
use fhirpath::primitive::is_id;
use store::{Filter, ParameterId, Part, Predicate, StringMatch, fold};

use super::fault::{Fault, shown};
use super::has::HAS;
use super::modifier::Modifier;
use super::near::did_you_mean;
use super::split::{split, unescape};
use super::{MAX_ALTERNATIVE_BYTES, MAX_VALUES, Name, Reader, any_of, date, quantity, token, uri};
use crate::index::{Aspect, Systems};

/// Parameters of R4 that have no filter here, with what could be said instead.
const NOT_SUPPORTED: [&str; 5] = ["_query", "_graph", "_maxresults", "_score", "near"];

/// What reading a value needs to know of its parameter or component.
#[derive(Clone, Copy)]
pub(super) struct ValueKind<'a, 'm> {
    pub kind: SearchParameterType,
    pub targets: &'a [String],
    /// The type that a modifier names.
    pub of_type: Option<&'m str>,
    pub systems: Systems,
}

impl<'a> Reader<'a> {
    /// The filter of a criterion on a type, or on all, by its parameter as written.
    pub(super) fn criterion(
        &self,
        resource_type: Option<&str>,
        text: &str,
        value: &str,
    ) -> Result<Filter, Fault> {
        if let Some(rest) = text.strip_prefix(HAS) {
            return self.has(resource_type, rest, value);
        }
        let name = Name::read(text);
        let filter = match (name.code, name.chained) {
            ("_id", None) => return self.ids(name, value),
            ("_lastUpdated", None) => return self.last_updated(name, value),
            ("_list", _) => return self.list(resource_type, name, value),
            ("_text", _) => return self.text(resource_type, Part::Narrative, name, value),
            ("_content", _) => return self.text(resource_type, Part::Content, name, value),
            ("_filter", _) => return self.filter(resource_type, name, value),
            (code, chained) => self.find_or_refuse(resource_type, code).map(|found| (found, chained)),
        };
        match filter? {
            (parameter, Some(chained)) => {
                let link = text.get(..text.len() - chained.len() - 1).unwrap_or_default();
                self.chain(parameter, link, name.modifier, chained, value)
            }
            (parameter, None) => self.plain(parameter, name.modifier, value),
        }
    }

    /// The parameter of a code that has values in the index.
    pub(super) fn find_or_refuse(
        &self,
        resource_type: Option<&str>,
        code: &str,
    ) -> Result<&'a SearchParameter, Fault> {
        let found = self.find(resource_type, code);
        let unsupported = NOT_SUPPORTED.contains(&code) && (found.is_some() || code.starts_with('_'))
            || found.is_some_and(|parameter| !parameter.is_indexed());
        if unsupported {
            let text = format!("The search parameter {code} is not supported.");
            return Err(Fault::unknown(IssueType::NotSupported, text));
        }
        found.ok_or_else(|| self.no_such_parameter(resource_type, code))
    }

    pub(super) fn no_such_parameter(&self, resource_type: Option<&str>, code: &str) -> Fault {
        let Some(name) = resource_type else {
            let text = format!(
                "{} is no search parameter that all resources share; name a type to search.",
                shown(code)
            );
            return Fault::unknown(IssueType::Invalid, text);
        };
        let known = self.definitions().search_parameters.of(name).map(|parameter| parameter.code.as_str());
        let near = did_you_mean(code, known);
        let text = format!("{name} has no search parameter {}.{near}", shown(code));
        Fault::unknown(IssueType::Invalid, text)
    }

    fn plain(
        &self,
        parameter: &'a SearchParameter,
        modifier: Option<&str>,
        value: &str,
    ) -> Result<Filter, Fault> {
        let modifier = self.modifier(parameter, modifier)?;
        let id = self.asked_of(parameter, modifier)?;
        if modifier == Modifier::Missing {
            return missing(value).map(|missing| {
                if missing { Filter::Not(Box::new(Filter::Present(id))) } else { Filter::Present(id) }
            });
        }
        let mut references = Vec::new();
        let mut filters = Vec::new();
        for text in alternatives(value)? {
            for predicate in self.predicates(parameter, modifier, text)? {
                match predicate {
                    Predicate::Reference(targets) => references.extend(targets),
                    other => filters.push(self.matching(parameter, id, other)),
                }
            }
        }
        if !references.is_empty() {
            filters.push(Filter::Match(id, Predicate::Reference(references)));
        }
        let any = any_of(filters);
        let not = matches!(modifier, Modifier::Not | Modifier::In { not: true });
        Ok(if not { Filter::Not(Box::new(any)) } else { any })
    }

    /// The condition that some value fulfils a predicate: of quantities with a unit of UCUM, in its base units.
    pub(super) fn matching(
        &self,
        parameter: &SearchParameter,
        id: ParameterId,
        predicate: Predicate,
    ) -> Filter {
        let units = self.context.index.units();
        let canonical = match &predicate {
            Predicate::Quantity { .. } => quantity::canonical(&predicate, units),
            Predicate::Composite(parts) => {
                let converted = |part: &Predicate| match part {
                    Predicate::Quantity { .. } => quantity::canonical(part, units),
                    other => Some(other.clone()),
                };
                parts.iter().map(converted).collect::<Option<_>>().map(Predicate::Composite)
            }
            _ => None,
        };
        match canonical.zip(self.context.index.aspect(parameter, Aspect::Canonical)) {
            Some((canonical, id)) => Filter::Match(id, canonical),
            None => Filter::Match(id, predicate),
        }
    }

    /// What one alternative asks for.
    fn predicates(
        &self,
        parameter: &'a SearchParameter,
        modifier: Modifier<'_>,
        text: &str,
    ) -> Result<Vec<Predicate>, Fault> {
        if !matches!(modifier, Modifier::Plain | Modifier::Not | Modifier::Type(_)) {
            self.charge(1)?;
        }
        let one = |predicate: Predicate| vec![predicate];
        match (modifier, parameter.kind) {
            (Modifier::String(how), _) => return string(how, text).map(one),
            (Modifier::Text, _) => return string(StringMatch::StartsWith, text).map(one),
            (Modifier::Identifier, _) => return token::predicates(text, Systems::Written),
            (Modifier::OfType, _) => return token::of_type(text).map(one),
            (Modifier::In { .. }, _) => return self.of_value_set(parameter, text),
            (Modifier::Above, SearchParameterType::Uri) => return uri::above(text),
            (Modifier::Below, SearchParameterType::Uri) => return uri::below(text),
            (Modifier::Above, _) => return self.related(parameter, "generalizes", text),
            (Modifier::Below, _) => return self.related(parameter, "is-a", text),
            _ => {}
        }
        if parameter.kind == SearchParameterType::Composite {
            return self.composite(parameter, text);
        }
        let kind = ValueKind {
            kind: parameter.kind,
            targets: &parameter.targets,
            of_type: if let Modifier::Type(name) = modifier { Some(name) } else { None },
            systems: self.context.index.systems(parameter, 0),
        };
        self.simple(kind, text).unwrap_or_else(|| {
            let text = format!(
                "{} is of the type {}, which has no values.",
                parameter.code,
                parameter.kind.as_str()
            );
            Err(Fault::unknown(IssueType::NotSupported, text))
        })
    }

    /// What a value of a parameter or component asks for, alternatives; `None` for the types that have no values of
    /// their own.
    pub(super) fn simple(&self, of: ValueKind<'a, '_>, text: &str) -> Option<Result<Vec<Predicate>, Fault>> {
        if let Err(fault) = self.charge(1) {
            return Some(Err(fault));
        }
        Some(match of.kind {
            SearchParameterType::Token => token::predicates(text, of.systems),
            SearchParameterType::String => {
                string(StringMatch::StartsWith, text).map(|predicate| vec![predicate])
            }
            SearchParameterType::Uri => Ok(vec![Predicate::Uri(unescape(text).into())]),
            SearchParameterType::Date => date::comparison(text, self.context.now)
                .map(|(comparison, (lo, hi))| vec![Predicate::Date(comparison, lo, hi)]),
            SearchParameterType::Number => super::number::comparison(&unescape(text))
                .map(|(comparison, lo, hi)| vec![Predicate::Number(comparison, lo, hi)]),
            SearchParameterType::Quantity => quantity::predicate(text).map(|predicate| vec![predicate]),
            SearchParameterType::Reference => {
                self.reference(text, of.targets, of.of_type).map(|found| vec![Predicate::Reference(found)])
            }
            SearchParameterType::Composite | SearchParameterType::Special => return None,
        })
    }

    fn ids(&self, name: Name<'_>, value: &str) -> Result<Filter, Fault> {
        match name.modifier {
            Some("missing") => return missing(value).map(always_present),
            None | Some("not") => {}
            Some(other) => return Err(engine_modifier("_id", other, "missing, :not")),
        }
        let mut ids = Vec::new();
        for text in alternatives(value)? {
            let id = unescape(text);
            if !is_id(&id) {
                let text = format!("{} is not an id (1 to 64 letters, digits, '-' and '.').", shown(&id));
                return Err(Fault::value(text));
            }
            self.charge(1)?;
            ids.push(Box::from(id));
        }
        let ids = Filter::Ids(ids);
        Ok(if name.modifier.is_some() { Filter::Not(Box::new(ids)) } else { ids })
    }

    fn last_updated(&self, name: Name<'_>, value: &str) -> Result<Filter, Fault> {
        match name.modifier {
            Some("missing") => return missing(value).map(always_present),
            None => {}
            Some(other) => return Err(engine_modifier("_lastUpdated", other, "missing")),
        }
        let mut filters = Vec::new();
        for text in alternatives(value)? {
            self.charge(1)?;
            let (comparison, (lo, hi)) = date::comparison(text, self.context.now)?;
            filters.push(Filter::LastUpdated(comparison, lo, hi));
        }
        Ok(any_of(filters))
    }
}

fn engine_modifier(code: &str, modifier: &str, has: &str) -> Fault {
    let text = format!("{} is no modifier here. {code} has :{has}.", shown(modifier));
    Fault::unknown(IssueType::Invalid, text)
}

/// A text to look for. White space and accents alone would be found in every text.
pub(super) fn string(how: StringMatch, text: &str) -> Result<Predicate, Fault> {
    let text = unescape(text);
    if how != StringMatch::Exact && fold(&text).is_empty() {
        return Err(Fault::value(format!("{} has no character to look for.", shown(&text))));
    }
    Ok(Predicate::String(how, text.into()))
}

/// Every resource has it.
pub(super) fn always_present(missing: bool) -> Filter {
    if missing { Filter::None } else { Filter::All }
}

fn missing(value: &str) -> Result<bool, Fault> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Fault::value(format!(":missing takes true or false, not {}.", shown(other)))),
    }
}

/// The alternatives of a value, none of them empty.
pub(super) fn alternatives(value: &str) -> Result<Vec<&str>, Fault> {
    let parts: Vec<&str> = split(value, b',').collect();
    if parts.len() > MAX_VALUES {
        let text = format!("A parameter may have {MAX_VALUES} values; this one has {}.", parts.len());
        return Err(Fault::bad(IssueType::TooCostly, text));
    }
    if let Some(long) = parts.iter().find(|part| part.len() > MAX_ALTERNATIVE_BYTES) {
        let text = format!("A value has {} bytes; {MAX_ALTERNATIVE_BYTES} are allowed.", long.len());
        return Err(Fault::bad(IssueType::TooLong, text));
    }
    if parts.iter().any(|part| part.is_empty()) {
        return Err(Fault::value(format!("{} has an empty value beside a comma.", shown(value))));
    }
    Ok(parts)
}
