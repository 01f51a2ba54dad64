//! The parameters of a search (<https://hl7.org/fhir/R4/search.html>), read against the definitions: criteria to a
//! filter of the store, and the parameters that shape the result. Runs nothing.
//!
//! What is not understood is refused by name. With lenient handling an unknown or unsupported parameter or
//! modifier, and a parameter without a value, is left out with a warning; a bad value of a known one is refused all the same.

mod chain;
mod codes;
mod compartment;
mod composite;
mod contained;
mod criterion;
mod date;
mod fault;
mod filter;
mod has;
mod include;
mod list;
mod modifier;
mod near;
mod number;
mod prefix;
mod quantity;
mod reference;
mod result;
mod sort;
mod split;
mod text;
mod token;
mod uri;

use std::cell::Cell;

use conformance::terminology::Terminology;
use conformance::{Definitions, SearchParameter};
use fhirpath::{Issue, IssueType};
use store::{Filter, Query, SortBy};

use crate::{SearchIndex, SearchRequest};
use fault::{Fault, shown};
pub use modifier::modifiers;
use result::ResultParameters;

/// Most parameters of one search.
pub const MAX_PARAMETERS: usize = 100;
/// Most values of one parameter, separated by commas.
pub const MAX_VALUES: usize = 2_000;
/// Longest value of one parameter, bytes, all its alternatives together.
pub const MAX_VALUE_BYTES: usize = 128 * 1024;
/// Longest single alternative, bytes.
pub const MAX_ALTERNATIVE_BYTES: usize = 4 * 1024;
/// Most things one search may ask the index for, after ids are spread over types and chains over targets.
pub const MAX_LOOKUPS: usize = 50_000;

/// Most links of one chain, in either direction.
pub const MAX_LINKS: usize = 16;

/// What to do with parameters that are not known (`Prefer: handling=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Refuse the search.
    Strict,
    /// Leave them out, and say so.
    Lenient,
}

/// What a search is read against.
pub struct ParseContext<'a> {
    /// Parameters and definitions.
    pub index: &'a SearchIndex,
    /// What to do with unknown parameters.
    pub handling: Handling,
    /// Now, microseconds since 1970, for `ap`.
    pub now: i64,
    /// Page size without `_count`.
    pub default_count: usize,
    /// Largest page size.
    pub max_count: usize,
    /// What knows value sets and hierarchies of codes; without it modifiers that ask of them are refused.
    pub terminology: Option<&'a Terminology>,
}

/// Whether reading some parameters may ask terminology.
pub fn asks_terminology(parameters: &[(String, String)]) -> bool {
    const MODIFIERS: [&str; 5] = [":in", ":not-in", ":above", ":below", "_filter"];
    parameters.iter().any(|(name, _)| MODIFIERS.iter().any(|modifier| name.ends_with(modifier)))
}

/// Reads the parameters (decoded name and value, in order) of a search on a type, or on all types. `compartment` adds
/// its membership (`("Patient", "123")`).
///
/// A search on all types, or on the several that `_type` names, knows the parameters that all resources share.
///
/// # Errors
/// Every fault, each with the expression `http.<parameter>`: unknown parameter or modifier, bad value or
/// prefix, a combination that is not supported.
pub fn parse(
    context: &ParseContext<'_>,
    resource_type: Option<&str>,
    compartment: Option<(&str, &str)>,
    parameters: &[(String, String)],
) -> Result<SearchRequest, Vec<Issue>> {
    if parameters.len() > MAX_PARAMETERS {
        let text =
            format!("A search may have {MAX_PARAMETERS} parameters; this one has {}.", parameters.len());
        return Err(vec![Issue::error(IssueType::TooCostly, text)]);
    }
    let resource_type = searched_type(context, resource_type, parameters).map_err(|issue| vec![issue])?;
    let reader =
        Reader { context, resource_type, lookups: Cell::new(0), links: Cell::new(0), at: Cell::new(0) };
    let mut filters = several_types(context, resource_type, parameters).map_err(|issue| vec![issue])?;
    let mut result = ResultParameters::default();
    let (mut honoured, mut ignored, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(compartment) = compartment {
        match reader.compartment(compartment) {
            Ok(filter) => filters.push(filter),
            Err(issue) => faults.push(issue),
        }
    }
    for (name, value) in parameters {
        match reader.parameter(name, value, &mut result, &mut filters) {
            Ok(()) if name == "_cursor" => {}
            Ok(()) => honoured.push((name.clone(), value.clone())),
            Err(fault) => match fault.at(reader.at.take()).about(name).under(context.handling) {
                Ok(warning) => ignored.push(warning),
                Err(error) => faults.push(error),
            },
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let filter = all_of(filters);
    if result.sort.iter().any(|key| key.by == SortBy::Score) && filter.texts().is_empty() {
        let text = "_score orders what _text or _content finds; this search has neither.";
        return Err(vec![Issue::error(IssueType::Invalid, text).at("http._sort")]);
    }
    let mut query = Query {
        resource_type: resource_type.map(Box::from),
        filter,
        sort: std::mem::take(&mut result.sort),
        after: None,
        limit: result.limit(context),
        total: result.counts_all(),
    };
    let contained = contained::searched(context.index, &mut query, &result, compartment.is_some());
    let contained = contained.map_err(|issue| vec![issue])?;
    let estimate = result.estimates();
    Ok(SearchRequest {
        query,
        cursor: result.cursor,
        includes: result.includes,
        revincludes: result.revincludes,
        summary: result.summary,
        elements: result.elements,
        estimate,
        contained,
        explain: result.explain,
        honoured,
        ignored,
    })
}

/// The type of the URL, or else the one that `_type` names. `None` for all types, and for several.
fn searched_type<'a>(
    context: &ParseContext<'_>,
    resource_type: Option<&'a str>,
    parameters: &'a [(String, String)],
) -> Result<Option<&'a str>, Issue> {
    match (resource_type, types_parameter(parameters)) {
        (Some(name), _) => known_type(context, name, "http").map(Some),
        (None, Some(name)) if !name.contains(',') => known_type(context, name, "http._type").map(Some),
        (None, _) => Ok(None),
    }
}

/// The condition that `_type` makes where it names several types.
fn several_types(
    context: &ParseContext<'_>,
    searched: Option<&str>,
    parameters: &[(String, String)],
) -> Result<Vec<Filter>, Issue> {
    let Some(names) = types_parameter(parameters).filter(|_| searched.is_none()) else {
        return Ok(Vec::new());
    };
    let each = names.split(',').map(|name| {
        let known = known_type(context, name, "http._type")?;
        Ok(Filter::Type(known.into()))
    });
    Ok(vec![any_of(each.collect::<Result<_, Issue>>()?)])
}

fn types_parameter(parameters: &[(String, String)]) -> Option<&str> {
    parameters.iter().find(|(name, _)| name == "_type").map(|(_, types)| types.as_str())
}

fn known_type<'a>(context: &ParseContext<'_>, name: &'a str, place: &str) -> Result<&'a str, Issue> {
    if context.index.definitions().schema.is_resource(name) {
        return Ok(name);
    }
    let text = format!("{} is no resource type.", shown(name));
    Err(Issue::error(IssueType::Invalid, text).at(place))
}

/// A search being read.
struct Reader<'a> {
    context: &'a ParseContext<'a>,
    resource_type: Option<&'a str>,
    lookups: Cell<usize>,
    /// How many links of a chain lead to what is being read.
    links: Cell<usize>,
    /// Where in the parameter's name that begins, bytes.
    at: Cell<usize>,
}

/// A search parameter's name as a query writes it: `code[:modifier]` or `code[:Type].chained`.
#[derive(Clone, Copy)]
struct Name<'a> {
    code: &'a str,
    modifier: Option<&'a str>,
    chained: Option<&'a str>,
}

impl<'a> Name<'a> {
    fn read(text: &'a str) -> Name<'a> {
        let (own, chained) = match text.split_once('.') {
            Some((own, chained)) => (own, Some(chained)),
            None => (text, None),
        };
        match own.split_once(':') {
            Some((code, modifier)) => Name { code, modifier: Some(modifier), chained },
            None => Name { code: own, modifier: None, chained },
        }
    }
}

impl<'a> Reader<'a> {
    /// Reads one parameter into what it belongs to.
    fn parameter(
        &self,
        name: &str,
        value: &str,
        result: &mut ResultParameters,
        filters: &mut Vec<Filter>,
    ) -> Result<(), Fault> {
        if value.len() > MAX_VALUE_BYTES {
            let text = format!("The value has {} bytes; {MAX_VALUE_BYTES} are allowed.", value.len());
            return Err(Fault::bad(IssueType::TooLong, text));
        }
        let parsed = Name::read(name);
        if result::is_known(parsed.code) {
            return result.read(self, parsed, value);
        }
        if value.is_empty() {
            return Err(Fault::unknown(IssueType::Required, format!("{} has no value.", shown(name))));
        }
        self.at.set(0);
        self.links.set(0);
        filters.push(self.criterion(self.resource_type, name, value)?);
        Ok(())
    }

    /// Reads what follows a link of a chain, so many bytes further on. At a fault the position stays where it was met.
    fn link<T>(&self, bytes: usize, read: impl FnOnce(&Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let (links, at) = (self.links.get(), self.at.get());
        if links >= MAX_LINKS {
            let text = format!("A chain may have {MAX_LINKS} links; this one has more.");
            return Err(Fault::bad(IssueType::TooCostly, text));
        }
        self.links.set(links + 1);
        self.at.set(at + bytes);
        let found = read(self);
        self.links.set(links);
        if found.is_ok() {
            self.at.set(at);
        }
        found
    }

    fn definitions(&self) -> &'a Definitions {
        self.context.index.definitions()
    }

    /// The parameter of a code for a type, or of the ones that all types share.
    fn find(&self, resource_type: Option<&str>, code: &str) -> Option<&'a SearchParameter> {
        let known = &self.definitions().search_parameters;
        match resource_type {
            Some(name) => known.get(name, code),
            None => known.get("Resource", code).or_else(|| known.get("DomainResource", code)),
        }
    }

    /// Counts things the index is asked for.
    fn charge(&self, lookups: usize) -> Result<(), Fault> {
        let all = self.lookups.get().saturating_add(lookups);
        self.lookups.set(all);
        if all > MAX_LOOKUPS {
            let text = format!(
                "The search asks for more than {MAX_LOOKUPS} values; name types or give fewer values."
            );
            return Err(Fault::bad(IssueType::TooCostly, text));
        }
        Ok(())
    }
}

/// The conjunction, in its simplest form.
fn all_of(mut filters: Vec<Filter>) -> Filter {
    match (filters.len(), filters.pop()) {
        (_, None) => Filter::All,
        (1, Some(only)) => only,
        (_, Some(last)) => {
            filters.push(last);
            Filter::And(filters)
        }
    }
}

/// The disjunction, in its simplest form.
fn any_of(mut filters: Vec<Filter>) -> Filter {
    match (filters.len(), filters.pop()) {
        (_, None) => Filter::None,
        (1, Some(only)) => only,
        (_, Some(last)) => {
            filters.push(last);
            Filter::Or(filters)
        }
    }
}
