//! Languages, `urn:ietf:bcp:47` (RFC 5646): well-formed tags whose subtags are in IANA's registry.

use std::ops::ControlFlow;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Result;
use crate::terminology::code_system::{Concept, Content, Description};
use crate::terminology::model::{Property, PropertyDefinition};

/// IANA's registry: type, subtag, description, and of an extlang its prefix.
const REGISTRY: &str = include_str!("../../../../ig/codes/languages.tsv");
/// Longest tag that is looked at, bytes.
const MAX_TAG: usize = 255;
/// What FHIR calls the parts of a tag (<https://hl7.org/fhir/R4/valueset-languages.html>).
const PROPERTIES: [&str; 7] =
    ["language", "ext-lang", "script", "region", "variant", "extension", "private-use"];

pub(super) struct Languages {
    description: Description,
    /// Type and subtag, in small letters, to their description.
    registry: FxHashMap<(&'static str, String), &'static str>,
    /// Extlangs with the language each must follow.
    prefixes: FxHashMap<&'static str, &'static str>,
}

impl Languages {
    pub(super) fn new(mut description: Description) -> Languages {
        let property = |name: &&str| PropertyDefinition {
            code: (*name).to_owned(),
            kind: "code".to_owned(),
            ..Default::default()
        };
        description.properties.extend(PROPERTIES.iter().map(property));
        let mut languages =
            Languages { description, registry: FxHashMap::default(), prefixes: FxHashMap::default() };
        for line in REGISTRY.lines() {
            let mut columns = line.split('\t');
            let (Some(kind), Some(subtag), Some(text)) = (columns.next(), columns.next(), columns.next())
            else {
                continue;
            };
            languages.registry.insert((kind, subtag.to_lowercase()), text);
            if let Some(prefix) = columns.next() {
                languages.prefixes.insert(subtag, prefix);
            }
        }
        languages
    }

    fn registered(&self, kind: &'static str, subtag: &str) -> Option<&'static str> {
        let is_private = match kind {
            "language" => ("qaa"..="qtz").contains(&subtag) && subtag.len() == 3,
            "script" => ("qaaa"..="qabx").contains(&subtag) && subtag.len() == 4,
            "region" => {
                (("qm"..="qz").contains(&subtag) || ("xa"..="xz").contains(&subtag)) && subtag.len() == 2
            }
            _ => false,
        };
        match is_private {
            true => Some("Private use"),
            false => self.registry.get(&(kind, subtag.to_owned())).copied(),
        }
    }

    /// What a tag, in small letters, is made of; `None` when it is none.
    fn parse(&self, tag: &str) -> Option<Parts> {
        if let Some(text) = self.registered("grandfathered", tag) {
            return Some(Parts { display: (*text).to_owned(), values: vec![("language", tag.to_owned())] });
        }
        let mut subtags = tag.split('-').peekable();
        if subtags.clone().any(|subtag| {
            subtag.is_empty() || subtag.len() > 8 || !subtag.bytes().all(|it| it.is_ascii_alphanumeric())
        }) {
            return None;
        }
        if subtags.peek() == Some(&"x") {
            return private_use(subtags)
                .map(|values| Parts { display: tag.to_owned(), values: vec![values] });
        }
        let language = subtags.next()?;
        let mut display = self.registered("language", language)?.to_owned();
        let mut values = vec![("language", language.to_owned())];
        let mut details = Vec::new();
        let mut take = |property, kind, subtag: &str| {
            details.push(self.registered(kind, subtag)?);
            values.push((property, subtag.to_owned()));
            Some(())
        };
        if let Some(extlang) =
            subtags.next_if(|it| it.len() == 3 && it.bytes().all(|it| it.is_ascii_alphabetic()))
        {
            take("ext-lang", "extlang", extlang)?;
            if self.prefixes.get(extlang) != Some(&language) {
                return None;
            }
        }
        if let Some(script) =
            subtags.next_if(|it| it.len() == 4 && it.bytes().all(|it| it.is_ascii_alphabetic()))
        {
            take("script", "script", script)?;
        }
        if let Some(region) = subtags.next_if(|it| is_region(it)) {
            take("region", "region", region)?;
        }
        let mut seen = FxHashSet::default();
        while let Some(variant) = subtags.next_if(|it| is_variant(it)) {
            take("variant", "variant", variant)?;
            if !seen.insert(variant) {
                return None;
            }
        }
        let mut singletons = FxHashSet::default();
        while let Some(singleton) = subtags.next_if(|it| it.len() == 1 && *it != "x") {
            let mut extension = vec![singleton];
            while let Some(subtag) = subtags.next_if(|it| it.len() >= 2) {
                extension.push(subtag);
            }
            if extension.len() == 1 || !singletons.insert(singleton) {
                return None;
            }
            values.push(("extension", extension.join("-")));
        }
        if subtags.peek().is_some() {
            values.push(private_use(subtags)?);
        }
        if !details.is_empty() {
            display = format!("{display} ({})", details.join(", "));
        }
        Some(Parts { display, values })
    }
}

/// What a tag is made of.
struct Parts {
    display: String,
    values: Vec<(&'static str, String)>,
}

fn is_region(subtag: &str) -> bool {
    (subtag.len() == 2 && subtag.bytes().all(|it| it.is_ascii_alphabetic()))
        || (subtag.len() == 3 && subtag.bytes().all(|it| it.is_ascii_digit()))
}

fn is_variant(subtag: &str) -> bool {
    subtag.len() >= 5 || (subtag.len() == 4 && subtag.bytes().next().is_some_and(|it| it.is_ascii_digit()))
}

/// `x-` and at least one subtag, to the end.
fn private_use<'s>(subtags: impl Iterator<Item = &'s str>) -> Option<(&'static str, String)> {
    let subtags: Vec<&str> = subtags.collect();
    (subtags.first() == Some(&"x") && subtags.len() > 1).then(|| ("private-use", subtags.join("-")))
}

impl Content for Languages {
    fn description(&self) -> &Description {
        &self.description
    }

    fn find(&self, code: &str) -> Result<Option<Arc<Concept>>> {
        if code.len() > MAX_TAG {
            return Ok(None);
        }
        let Some(parts) = self.parse(&code.to_ascii_lowercase()) else { return Ok(None) };
        let property = |(name, value): (&str, String)| Property {
            code: name.to_owned(),
            value_code: Some(value),
            ..Property::default()
        };
        let properties = parts.values.into_iter().map(property).collect();
        Ok(Some(Arc::new(Concept { properties, ..super::concept(code, Some(&parts.display)) })))
    }

    fn count(&self) -> Option<usize> {
        None
    }

    fn each(&self, _: &mut dyn FnMut(&Arc<Concept>) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let languages = Languages::new(Description::default());
        let check = |tag: &str, display: Option<&str>| {
            let found = languages.find(tag).unwrap();
            assert_eq!(found.as_ref().and_then(|it| it.display.as_deref()), display, "{tag}");
        };
        check("en", Some("English"));
        check("en-US", Some("English (United States)"));
        check("EN-us", Some("English (United States)"));
        check("zh-Hant-TW", Some("Chinese (Han (Traditional variant), Taiwan, Province of China)"));
        check("zh-yue", Some("Chinese (Yue Chinese)"));
        check("sl-rozaj-biske", Some("Slovenian (Resian, The San Giorgio dialect of Resian)"));
        check("de-DE-u-co-phonebk", Some("German (Germany)"));
        check("i-klingon", Some("Klingon"));
        check("x-own", Some("x-own"));
        check("en-x-own", Some("English"));
        check("qab", Some("Private use"));
        check("es-419", Some("Spanish (Latin America and the Caribbean)"));
        for bad in [
            "",
            "english",
            "xx",
            "en-",
            "en_US",
            "en-ZZZ9",
            "en-yue",
            "en-u",
            "x",
            "de-1901-1901",
            "en-US-US",
            "en-a-bb-a-cc",
        ] {
            check(bad, None);
        }
    }
}
