//! `_sort` (<https://hl7.org/fhir/R4/search.html#sort>): parameters joined by commas, each ascending, or descending after `-`.
//! A key may be a chain (`-subject:Patient.birthdate`): then what the reference leads to is sorted by.

use fhirpath::{IssueType, Schema};
use store::{SortBy, SortKey};

use super::chain::chainable;
use super::fault::{Fault, shown};
use super::{Name, Reader};

/// Most keys of one search.
const MAX_KEYS: usize = 8;
/// Most links of one key.
const MAX_LINKS: usize = 3;
/// Most types that one link leads to.
const MAX_TARGETS: usize = 40;

impl Reader<'_> {
    pub(super) fn sort(&self, value: &str) -> Result<Vec<SortKey>, Fault> {
        let keys: Vec<SortKey> = value.split(',').map(|key| self.sort_key(key)).collect::<Result<_, _>>()?;
        if keys.len() > MAX_KEYS {
            let text = format!("_sort may have {MAX_KEYS} keys; this one has {}.", keys.len());
            return Err(Fault::bad(IssueType::TooCostly, text));
        }
        Ok(keys)
    }

    fn sort_key(&self, key: &str) -> Result<SortKey, Fault> {
        let (descending, path) = match key.strip_prefix('-') {
            Some(path) => (true, path),
            None => (false, key),
        };
        let by = match path {
            "" => return Err(Fault::value("_sort has an empty key.")),
            "_score" => SortBy::Score,
            path => self.sort_by(self.resource_type, path, 0).map_err(|fault| match fault {
                Fault::Unknown(issue) | Fault::Bad(issue) => Fault::Bad(issue),
            })?,
        };
        Ok(SortKey { by, descending })
    }

    /// What a key sorts by, behind so many links.
    fn sort_by(&self, resource_type: Option<&str>, path: &str, links: usize) -> Result<SortBy, Fault> {
        self.charge(1)?;
        match (path, path.split_once('.')) {
            ("_id", _) => Ok(SortBy::Id),
            ("_lastUpdated", _) => Ok(SortBy::LastUpdated),
            (_, Some((link, rest))) => self.sort_chain(resource_type, link, rest, links),
            (code, None) => self.sort_parameter(resource_type, code),
        }
    }

    /// What a link leads to: `subject.birthdate`, `subject:Patient.birthdate`, and with the type before it, as other servers
    /// write it. Types that have no such parameter are left out, if there is one that has.
    fn sort_chain(
        &self,
        resource_type: Option<&str>,
        link: &str,
        rest: &str,
        links: usize,
    ) -> Result<SortBy, Fault> {
        if links >= MAX_LINKS {
            let text = format!("A key of _sort may have {MAX_LINKS} links; this one has more.");
            return Err(Fault::bad(IssueType::TooCostly, text));
        }
        let schema = &self.definitions().schema;
        let (code, of_type) = match link.split_once(':') {
            Some((name, code)) if schema.is_resource(name) => (code, Some(name)),
            Some((code, name)) => (code, Some(name)),
            None => (link, None),
        };
        let parameter = self.find_or_refuse(resource_type, code)?;
        chainable(parameter)?;
        let (mut targets, mut first) = (Vec::new(), None);
        for target in self.chained_types(parameter, of_type, next_code(schema, rest))? {
            match self.sort_by(Some(target), rest, links + 1) {
                Ok(by) => targets.push((Box::from(target), by)),
                Err(Fault::Bad(issue)) if issue.code == IssueType::TooCostly => {
                    return Err(Fault::Bad(issue));
                }
                Err(fault) => {
                    first.get_or_insert(fault);
                }
            }
        }
        match first {
            Some(fault) if targets.is_empty() => Err(fault),
            _ if targets.len() > MAX_TARGETS => {
                let text =
                    format!("{code} may point to {} types; name one: {code}:Type.{rest}.", targets.len());
                Err(Fault::bad(IssueType::TooCostly, text))
            }
            _ => Ok(SortBy::Chain { parameter: self.context.index.id(parameter), targets }),
        }
    }

    fn sort_parameter(&self, resource_type: Option<&str>, code: &str) -> Result<SortBy, Fault> {
        if code.contains(':') {
            let text = format!("{} is no search parameter; _sort takes no modifiers.", shown(code));
            return Err(Fault::bad(IssueType::NotSupported, text));
        }
        let parameter = self.find_or_refuse(resource_type, code)?;
        if !parameter.is_sortable() {
            let text =
                format!("{code} is of the type {}, which cannot be sorted by.", parameter.kind.as_str());
            return Err(Fault::bad(IssueType::NotSupported, text));
        }
        Ok(SortBy::Parameter(self.context.index.id(parameter)))
    }
}

/// The parameter that a path begins with.
fn next_code<'p>(schema: &Schema, path: &'p str) -> Name<'p> {
    let link = path.split_once('.').map_or(path, |(link, _)| link);
    let code = match link.split_once(':') {
        Some((name, code)) if schema.is_resource(name) => code,
        Some((code, _)) => code,
        None => link,
    };
    Name { code, modifier: None, chained: None }
}
