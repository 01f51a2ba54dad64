//! JSON as people read it: the tokens of a stored resource, and the same text with line breaks and indentation.
//! Takes the JSON as valid, since the store wrote it; of anything else it makes readable nonsense, never a panic.

/// A token of JSON, its text as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'j> {
    /// `{` or `[`.
    Open(char),
    /// `}` or `]`.
    Close(char),
    /// A string that names a property, without quotes, escapes kept.
    Name(&'j str),
    /// A string that is a value, without quotes, escapes kept.
    Text(&'j str),
    /// A number, true, false or null.
    Bare(&'j str),
    /// `,`.
    Comma,
}

/// The tokens of a JSON text.
pub struct Tokens<'j> {
    rest: &'j str,
}

impl<'j> Tokens<'j> {
    /// Those of a text.
    pub fn of(json: &'j str) -> Tokens<'j> {
        Tokens { rest: json }
    }

    fn take(&mut self, length: usize) -> &'j str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn string(&mut self) -> Token<'j> {
        let mut escaped = false;
        let end = self.rest.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let text = self.take(end.unwrap_or(self.rest.len()));
        self.take(1);
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(':') {
            Some(rest) => {
                self.rest = rest;
                Token::Name(text)
            }
            None => Token::Text(text),
        }
    }
}

impl<'j> Iterator for Tokens<'j> {
    type Item = Token<'j>;

    fn next(&mut self) -> Option<Token<'j>> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        Some(match first {
            '{' | '[' => {
                self.take(1);
                Token::Open(first)
            }
            '}' | ']' => {
                self.take(1);
                Token::Close(first)
            }
            ',' => {
                self.take(1);
                Token::Comma
            }
            '"' => {
                self.take(1);
                self.string()
            }
            _ => {
                let end = self.rest.find([',', '}', ']', '{', '[', '"', ' ', '\n', '\r', '\t']);
                Token::Bare(self.take(end.unwrap_or(self.rest.len()).max(first.len_utf8())))
            }
        })
    }
}

/// The same JSON with two spaces of indentation for each level.
pub fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut layout = Layout::default();
    for token in Tokens::of(json) {
        layout.before(token, &mut out);
        match token {
            Token::Open(c) | Token::Close(c) => out.push(c),
            Token::Comma => out.push(','),
            Token::Bare(text) => out.push_str(text),
            Token::Text(text) => quoted(text, &mut out),
            Token::Name(text) => {
                quoted(text, &mut out);
                out.push_str(": ");
            }
        }
    }
    out.push('\n');
    out
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}

/// Where line breaks go.
#[derive(Default)]
pub struct Layout {
    depth: usize,
    after: After,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum After {
    Open,
    Comma,
    #[default]
    Other,
}

impl Layout {
    /// Writes the white space before a token.
    pub fn before(&mut self, token: Token<'_>, out: &mut String) {
        let closes = matches!(token, Token::Close(_));
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        let breaks = match self.after {
            After::Open => !closes,
            After::Comma => true,
            After::Other => closes,
        };
        if breaks {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", self.depth));
        }
        self.after = match token {
            Token::Open(_) => After::Open,
            Token::Comma => After::Comma,
            _ => After::Other,
        };
        if matches!(token, Token::Open(_)) {
            self.depth += 1;
        }
    }
}

/// The text of a string token with its escapes undone.
pub fn unescaped(text: &str) -> String {
    serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_printed() {
        let json = r#"{"resourceType":"Patient","a":[],"b":{},"c":[1.10,"x\"}{,",null],"d":{"e":true}}"#;
        let expected = "{\n  \"resourceType\": \"Patient\",\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1.10,\n    \"x\\\"}{,\",\n    null\n  ],\n  \"d\": {\n    \"e\": true\n  }\n}\n";
        assert_eq!(pretty(json), expected);
        assert_eq!(pretty(&pretty(json)), expected);
    }

    #[test]
    fn nothing_is_too_broken() {
        for json in ["", "{", "}", "]]]]", "\"", "\"\\", "{\"a\"", "é", "\u{0}", "}{,:::\"\\\"", "a:b"] {
            let _ = pretty(json);
        }
        assert_eq!(unescaped(r"O\u0027Brien \u00e9"), "O'Brien é");
    }
}
