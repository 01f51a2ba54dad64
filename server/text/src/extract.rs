//! The texts of a resource: of its narrative without tags (`Narrative.div`,
//! <https://hl7.org/fhir/R4/narrative.html>), and of every string in it. Numbers, booleans and encoded data are no texts.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::words::BOUNDARY;

/// What a resource says, its parts set apart by a character that no phrase spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    /// Of the narrative, without tags.
    pub narrative: String,
    /// Of everything, the narrative too.
    pub content: String,
}

/// Not the JSON of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the resource is not JSON")]
pub struct Unreadable;

/// Reads the texts of a resource, JSON.
///
/// # Errors
/// [`Unreadable`].
pub fn texts(body: &[u8]) -> Result<Texts, Unreadable> {
    let mut texts = Texts::default();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let root = Element { texts: &mut texts, name: "", within: Within::Nothing };
    root.deserialize(&mut reader).map_err(|_| Unreadable)?;
    Ok(texts)
}

/// Elements whose text is encoded data, or numbers.
const DATA: &str = "data";
/// How `serde_json` hands over numbers of any precision.
const NUMBER: &str = "$serde_json::private::Number";

/// Where an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// It is the resource.
    Nothing,
    /// It is of the resource itself.
    Resource,
    /// It is of the resource's narrative.
    Narrative,
    /// It is deeper.
    Other,
}

/// An element being read.
struct Element<'t, 'n> {
    texts: &'t mut Texts,
    name: &'n str,
    within: Within,
}

impl<'de> DeserializeSeed<'de> for Element<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        match self.name {
            DATA => {}
            "div" => {
                let start = self.texts.content.len();
                without_tags(text, &mut self.texts.content);
                self.texts.content.push(BOUNDARY);
                if self.within == Within::Narrative {
                    self.texts.narrative.push_str(self.texts.content.get(start..).unwrap_or_default());
                }
            }
            _ => {
                self.texts.content.push_str(text);
                self.texts.content.push(BOUNDARY);
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = match (self.within, self.name) {
            (Within::Nothing, _) => Within::Resource,
            (Within::Resource, "text") => Within::Narrative,
            _ => Within::Other,
        };
        while let Some(name) = map.next_key::<Name>()? {
            if name.0 == NUMBER {
                map.next_value::<de::IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(Element { texts: &mut *self.texts, name: &name.0, within: inner })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        // What stands in an array is not the narrative's text: of that there is one.
        let Element { texts, name, .. } = self;
        while items.next_element_seed(Element { texts: &mut *texts, name, within: Within::Other })?.is_some()
        {
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The name of an element.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// Elements of XHTML that stand within a word as well as between words.
const INLINE: [&str; 16] = [
    "a", "abbr", "b", "big", "code", "em", "font", "i", "q", "s", "small", "span", "strong", "sub", "sup",
    "u",
];

/// The text of XHTML: tags and comments left out, those that break lines as a space, entities as what they stand for.
fn without_tags(xhtml: &str, out: &mut String) {
    let mut rest = xhtml;
    while let Some(at) = rest.find(['<', '&']) {
        let (text, from) = rest.split_at(at);
        out.push_str(text);
        rest = if from.starts_with('<') { after_tag(from, out) } else { after_entity(from, out) };
    }
    out.push_str(rest);
}

fn after_tag<'x>(from: &'x str, out: &mut String) -> &'x str {
    if from.starts_with("<!--") {
        out.push(' ');
        return from.split_once("-->").map_or("", |(_, rest)| rest);
    }
    let name = from.trim_start_matches(['<', '/']);
    let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    if !INLINE.contains(&name.to_ascii_lowercase().as_str()) {
        out.push(' ');
    }
    // A `>` within an attribute's quotes does not end the tag.
    let mut quote = None;
    for (at, c) in from.char_indices() {
        match (quote, c) {
            (None, '>') => return from.get(at + 1..).unwrap_or_default(),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    ""
}

/// Longest entity, bytes.
const ENTITY: usize = 12;

fn after_entity<'x>(from: &'x str, out: &mut String) -> &'x str {
    let end = from.bytes().take(ENTITY).position(|byte| byte == b';');
    let parts = end.and_then(|end| Some((from.get(1..end)?, from.get(end + 1..)?)));
    let Some((name, rest)) = parts else {
        out.push('&');
        return from.get(1..).unwrap_or_default();
    };
    let code = match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => name.strip_prefix('#').and_then(|number| number.parse().ok()),
    };
    out.push(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        // Others are marks and spaces; letters with accents are written as they are.
        _ => code.and_then(char::from_u32).unwrap_or(' '),
    });
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_resources() {
        let check = |body: &str, narrative: &str, content: &str| {
            let found = texts(body.as_bytes()).unwrap();
            let shown = |text: &str| text.replace(BOUNDARY, "|");
            assert_eq!(
                (shown(&found.narrative).as_str(), shown(&found.content).as_str()),
                (narrative, content)
            );
        };
        check("{}", "", "");
        check(r#"{"resourceType":"Patient","id":"1"}"#, "", "Patient|1|");
        check(
            r#"{"text":{"status":"generated","div":"<div xmlns=\"x>y\"><p>A<b>B</b></p>c &lt; d&#233;<!-- no --></div>"}}"#,
            "  AB c < dé  |",
            "generated|  AB c < dé  |",
        );
        check(
            r#"{"contained":[{"text":{"div":"<p>in</p>"}}],"n":1.50,"on":true,"no":null,"a":["x","\u00e9"],"data":"QUJD"}"#,
            "",
            " in |x|é|",
        );
        check(r#"{"text":{"div":"a &amp b &unknown; &#x4e; <p"}}"#, "a &amp b   N  |", "a &amp b   N  |");
        for body in ["", "{", "{\"a\":}"] {
            assert_eq!(texts(body.as_bytes()), Err(Unreadable), "{body}");
        }
    }
}
