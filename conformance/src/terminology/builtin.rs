//! Code systems that other standards define and FHIR only names: lists that come with the program (countries, currencies,
//! states), and grammars (languages, media types, units). Of a grammar every code is known and none can be listed.

mod language;
mod media_type;
mod unit;

use std::sync::Arc;

use super::TerminologyError;
use super::code_system::{Concept, Content, Description, InMemory};

type Result<T> = std::result::Result<T, TerminologyError>;

/// The built-in code system of a URL. None of them has versions that it could tell apart.
pub(super) fn code_system(url: &str) -> Result<Option<Arc<dyn Content>>> {
    let list = |name: &str, concepts: Vec<Concept>| -> Result<Option<Arc<dyn Content>>> {
        Ok(Some(Arc::new(InMemory::of_concepts(description(url, name, true), concepts)?)))
    };
    match url {
        "urn:iso:std:iso:3166" => {
            list("ISO 3166 Country Codes", countries(include_str!("../../../ig/codes/countries.tsv")))
        }
        "urn:iso:std:iso:3166:-2" => {
            let text = include_str!("../../../ig/codes/subdivisions.tsv");
            list("ISO 3166-2 Subdivision Codes", rows(text, 2))
        }
        "urn:iso:std:iso:4217" => {
            list("ISO 4217 Currency Codes", rows(include_str!("../../../ig/codes/currencies.tsv"), 1))
        }
        "https://www.usps.com/" => {
            list("USPS State Codes", rows(include_str!("../../../ig/codes/states.tsv"), 1))
        }
        "urn:ietf:bcp:47" => Ok(Some(Arc::new(language::Languages::new(description(url, "BCP 47", false))))),
        "urn:ietf:bcp:13" => {
            Ok(Some(Arc::new(media_type::MediaTypes::new(description(url, "Media types", false)))))
        }
        "http://unitsofmeasure.org" => Ok(Some(Arc::new(unit::Units::new(description(url, "UCUM", true))))),
        _ => Ok(None),
    }
}

fn description(url: &str, name: &str, case_sensitive: bool) -> Description {
    Description {
        url: url.to_owned(),
        name: Some(name.to_owned()),
        language: Some("en".to_owned()),
        is_complete: true,
        case_sensitive,
        ..Description::default()
    }
}

fn concept(code: &str, display: Option<&str>) -> Concept {
    Concept { code: code.into(), display: display.map(Into::into), ..Concept::default() }
}

/// A concept for each row: the code stands first, the display in a column.
fn rows(text: &str, display: usize) -> Vec<Concept> {
    let row = |line: &str| {
        let mut columns = line.split('\t');
        columns.next().map(|code| concept(code, columns.nth(display - 1)))
    };
    text.lines().filter_map(row).collect()
}

/// A country has three codes.
fn countries(text: &str) -> Vec<Concept> {
    let mut all = Vec::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        all.extend(columns.iter().take(3).map(|code| concept(code, columns.last().copied())));
    }
    // Two letters, then numbers and three letters.
    all.sort_by(|a, b| (a.code.len(), &a.code).cmp(&(b.code.len(), &b.code)));
    all
}
