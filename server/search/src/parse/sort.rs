//! `_sort` (<https://hl7.org/fhir/R4/search.html#sort>): parameters joined by commas, each ascending, or descending after `-`.

use fhirpath::IssueType;
use store::{SortBy, SortKey};

use super::Reader;
use super::fault::{Fault, shown};

/// Most keys of one search.
const MAX_KEYS: usize = 8;

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
        let (descending, code) = match key.strip_prefix('-') {
            Some(code) => (true, code),
            None => (false, key),
        };
        let by = match code {
            "" => return Err(Fault::value("_sort has an empty key.")),
            "_id" => SortBy::Id,
            "_lastUpdated" => SortBy::LastUpdated,
            "_score" => {
                let text = "Sorting by _score is not supported.";
                return Err(Fault::unknown(IssueType::NotSupported, text));
            }
            code => self.sort_parameter(code)?,
        };
        Ok(SortKey { by, descending })
    }

    fn sort_parameter(&self, code: &str) -> Result<SortBy, Fault> {
        if code.contains([':', '.']) {
            let text =
                format!("{} is no search parameter; _sort takes neither modifiers nor chains.", shown(code));
            return Err(Fault::bad(IssueType::NotSupported, text));
        }
        let parameter = self.find_or_refuse(self.resource_type, code).map_err(|fault| match fault {
            Fault::Unknown(issue) | Fault::Bad(issue) => Fault::Bad(issue),
        })?;
        if !parameter.is_sortable() {
            let text =
                format!("{code} is of the type {}, which cannot be sorted by.", parameter.kind.as_str());
            return Err(Fault::bad(IssueType::NotSupported, text));
        }
        Ok(SortBy::Parameter(self.context.index.id(parameter)))
    }
}
