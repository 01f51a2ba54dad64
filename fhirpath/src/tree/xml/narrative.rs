//! The narrative's `div` in XML: whether its markup can stand as it is where JSON holds it as a text. Whether it keeps FHIR's
//! rules of XHTML is validation's concern.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::source::{Broken, Namespace, Source, Tag, Token};
use crate::issue::IssueType;

/// Reads on to the end of a `div`, whose start tag was read, and says whether its markup means the same by itself:
/// every prefix and the default namespace are declared inside.
pub(super) fn walk(source: &mut Source<'_>, div: &Tag<'_>, is_empty: bool) -> Result<bool, Broken> {
    let mut by_itself = div.is_declared_in(div);
    check_attributes(div)?;
    let mut open = Vec::new();
    let mut done = is_empty;
    while !done {
        match source.next()? {
            Token::Start(start, is_empty) => {
                let tag = source.tag(&start)?;
                if tag.namespace != Namespace::Xhtml {
                    return Err(foreign(tag.at, "element"));
                }
                check_attributes(&tag)?;
                by_itself &= tag.is_declared_in(div);
                if is_empty {
                    source.leave(tag.outer);
                } else {
                    open.push(tag.outer);
                }
            }
            Token::End => match open.pop() {
                Some(outer) => source.leave(outer),
                None => done = true,
            },
            Token::Text => {
                if let Some(at) =
                    source.passed().find("]]>").filter(|_| !source.passed().starts_with("<![CDATA["))
                {
                    return Err(Broken::not_xml(source.at + at, "']]>' in a text is written as ]]&gt;"));
                }
            }
            Token::Eof => return Err(Broken::not_xml(source.at, "the div is not closed")),
        }
    }
    Ok(by_itself)
}

fn check_attributes(tag: &Tag<'_>) -> Result<(), Broken> {
    let known = |namespace| matches!(namespace, Namespace::None | Namespace::Xml);
    match tag.attributes.iter().find(|attribute| !known(attribute.namespace)) {
        Some(attribute) => Err(foreign(attribute.at, "attribute")),
        None => Ok(()),
    }
}

fn foreign(at: usize, what: &str) -> Broken {
    let details =
        format!("The {what} is not XHTML: in a narrative all are in the namespace {}.", super::XHTML);
    Broken { at, code: IssueType::Structure, details }
}

/// The markup of a `div` that was found good, without prefixes and with its own declaration of the namespace.
pub(super) fn rewritten(markup: &str) -> String {
    let mut reader = Reader::from_str(markup);
    let mut out = String::with_capacity(markup.len() + 48);
    let local = |name: &[u8]| {
        let name = String::from_utf8_lossy(name);
        name.split_once(':').map_or_else(|| name.clone().into_owned(), |(_, local)| local.to_owned())
    };
    let mut start = 0;
    let mut is_first = true;
    loop {
        let event = reader.read_event();
        let end = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let close = if matches!(event, Ok(Event::Empty(_))) { "/>" } else { ">" };
        match event {
            Ok(Event::Start(tag) | Event::Empty(tag)) => {
                out.push('<');
                out.push_str(&local(tag.name().as_ref()));
                if std::mem::replace(&mut is_first, false) {
                    out.push_str(&format!(" xmlns=\"{}\"", super::XHTML));
                }
                for attribute in tag.attributes().with_checks(false).flatten() {
                    let key = String::from_utf8_lossy(attribute.key.as_ref());
                    if key != "xmlns" && !key.starts_with("xmlns:") {
                        let value = String::from_utf8_lossy(&attribute.value);
                        let quote = if value.contains('"') { '\'' } else { '"' };
                        out.push_str(&format!(" {key}={quote}{value}{quote}"));
                    }
                }
                out.push_str(close);
            }
            Ok(Event::End(tag)) => out.push_str(&format!("</{}>", local(tag.name().as_ref()))),
            Ok(Event::Eof) | Err(_) => return out,
            Ok(_) => out.push_str(markup.get(start..end).unwrap_or_default()),
        }
        start = end;
    }
}

/// What keeps a text from being written as a `div`, if anything does.
pub(super) fn fault(markup: &str) -> Option<String> {
    let why = match check(markup) {
        Ok(true) => return None,
        Ok(false) => "its namespace is not declared, or it has something beside a div".to_owned(),
        Err(broken) => broken.details,
    };
    Some(why)
}

fn check(markup: &str) -> Result<bool, Broken> {
    if let Some((at, _)) = super::text::forbidden(markup) {
        return Err(Broken::not_xml(at, "a character is not allowed"));
    }
    let mut source = Source::new(markup);
    // No declaration, comment or instruction before it: it will stand in another document.
    if !markup.starts_with("<div") {
        return Ok(false);
    }
    let Token::Start(start, is_empty) = source.next()? else { return Ok(false) };
    let div = source.tag(&start)?;
    let is_div = div.name == "div" && div.namespace == Namespace::Xhtml;
    Ok(is_div && walk(&mut source, &div, is_empty)? && source.position() == markup.len())
}
