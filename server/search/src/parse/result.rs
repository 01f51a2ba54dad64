//! The parameters that shape the result (<https://hl7.org/fhir/R4/search.html#2.21.1.5>): order, page size, total,
//! inclusion, summary. `_format` and `_pretty` are accepted; the layer that writes answers reads them.

use fhirpath::IssueType;
use store::SortKey;

use super::contained::{Searched, contained_type};
use super::fault::{Fault, shown};
use super::{Name, ParseContext, Reader};
use crate::{Include, Summary};

const KNOWN: [&str; 14] = [
    "_count",
    "_cursor",
    "_elements",
    "_explain",
    "_format",
    "_include",
    "_pretty",
    "_revinclude",
    "_sort",
    "_summary",
    "_total",
    "_type",
    "_contained",
    "_containedType",
];

/// Those that a search may have several times.
const REPEATABLE: [&str; 3] = ["_include", "_revinclude", "_elements"];

/// Most `_include` and `_revinclude` of one search, each.
const MAX_INCLUDES: usize = 30;

/// Whether a code names one of them.
pub(super) fn is_known(code: &str) -> bool {
    KNOWN.contains(&code)
}

/// `_total`.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Total {
    #[default]
    None,
    Estimate,
    Accurate,
}

/// What was read so far.
#[derive(Default)]
pub(super) struct ResultParameters {
    pub sort: Vec<SortKey>,
    pub includes: Vec<Include>,
    pub revincludes: Vec<Include>,
    pub elements: Vec<String>,
    pub summary: Option<Summary>,
    pub cursor: Option<String>,
    pub explain: bool,
    pub contained: Searched,
    /// Whether contained resources are to be given alone.
    pub contained_type: bool,
    count: Option<usize>,
    total: Total,
    seen: Vec<&'static str>,
}

impl ResultParameters {
    /// Most matches to return: none when only the count is asked for.
    pub(super) fn limit(&self, context: &ParseContext<'_>) -> usize {
        if self.summary == Some(Summary::Count) {
            return 0;
        }
        self.count.unwrap_or(context.default_count).min(context.max_count)
    }

    /// Whether all matches are to be counted.
    pub(super) fn counts_all(&self) -> bool {
        self.total == Total::Accurate || self.summary == Some(Summary::Count) || self.count == Some(0)
    }

    /// Whether about how many match is asked.
    pub(super) fn estimates(&self) -> bool {
        self.total == Total::Estimate && !self.counts_all()
    }

    /// Reads one of [`KNOWN`].
    pub(super) fn read(&mut self, reader: &Reader<'_>, name: Name<'_>, value: &str) -> Result<(), Fault> {
        let Some(code) = KNOWN.into_iter().find(|known| *known == name.code) else {
            return Err(Fault::unknown(IssueType::Invalid, format!("{} is not known.", shown(name.code))));
        };
        let include = matches!(code, "_include" | "_revinclude");
        if name.chained.is_some() || (name.modifier.is_some() && !include) {
            return Err(Fault::unknown(
                IssueType::Invalid,
                format!("{code} takes no modifier and no chain."),
            ));
        }
        if value.is_empty() {
            return Err(Fault::unknown(IssueType::Required, format!("{code} has no value.")));
        }
        if self.seen.contains(&code) && !REPEATABLE.contains(&code) {
            return Err(Fault::bad(IssueType::Invalid, format!("{code} is given more than once.")));
        }
        self.seen.push(code);
        self.set(reader, name, code, value)
    }

    fn set(&mut self, reader: &Reader<'_>, name: Name<'_>, code: &str, value: &str) -> Result<(), Fault> {
        match code {
            "_count" => self.count = Some(count(value)?),
            "_cursor" => self.cursor = Some(value.to_owned()),
            "_elements" => self.elements.extend(elements(value)?),
            "_explain" => self.explain = explain(value)?,
            "_include" => add(&mut self.includes, reader.include(name, value)?, code)?,
            "_revinclude" => add(&mut self.revincludes, reader.include(name, value)?, code)?,
            "_sort" => self.sort = reader.sort(value)?,
            "_summary" => self.summary = Some(summary(value)?),
            "_total" => self.total = total(value)?,
            "_contained" => self.contained = Searched::read(value)?,
            "_containedType" => self.contained_type = contained_type(value)?,
            "_type" if reader.resource_type.is_some_and(|searched| searched != value) => {
                return Err(Fault::value(format!("{} is not the type that is searched.", shown(value))));
            }
            // Understood elsewhere: `_type` chose what is searched, the others choose how the answer is written.
            "_type" | "_format" | "_pretty" => {}
            other => {
                return Err(Fault::unknown(IssueType::Invalid, format!("{} is not known.", shown(other))));
            }
        }
        Ok(())
    }
}

fn explain(value: &str) -> Result<bool, Fault> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Fault::value("_explain takes true or false.".to_owned())),
    }
}

fn add(includes: &mut Vec<Include>, include: Include, code: &str) -> Result<(), Fault> {
    if includes.len() >= MAX_INCLUDES {
        return Err(Fault::bad(IssueType::TooCostly, format!("A search may have {MAX_INCLUDES} {code}.")));
    }
    includes.push(include);
    Ok(())
}

/// A number of matches; what is beyond every page size is taken as the largest.
fn count(value: &str) -> Result<usize, Fault> {
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::value(format!(
            "_count takes a number that is not negative, not {}.",
            shown(value)
        )));
    }
    Ok(value.parse().unwrap_or(usize::MAX))
}

fn total(value: &str) -> Result<Total, Fault> {
    match value {
        "none" => Ok(Total::None),
        "estimate" => Ok(Total::Estimate),
        "accurate" => Ok(Total::Accurate),
        other => Err(Fault::value(format!("_total takes none, estimate or accurate, not {}.", shown(other)))),
    }
}

fn summary(value: &str) -> Result<Summary, Fault> {
    match value {
        "true" => Ok(Summary::True),
        "false" => Ok(Summary::False),
        "text" => Ok(Summary::Text),
        "data" => Ok(Summary::Data),
        "count" => Ok(Summary::Count),
        other => Err(Fault::value(format!(
            "_summary takes true, false, text, data or count, not {}.",
            shown(other)
        ))),
    }
}

fn elements(value: &str) -> Result<Vec<String>, Fault> {
    let names = value.split(',').map(|name| {
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if plain {
            return Ok(name.to_owned());
        }
        Err(Fault::value(format!("_elements takes names of top-level elements, not {}.", shown(name))))
    });
    names.collect()
}
