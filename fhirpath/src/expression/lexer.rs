//! Text to tokens, as the grammar of FHIRPath N1 has them
//! (<https://hl7.org/fhirpath/N1/grammar.html>). Knows no precedence and no meaning; keywords are identifiers here.

use std::borrow::Cow;

/// A token and where it begins, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub kind: TokenKind<'a>,
    pub start: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind<'a> {
    /// A bare identifier, which may be a keyword (`name`, `and`, `true`).
    Word(&'a str),
    /// An identifier in back quotes (or, as FHIR R4 had it, double quotes), unescaped.
    Delimited(Cow<'a, str>),
    /// A string literal, unescaped.
    String(Cow<'a, str>),
    /// `12`, `1.50`.
    Number(&'a str),
    /// `@2015-02`, `@2015-02-04T14:34`, `@T14:34`, with the `@`.
    Temporal(&'a str),
    /// `$this`, `$index`, `$total`, with the `$`.
    Variable(&'a str),
    /// `(`, `!=`, `|` ...
    Symbol(&'static str),
    /// After the last token.
    End,
}

/// Why a text has no tokens: a sentence, and the byte it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LexicalError {
    pub message: String,
    pub at: usize,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 22] = [
    "<=", ">=", "!=", "!~", ".", ",", "(", ")", "[", "]", "{", "}", "+", "-", "*", "/", "|", "&", "<", ">",
    "=", "~",
];

/// All tokens of `text`, the last being [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, LexicalError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut out = Vec::new();
    loop {
        lexer.skip_blank()?;
        let start = lexer.at;
        let kind = lexer.token()?;
        let last = kind == TokenKind::End;
        out.push(Token { kind, start });
        if last {
            return Ok(out);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, LexicalError> {
        Err(LexicalError { message: message.into(), at: self.at })
    }

    /// White space and comments.
    fn skip_blank(&mut self) -> Result<(), LexicalError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
            } else if let Some(body) = trimmed.strip_prefix("/*") {
                match body.find("*/") {
                    Some(end) => self.at += end + 4,
                    None => return self.fail("this comment is not closed with */"),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<TokenKind<'a>, LexicalError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(TokenKind::End) };
        match first {
            'A'..='Z' | 'a'..='z' | '_' => Ok(TokenKind::Word(self.take(word_length(rest)))),
            '0'..='9' => Ok(TokenKind::Number(self.take(number_length(rest)))),
            '\'' => Ok(TokenKind::String(self.quoted('\'')?)),
            '`' | '"' => Ok(TokenKind::Delimited(self.quoted(first)?)),
            '@' => self.temporal(),
            '$' => self.variable(),
            '%' => {
                self.at += 1;
                Ok(TokenKind::Symbol("%"))
            }
            _ => self.symbol(first),
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = self.rest().get(..length).unwrap_or("");
        self.at += taken.len();
        taken
    }

    fn symbol(&mut self, first: char) -> Result<TokenKind<'a>, LexicalError> {
        let rest = self.rest();
        match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(TokenKind::Symbol(symbol))
            }
            None => self.fail(format!("the character '{}' has no meaning here", first.escape_default())),
        }
    }

    fn variable(&mut self) -> Result<TokenKind<'a>, LexicalError> {
        let length = 1 + word_length(self.rest().get(1..).unwrap_or(""));
        match self.rest().get(..length) {
            Some("$this" | "$index" | "$total") => Ok(TokenKind::Variable(self.take(length))),
            _ => self.fail("expected $this, $index or $total"),
        }
    }

    fn temporal(&mut self) -> Result<TokenKind<'a>, LexicalError> {
        let length = 1 + temporal_length(self.rest().as_bytes().get(1..).unwrap_or(&[]));
        if length == 1 {
            return self.fail("expected a date, a date and time, or a time after @");
        }
        Ok(TokenKind::Temporal(self.take(length)))
    }

    /// The content between two `quote`s, escapes undone.
    fn quoted(&mut self, quote: char) -> Result<Cow<'a, str>, LexicalError> {
        let body = self.rest().get(1..).unwrap_or("");
        let plain = body.find([quote, '\\']).unwrap_or(body.len());
        let mut out = Cow::Borrowed(body.get(..plain).unwrap_or(""));
        let mut chars = body.get(plain..).unwrap_or("").char_indices();
        while let Some((offset, c)) = chars.next() {
            if c == quote {
                self.at += 1 + plain + offset + c.len_utf8();
                return Ok(out);
            }
            if c != '\\' {
                out.to_mut().push(c);
                continue;
            }
            let at = self.at + 1 + plain + offset;
            match unescape(&mut chars) {
                Some(meant) => out.to_mut().push(meant),
                None => {
                    self.at = at;
                    return self.fail("this escape is none of \\' \\\" \\` \\\\ \\/ \\f \\n \\r \\t \\uXXXX");
                }
            }
        }
        self.fail(format!("the closing {quote} is missing"))
    }
}

/// The character that an escape stands for; `chars` is after the backslash. Two `\u` that form a surrogate pair are one.
fn unescape(chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    Some(match chars.next()?.1 {
        c @ ('\'' | '"' | '`' | '\\' | '/') => c,
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = hexadecimal(chars)?;
            if !(0xd800..0xdc00).contains(&first) {
                return char::from_u32(first);
            }
            if (chars.next()?.1, chars.next()?.1) != ('\\', 'u') {
                return None;
            }
            let second = hexadecimal(chars)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)?
        }
        _ => return None,
    })
}

fn hexadecimal(chars: &mut std::str::CharIndices<'_>) -> Option<u32> {
    (0..4).try_fold(0, |value, _| Some(value * 16 + chars.next()?.1.to_digit(16)?))
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn number_length(text: &str) -> usize {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits(text);
    let fraction = text.get(whole..).and_then(|rest| rest.strip_prefix('.')).map_or(0, digits);
    if fraction == 0 { whole } else { whole + 1 + fraction }
}

/// How many bytes have the shape `YYYY-MM-DDThh:mm:ss.fff+zz:zz`, which may stop early, or `Thh:mm:ss.fff`.
fn temporal_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    if digits_at(bytes, at, 4) {
        at += 4;
        for _ in 0..2 {
            if bytes.get(at) == Some(&b'-') && digits_at(bytes, at + 1, 2) {
                at += 3;
            } else {
                break;
            }
        }
    }
    if bytes.get(at) != Some(&b'T') {
        return at;
    }
    let dated = at > 0;
    at += 1;
    if !digits_at(bytes, at, 2) {
        return at;
    }
    at += 2;
    for _ in 0..2 {
        if bytes.get(at) == Some(&b':') && digits_at(bytes, at + 1, 2) {
            at += 3;
        } else {
            break;
        }
    }
    if bytes.get(at) == Some(&b'.') && digits_at(bytes, at + 1, 1) {
        at += 1;
        while digits_at(bytes, at, 1) {
            at += 1;
        }
    }
    match bytes.get(at) {
        Some(b'Z') if dated => at + 1,
        Some(b'+' | b'-')
            if dated
                && digits_at(bytes, at + 1, 2)
                && bytes.get(at + 3) == Some(&b':')
                && digits_at(bytes, at + 4, 2) =>
        {
            at + 6
        }
        _ => at,
    }
}

fn digits_at(bytes: &[u8], at: usize, count: usize) -> bool {
    bytes.get(at..at + count).is_some_and(|found| found.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[TokenKind]) {
        let found: Vec<_> = tokens(text).unwrap().into_iter().map(|token| token.kind).collect();
        let mut expected = expected.to_vec();
        expected.push(TokenKind::End);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn tokens_are_separated() {
        use TokenKind::*;
        check("a.b12", &[Word("a"), Symbol("."), Word("b12")]);
        check("a // x\n /* . */ !=1", &[Word("a"), Symbol("!="), Number("1")]);
        check("1.5.x", &[Number("1.5"), Symbol("."), Word("x")]);
        check("1.x", &[Number("1"), Symbol("."), Word("x")]);
        check(r"'it\'s\u0041'", &[String("it'sA".into())]);
        check(r"'\ud83d\ude00'", &[String("😀".into())]);
        check("`a b`", &[Delimited("a b".into())]);
        check("@2015-02-04T14:34:28.5+09:00", &[Temporal("@2015-02-04T14:34:28.5+09:00")]);
        check("@2015-1", &[Temporal("@2015"), Symbol("-"), Number("1")]);
        check("@T14:30Z", &[Temporal("@T14:30"), Word("Z")]);
        check("@2015T", &[Temporal("@2015T")]);
        check("%context", &[Symbol("%"), Word("context")]);
        check("$this[0]", &[Variable("$this"), Symbol("["), Number("0"), Symbol("]")]);
    }

    #[test]
    fn refusals_name_the_place() {
        let check = |text, message: &str, at| {
            assert_eq!(tokens(text).unwrap_err(), LexicalError { message: message.to_owned(), at }, "{text}");
        };
        check("a /* b", "this comment is not closed with */", 2);
        check("x = 'a", "the closing ' is missing", 4);
        check(r"'ab\q'", r#"this escape is none of \' \" \` \\ \/ \f \n \r \t \uXXXX"#, 3);
        check(r"'\ud83d'", r#"this escape is none of \' \" \` \\ \/ \f \n \r \t \uXXXX"#, 1);
        check("a # b", "the character '#' has no meaning here", 2);
        check("$that", "expected $this, $index or $total", 0);
        check("@x", "expected a date, a date and time, or a time after @", 0);
    }
}
