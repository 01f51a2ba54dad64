//! Whether a narrative keeps FHIR's rules of XHTML (<https://hl7.org/fhir/R4/narrative.html#xhtml>): one `div` in the
//! namespace of XHTML, well formed, of the elements and attributes that are allowed, and something to read in it.

const NAMESPACE: &str = "http://www.w3.org/1999/xhtml";
/// Deepest nesting of elements.
const MAX_DEPTH: usize = 200;

/// HTML 4.0 without chapters on scripts, forms and frames.
const ELEMENTS: &str = " a abbr acronym address area b big blockquote bdo br caption cite code col colgroup dd del dfn \
    div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li map ol p pre q samp small span strong sub sup table tbody td \
    tfoot th thead tr tt ul var ";
/// On any element.
const ATTRIBUTES: &str = " accesskey class dir id lang style tabindex title xml:lang xml:space xmlns ";
/// On some.
const OWN_ATTRIBUTES: [(&str, &str); 20] = [
    ("a", " charset coords href hreflang name rel rev shape target type "),
    ("area", " alt coords href nohref shape "),
    ("blockquote", " cite "),
    ("col", " align char charoff span valign width "),
    ("colgroup", " align char charoff span valign width "),
    ("del", " cite datetime "),
    ("div", " align "),
    ("hr", " align noshade size width "),
    ("img", " align alt border height hspace ismap longdesc name src usemap vspace width "),
    ("ins", " cite datetime "),
    ("li", " type value "),
    ("map", " name "),
    ("ol", " compact start type "),
    ("q", " cite "),
    ("table", " align bgcolor border cellpadding cellspacing frame rules summary width "),
    ("tbody", " align char charoff valign "),
    ("td", " abbr align axis bgcolor char charoff colspan headers height nowrap rowspan scope valign width "),
    ("th", " abbr align axis bgcolor char charoff colspan headers height nowrap rowspan scope valign width "),
    ("thead", " align char charoff valign "),
    ("tr", " align bgcolor char charoff valign "),
];

fn is_in(list: &str, name: &str) -> bool {
    !name.is_empty() && list.split(' ').any(|known| known == name)
}

/// Whether a `div` is a narrative.
pub(super) fn is_narrative(text: &str) -> bool {
    narrative_fault(text).is_none()
}

/// What is wrong with a `div` that is no narrative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NarrativeFault {
    /// A rule of XHTML in FHIR is broken shortly before this part of the text.
    Markup(String),
    /// There is nothing to read in it.
    Empty,
}

/// What keeps a text from being a narrative, if anything does.
pub fn narrative_fault(text: &str) -> Option<NarrativeFault> {
    let mut scanner = Scanner { rest: text.trim(), open: Vec::new(), has_content: false };
    if scanner.document().is_none() {
        return Some(NarrativeFault::Markup(scanner.rest.chars().take(30).collect()));
    }
    (!scanner.has_content).then_some(NarrativeFault::Empty)
}

struct Scanner<'m> {
    rest: &'m str,
    open: Vec<&'m str>,
    has_content: bool,
}

impl<'m> Scanner<'m> {
    /// `None` where a rule is broken.
    fn document(&mut self) -> Option<()> {
        if !self.rest.starts_with("<div") {
            return None;
        }
        loop {
            if let Some(comment) = self.rest.strip_prefix("<!--") {
                self.rest = comment.split_once("-->")?.1;
            } else if let Some(tag) = self.rest.strip_prefix("</") {
                let (name, rest) = tag.split_once('>')?;
                self.rest = rest;
                if self.open.pop()? != name.trim_end() {
                    return None;
                }
                if self.open.is_empty() {
                    return self.rest.is_empty().then_some(());
                }
            } else if let Some(tag) = self.rest.strip_prefix('<') {
                self.rest = tag;
                self.start_tag()?;
                if self.open.is_empty() {
                    return self.rest.is_empty().then_some(());
                }
            } else {
                let end = self.rest.find('<')?;
                let (text, rest) = self.rest.split_at_checked(end)?;
                self.has_content |= !text.trim().is_empty();
                has_whole_references(text).then_some(())?;
                self.rest = rest;
            }
        }
    }

    /// What follows `<`; a tag that closes itself opens nothing.
    fn start_tag(&mut self) -> Option<()> {
        let is_root = self.open.is_empty();
        let name = self.name()?;
        if !is_in(ELEMENTS, name) || self.open.len() >= MAX_DEPTH {
            return None;
        }
        self.has_content |= name == "img";
        let mut namespace = None;
        let mut known: Vec<&str> = Vec::new();
        loop {
            let before = self.rest.len();
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix("/>") {
                self.rest = rest;
                break;
            }
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                self.open.push(name);
                break;
            }
            let (attribute, value) = (self.name()?, self.value()?);
            let is_separate = self.rest.len() < before && !known.contains(&attribute);
            if !is_separate || !is_allowed(name, attribute, value) {
                return None;
            }
            if attribute == "xmlns" {
                namespace = Some(value);
            }
            known.push(attribute);
        }
        match namespace {
            Some(namespace) => (namespace == NAMESPACE).then_some(()),
            None => (!is_root).then_some(()),
        }
    }

    fn name(&mut self) -> Option<&'m str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_');
        let end = self.rest.find(|c: char| !is_part(c))?;
        let (name, rest) = self.rest.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
        self.rest = rest;
        Some(name)
    }

    /// `="..."`
    fn value(&mut self) -> Option<&'m str> {
        let rest = self.rest.trim_start().strip_prefix('=')?.trim_start();
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, rest) = rest.get(1..)?.split_once(quote)?;
        self.rest = rest;
        (!value.contains('<') && has_whole_references(value)).then_some(value)
    }
}

fn is_allowed(element: &str, attribute: &str, value: &str) -> bool {
    let own = OWN_ATTRIBUTES.iter().find(|(name, _)| *name == element).map_or("", |(_, own)| own);
    let runs = value.trim_start().to_ascii_lowercase().starts_with("javascript:");
    (is_in(ATTRIBUTES, attribute) || is_in(own, attribute)) && !runs
}

/// Whether each `&` begins a character reference (`&amp;`, `&#160;`, `&#xA0;`).
fn has_whole_references(text: &str) -> bool {
    text.split('&').skip(1).all(|part| {
        let Some((name, _)) = part.split_once(';') else { return false };
        match name.strip_prefix('#') {
            Some(number) => match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).is_some(),
                None => number.parse().ok().and_then(char::from_u32).is_some(),
            },
            // XML knows no others, and there is no DTD.
            None => matches!(name, "amp" | "lt" | "gt" | "quot" | "apos"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_narratives() {
        let div = |inner: &str| format!("<div xmlns=\"{NAMESPACE}\">{inner}</div>");
        for inner in [
            "a",
            "<p>a &amp; b&#160;c<br/></p>",
            "<!-- x --><table class='t' border=\"1\"><tr><td colspan=\"2\">x</td></tr></table>",
            "<a href=\"#x\" name=\"y\">z</a><img src=\"#a\" alt=\"b\"/>",
            "<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>",
            "<div>nested</div>",
        ] {
            assert!(is_narrative(&div(inner)), "{inner}");
        }
        for inner in [
            "",
            " \n ",
            "<script>x</script>",
            "<p onclick=\"x()\">a</p>",
            "<a href=\"javascript:x()\">a</a>",
            "<p>a",
            "<p>a</b></p>",
            "<form>a</form>",
            "<object>a</object>",
            "<p class=x>a</p>",
            "<p class=\"a\" class=\"b\">a</p>",
            "a & b",
            "a &#xD800; b",
            "<p xmlns=\"urn:other\">a</p>",
            "<P>a</P>",
        ] {
            assert!(!is_narrative(&div(inner)), "{inner}");
        }
        for text in
            ["<div>a</div>", "a", "", "<p xmlns=\"http://www.w3.org/1999/xhtml\">a</p>", "<div", "<div xmlns"]
        {
            assert!(!is_narrative(text), "{text}");
        }
        assert!(!is_narrative(&div(&("<p>".repeat(300) + "a" + &"</p>".repeat(300)))));
        assert!(!is_narrative(&format!("{}<p>b</p>", div("a"))));
    }
}
