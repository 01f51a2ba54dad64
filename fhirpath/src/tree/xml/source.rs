//! The tokens of a document (<https://www.w3.org/TR/xml/>) with their places and namespaces
//! (<https://www.w3.org/TR/xml-names/>). Knows nothing of FHIR but the names of four namespaces.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use smallvec::SmallVec;

use super::super::parse::excerpt;
use super::text;
use crate::issue::IssueType;

/// Most attributes of one element. FHIR has three, XHTML some twenty.
const MAX_ATTRIBUTES: usize = 64;
/// Most namespace declarations that hold at one place: each name is looked for among them.
const MAX_DECLARATIONS: usize = 256;

/// A document that is read.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    reader: Reader<&'a [u8]>,
    /// Where the reader's text begins in `text`.
    base: usize,
    /// Where the last token begins.
    pub(super) at: usize,
    declarations: Vec<Declaration<'a>>,
}

/// Where a document is no XML, or none that is read, and why.
pub(super) struct Broken {
    pub(super) at: usize,
    pub(super) code: IssueType,
    pub(super) details: String,
}

/// A token that matters: comments and processing instructions are passed over.
pub(super) enum Token<'a> {
    /// `<name>` or, if the flag is set, `<name/>`.
    Start(BytesStart<'a>, bool),
    End,
    /// Anything but white space.
    Text,
    /// The end of the document.
    Eof,
}

/// A namespace that is known, or none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    Fhir,
    Xhtml,
    SchemaInstance,
    Xml,
    /// No namespace at all.
    None,
    Other,
}

struct Declaration<'a> {
    prefix: &'a str,
    namespace: Namespace,
}

/// A start tag.
pub(super) struct Tag<'a> {
    pub(super) at: usize,
    pub(super) prefix: &'a str,
    pub(super) name: &'a str,
    pub(super) namespace: Namespace,
    /// Those that declare no namespace.
    pub(super) attributes: SmallVec<[Attribute<'a>; 3]>,
    /// How many declarations held before it.
    pub(super) outer: usize,
    /// Which declaration says so.
    declared_at: Option<usize>,
}

impl Tag<'_> {
    /// Whether the declaration of its prefix, or of the default, stands at `around` or below.
    pub(super) fn is_declared_in(&self, around: &Tag<'_>) -> bool {
        self.declared_at.is_some_and(|declared| declared >= around.outer)
    }

    /// Its name with its prefix, for a message.
    pub(super) fn shown(&self) -> String {
        let colon = if self.prefix.is_empty() { "" } else { ":" };
        excerpt(&format!("{}{colon}{}", self.prefix, self.name))
    }
}

/// An attribute.
pub(super) struct Attribute<'a> {
    pub(super) at: usize,
    pub(super) prefix: &'a str,
    pub(super) name: &'a str,
    pub(super) namespace: Namespace,
    /// The text between the quotes, and where it begins.
    pub(super) raw: &'a str,
    pub(super) raw_at: usize,
}

impl Broken {
    pub(super) fn not_xml(at: usize, why: &str) -> Broken {
        Broken { at, code: IssueType::Invalid, details: format!("This is not XML: {why}.") }
    }
}

impl Namespace {
    fn of(name: &str) -> Namespace {
        match name {
            super::FHIR => Namespace::Fhir,
            super::XHTML => Namespace::Xhtml,
            super::SCHEMA_INSTANCE => Namespace::SchemaInstance,
            super::XML => Namespace::Xml,
            "" => Namespace::None,
            _ => Namespace::Other,
        }
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Source<'a> {
        let base = if text.starts_with('\u{FEFF}') { '\u{FEFF}'.len_utf8() } else { 0 };
        let mut reader = Reader::from_str(text.get(base..).unwrap_or_default());
        reader.config_mut().check_comments = true;
        Source { text, reader, base, at: base, declarations: Vec::new() }
    }

    /// Where the next token begins.
    pub(super) fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX).saturating_add(self.base)
    }

    /// The last token, as it stands.
    pub(super) fn passed(&self) -> &'a str {
        self.text.get(self.at..self.position()).unwrap_or_default()
    }

    /// The next token that matters.
    pub(super) fn next(&mut self) -> Result<Token<'a>, Broken> {
        loop {
            self.at = self.position();
            let event = self.reader.read_event().map_err(|error| {
                let at = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
                Broken::not_xml(at.saturating_add(self.base).min(self.text.len()), &reason(&error))
            })?;
            match event {
                Event::Start(tag) => return Ok(Token::Start(tag, false)),
                Event::Empty(tag) => return Ok(Token::Start(tag, true)),
                Event::End(_) => return Ok(Token::End),
                Event::Text(found) if text::is_blank(&found) => {}
                Event::Text(_) | Event::CData(_) => return Ok(Token::Text),
                Event::GeneralRef(_) => {
                    self.check_references(self.passed(), self.at)?;
                    return Ok(Token::Text);
                }
                Event::Eof => return Ok(Token::Eof),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Decl(declaration) if self.at == self.base => {
                    let encoding = declaration.encoding().and_then(Result::ok);
                    let version =
                        declaration.version().map_err(|error| Broken::not_xml(self.at, &reason(&error)))?;
                    self.check_declaration(&version, encoding.as_deref())?;
                }
                Event::Decl(_) => {
                    let why = "an XML declaration stands at the very beginning";
                    return Err(Broken::not_xml(self.at, why));
                }
                Event::DocType(_) => {
                    let details =
                        "A DOCTYPE is not allowed: FHIR has no DTD and defines no entities.".to_owned();
                    return Err(Broken { at: self.at, code: IssueType::Invalid, details });
                }
            }
        }
    }

    fn check_declaration(&self, version: &[u8], encoding: Option<&[u8]>) -> Result<(), Broken> {
        let shown = |bytes: &[u8]| excerpt(&String::from_utf8_lossy(bytes));
        let refused = |details| Err(Broken { at: self.at, code: IssueType::NotSupported, details });
        if version != b"1.0" {
            return refused(format!("XML of version '{}' is not read: FHIR is XML 1.0.", shown(version)));
        }
        match encoding {
            Some(name) if !name.eq_ignore_ascii_case(b"utf-8") => {
                refused(format!("The encoding '{}' is not read: FHIR XML is UTF-8.", shown(name)))
            }
            _ => Ok(()),
        }
    }

    /// Reads a start tag; what it declares holds until [`Source::leave`].
    pub(super) fn tag(&mut self, start: &BytesStart<'a>) -> Result<Tag<'a>, Broken> {
        let at = self.at;
        let outer = self.declarations.len();
        let (prefix, name) = split(self.own(start.name().as_ref()));
        if !is_name(prefix, true) || !is_name(name, false) {
            return Err(Broken::not_xml(at, "this is no name of an element"));
        }
        let mut attributes: SmallVec<[Attribute<'a>; 3]> = SmallVec::new();
        for found in start.attributes().with_checks(false) {
            let found = found.map_err(|error| Broken::not_xml(at, &reason(&error.into())))?;
            let attribute = self.attribute(found.key.as_ref(), &found.value)?;
            let declared = match (attribute.prefix, attribute.name) {
                ("", "xmlns") => Some(""),
                ("xmlns", prefix) => Some(prefix),
                _ => None,
            };
            match declared {
                Some(prefix) => self.declare(prefix, &attribute, outer)?,
                None => attributes.push(attribute),
            }
            if attributes.len() > MAX_ATTRIBUTES || self.declarations.len() > outer + MAX_ATTRIBUTES {
                let details = format!("An element has at most {MAX_ATTRIBUTES} attributes.");
                return Err(Broken { at, code: IssueType::TooCostly, details });
            }
        }
        for index in 0..attributes.len() {
            self.resolve_attribute(&mut attributes, index)?;
        }
        let (namespace, declared_at) = self.resolve(prefix, at)?;
        Ok(Tag { at, prefix, name, namespace, attributes, outer, declared_at })
    }

    /// Ends what a tag has declared.
    pub(super) fn leave(&mut self, outer: usize) {
        self.declarations.truncate(outer);
    }

    fn attribute(&self, key: &[u8], value: &[u8]) -> Result<Attribute<'a>, Broken> {
        let at = self.offset(key);
        let raw_at = self.offset(value);
        let raw = self.own(value);
        let (prefix, name) = split(self.own(key));
        if !is_name(prefix, true) || !is_name(name, false) {
            return Err(Broken::not_xml(at, "this is no name of an attribute"));
        }
        if let Some(at) = memchr::memchr(b'<', raw.as_bytes()) {
            return Err(Broken::not_xml(raw_at + at, "'<' in an attribute is written as &lt;"));
        }
        self.check_references(raw, raw_at)?;
        Ok(Attribute { at, prefix, name, namespace: Namespace::None, raw, raw_at })
    }

    /// Refuses a `&` that is no reference to a character that XML has by itself.
    pub(super) fn check_references(&self, text: &str, at: usize) -> Result<(), Broken> {
        let Some(bad) = text::bad_reference(text) else { return Ok(()) };
        let named = text.get(bad + 1..).unwrap_or_default();
        let length =
            named.find(|char: char| !char.is_ascii_alphanumeric() && char != '#').unwrap_or(named.len());
        let why = match named.get(..length) {
            Some(name) if (1..=16).contains(&length) && named.as_bytes().get(length) == Some(&b';') => {
                let details = format!(
                    "The reference '&{name};' is not known: XML without a DTD has amp, lt, gt, quot, apos and the numbers of characters (&#160;)."
                );
                return Err(Broken { at: at + bad, code: IssueType::Invalid, details });
            }
            _ => "'&' is written as &amp;",
        };
        Err(Broken::not_xml(at + bad, why))
    }

    fn declare(&mut self, prefix: &'a str, attribute: &Attribute<'a>, outer: usize) -> Result<(), Broken> {
        let at = attribute.at;
        let own = self.declarations.get(outer..).unwrap_or_default();
        if own.iter().any(|declaration| declaration.prefix == prefix) {
            return Err(Broken::not_xml(at, "the attribute is repeated"));
        }
        let namespace = Namespace::of(&text::unescape(attribute.raw));
        let reserved = matches!(prefix, "xml" | "xmlns") || namespace == Namespace::Xml;
        if reserved || (namespace == Namespace::None && !prefix.is_empty()) {
            return Err(Broken::not_xml(at, "this namespace cannot be declared so"));
        }
        if self.declarations.len() >= MAX_DECLARATIONS {
            let details = format!("At most {MAX_DECLARATIONS} namespace declarations may hold at one place.");
            return Err(Broken { at, code: IssueType::TooCostly, details });
        }
        self.declarations.push(Declaration { prefix, namespace });
        Ok(())
    }

    fn resolve_attribute(&self, attributes: &mut [Attribute<'a>], index: usize) -> Result<(), Broken> {
        let (before, rest) = attributes.split_at_mut(index);
        let Some(attribute) = rest.first_mut() else { return Ok(()) };
        if before.iter().any(|other| (other.prefix, other.name) == (attribute.prefix, attribute.name)) {
            return Err(Broken::not_xml(attribute.at, "the attribute is repeated"));
        }
        // The default namespace is not that of attributes.
        if !attribute.prefix.is_empty() {
            attribute.namespace = self.resolve(attribute.prefix, attribute.at)?.0;
        }
        Ok(())
    }

    /// The namespace of a prefix, and which declaration says so.
    fn resolve(&self, prefix: &str, at: usize) -> Result<(Namespace, Option<usize>), Broken> {
        let found = self.declarations.iter().rposition(|declaration| declaration.prefix == prefix);
        match found.and_then(|index| self.declarations.get(index)) {
            Some(declaration) => Ok((declaration.namespace, found)),
            None if prefix == "xml" => Ok((Namespace::Xml, None)),
            None if prefix.is_empty() => Ok((Namespace::None, None)),
            None => Err(Broken::not_xml(at, "the prefix of this name is not declared")),
        }
    }

    /// A part of the text as the text's own.
    fn own(&self, part: &[u8]) -> &'a str {
        let at = self.offset(part);
        self.text.get(at..at + part.len()).unwrap_or_default()
    }

    /// Where a part of the text begins.
    fn offset(&self, part: &[u8]) -> usize {
        part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr()).min(self.text.len())
    }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

/// Whether a text is a name without colon (<https://www.w3.org/TR/xml-names/#NT-NCName>; of the letters beyond ASCII,
/// all are taken).
fn is_name(text: &str, or_empty: bool) -> bool {
    let is_start = |char: char| char.is_ascii_alphabetic() || char == '_' || !char.is_ascii();
    let is_part = |char: char| is_start(char) || char.is_ascii_digit() || matches!(char, '-' | '.');
    text.chars().next().map_or(or_empty, is_start) && text.chars().all(is_part)
}

fn reason(error: &quick_xml::Error) -> String {
    let text = error.to_string();
    let mut end = text.len().min(160);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().chars().flat_map(char::escape_debug).collect()
}
