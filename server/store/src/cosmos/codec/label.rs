//! The text of `e`: how a body is written. A letter; then, where the bytes are encrypted, a full stop and the id of the key;
//! then `@` where they are a blob's.

use std::fmt;

use keys::KeyId;

/// How the bytes before encryption are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `p`: the body itself.
    Plain,
    /// `a`: compressed with dictionary `a`.
    Whole,
    /// `b`: the same, without the head that the document says anyway.
    Headless,
}

/// `e`, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    pub form: Form,
    pub key: Option<KeyId>,
    pub in_blob: bool,
}

impl Label {
    /// `None` for a text that is never written.
    pub(super) fn parse(text: &str) -> Option<Label> {
        let (text, in_blob) = match text.strip_suffix('@') {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (letter, key) = match text.split_once('.') {
            Some((letter, id)) => (letter, Some(KeyId::parse(id)?)),
            None => (text, None),
        };
        let form = match letter {
            "p" => Form::Plain,
            "a" => Form::Whole,
            "b" => Form::Headless,
            _ => return None,
        };
        Some(Label { form, key, in_blob })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.form {
            Form::Plain => "p",
            Form::Whole => "a",
            Form::Headless => "b",
        })?;
        if let Some(key) = self.key {
            write!(f, ".{key}")?;
        }
        f.write_str(if self.in_blob { "@" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_and_others_are_refused() {
        for text in ["p", "a", "b", "a@", "b@", "p@", "p.0123abcd", "b.0123abcd", "b.0123abcd@"] {
            assert_eq!(Label::parse(text).map(|label| label.to_string()).as_deref(), Some(text));
        }
        for text in ["", "q", "@", "a@@", "ab", "a.", "a.0123ABCD", "a.0123abc", "a.0123abcde", "a@.0123abcd"]
        {
            assert_eq!(Label::parse(text), None, "{text}");
        }
    }
}
