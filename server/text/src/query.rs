//! What `_text` and `_content` ask (<https://hl7.org/fhir/R4/search.html#text>): words, `begin*`, phrases in quotes, AND, OR,
//! NOT and parentheses. NOT binds closest, then AND, then OR; words beside each other must all be there. Case and accents
//! count for nothing. Runs nothing.

use crate::words::{MAX_WORD_BYTES, each_word};

/// Most words of a query.
pub const MAX_WORDS: usize = 100;
/// How deep parentheses may stand in each other.
pub const MAX_DEPTH: usize = 20;

/// Which texts of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Those of the narrative (`_text`).
    Narrative,
    /// All (`_content`).
    Content,
}

/// A query of one part, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextQuery {
    /// Of which texts.
    pub part: Part,
    /// What.
    pub(crate) expression: Expression,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// These words, one after the other; folded, at least one.
    Words(Vec<String>),
    /// A word that begins so; folded.
    Prefix(String),
    /// All of these.
    All(Vec<Expression>),
    /// Any of these.
    Any(Vec<Expression>),
    /// Where this is not.
    Not(Box<Expression>),
}

/// Why a text is no query. Places are characters, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Something else should stand somewhere.
    #[error("{expected} is expected")]
    Expected {
        /// Where.
        at: usize,
        /// What.
        expected: &'static str,
    },
    /// A word that has no letter and no digit.
    #[error("There is no letter and no digit to look for")]
    NoWord {
        /// Where.
        at: usize,
    },
    /// A `*` that does not stand at the end of one word.
    #[error("* stands for the end of a word; it can only follow the beginning of one word, outside quotes")]
    Wildcard {
        /// Where the word or phrase begins.
        at: usize,
    },
    /// A word that no index has.
    #[error("A word may have {MAX_WORD_BYTES} bytes; this one has more")]
    LongWord {
        /// Where.
        at: usize,
    },
    /// More than [`MAX_WORDS`].
    #[error("A query may have {MAX_WORDS} words; this one has more")]
    TooManyWords {
        /// Where the first that is too many stands.
        at: usize,
    },
    /// More than [`MAX_DEPTH`].
    #[error("Parentheses may stand {MAX_DEPTH} deep in each other; these stand deeper")]
    TooDeep {
        /// Where the one that is too deep stands.
        at: usize,
    },
}

impl QueryError {
    /// Where it was met: a character, counted from 1.
    pub fn at(&self) -> usize {
        match *self {
            QueryError::Expected { at, .. }
            | QueryError::NoWord { at }
            | QueryError::Wildcard { at }
            | QueryError::LongWord { at }
            | QueryError::TooManyWords { at }
            | QueryError::TooDeep { at } => at,
        }
    }

    /// Whether it is a limit.
    pub fn is_limit(&self) -> bool {
        matches!(self, QueryError::TooManyWords { .. } | QueryError::TooDeep { .. })
    }
}

impl TextQuery {
    /// Scores of several queries as one.
    pub fn together(scores: impl IntoIterator<Item = f32>) -> Option<f32> {
        let (sum, count) =
            scores.into_iter().fold((0.0, 0.0), |(sum, count), score| (sum + score, count + 1.0));
        (count > 0.0).then(|| sum / count)
    }

    /// Reads a query of a part.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(part: Part, text: &str) -> Result<TextQuery, QueryError> {
        let pieces = pieces(text)?;
        let mut reader = Reader { pieces: &pieces, next: 0, end: text.chars().count() + 1, depth: 0 };
        let expression = reader.any()?;
        match reader.peek() {
            None => Ok(TextQuery { part, expression }),
            Some(_) => Err(reader.expected("A word or the end")),
        }
    }

    /// What fulfils any of some queries of one part; `None` without any.
    pub fn any(queries: Vec<TextQuery>) -> Option<TextQuery> {
        let part = queries.first()?.part;
        let parts = queries.into_iter().map(|query| query.expression).collect();
        Some(TextQuery { part, expression: one_or(parts, Expression::Any) })
    }
}

#[derive(Debug, PartialEq)]
enum Piece {
    Operand(Expression),
    And,
    Or,
    Not,
    Open,
    Close,
}

/// The text in pieces, each with its place.
fn pieces(text: &str) -> Result<Vec<(usize, Piece)>, QueryError> {
    let (mut found, mut count) = (Vec::new(), 0);
    let mut characters = text.chars().enumerate().map(|(at, c)| (at + 1, c)).peekable();
    while let Some((at, first)) = characters.next() {
        let piece = match first {
            _ if first.is_whitespace() => continue,
            '(' => Piece::Open,
            ')' => Piece::Close,
            '"' => {
                let mut phrase = String::new();
                loop {
                    match characters.next() {
                        Some((_, '"')) => break,
                        Some((_, c)) => phrase.push(c),
                        None => {
                            return Err(QueryError::Expected { at, expected: "A phrase that ends in \"" });
                        }
                    }
                }
                if phrase.contains('*') {
                    return Err(QueryError::Wildcard { at });
                }
                Piece::Operand(Expression::Words(words(&phrase, at)?))
            }
            _ => {
                let mut word = String::from(first);
                while let Some((_, c)) =
                    characters.next_if(|(_, c)| !c.is_whitespace() && !"()\"".contains(*c))
                {
                    word.push(c);
                }
                match word.to_ascii_uppercase().as_str() {
                    "AND" => Piece::And,
                    "OR" => Piece::Or,
                    "NOT" => Piece::Not,
                    _ => Piece::Operand(operand(&word, at)?),
                }
            }
        };
        count += match &piece {
            Piece::Operand(Expression::Words(words)) => words.len(),
            Piece::Operand(_) => 1,
            _ => 0,
        };
        if count > MAX_WORDS {
            return Err(QueryError::TooManyWords { at });
        }
        found.push((at, piece));
    }
    Ok(found)
}

/// A word as it stands outside quotes: several, if it is joined by what is no letter.
fn operand(word: &str, at: usize) -> Result<Expression, QueryError> {
    let Some(start) = word.strip_suffix('*') else {
        return match word.contains('*') {
            true => Err(QueryError::Wildcard { at }),
            false => words(word, at).map(Expression::Words),
        };
    };
    let mut only = words(start, at)?.into_iter();
    let ends_in_word = start.chars().next_back().is_some_and(char::is_alphanumeric);
    match (only.next(), only.next()) {
        (Some(start), None) if ends_in_word && !word.trim_end_matches('*').contains('*') => {
            Ok(Expression::Prefix(start))
        }
        _ => Err(QueryError::Wildcard { at }),
    }
}

fn words(text: &str, at: usize) -> Result<Vec<String>, QueryError> {
    let mut words = Vec::new();
    let mut last = None;
    each_word(text, |place, word| {
        words.push(word.to_owned());
        last = Some(place);
    });
    let runs = text.split(|c: char| !c.is_alphanumeric());
    if runs.into_iter().any(|run| run.len() > MAX_WORD_BYTES) {
        return Err(QueryError::LongWord { at });
    }
    if words.is_empty() { Err(QueryError::NoWord { at }) } else { Ok(words) }
}

struct Reader<'p> {
    pieces: &'p [(usize, Piece)],
    next: usize,
    /// The place behind the last character.
    end: usize,
    depth: usize,
}

impl<'p> Reader<'p> {
    fn peek(&self) -> Option<&'p Piece> {
        self.pieces.get(self.next).map(|(_, piece)| piece)
    }

    fn at(&self) -> usize {
        self.pieces.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn take(&mut self, piece: &Piece) -> bool {
        let found = self.peek() == Some(piece);
        self.next += usize::from(found);
        found
    }

    fn expected(&self, expected: &'static str) -> QueryError {
        QueryError::Expected { at: self.at(), expected }
    }

    fn any(&mut self) -> Result<Expression, QueryError> {
        let mut parts = vec![self.all()?];
        while self.take(&Piece::Or) {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, QueryError> {
        let mut parts = vec![self.not()?];
        loop {
            let and = self.take(&Piece::And);
            if !and && !matches!(self.peek(), Some(Piece::Operand(_) | Piece::Not | Piece::Open)) {
                return Ok(one_or(parts, Expression::All));
            }
            parts.push(self.not()?);
        }
    }

    fn not(&mut self) -> Result<Expression, QueryError> {
        if self.take(&Piece::Not) {
            return Ok(Expression::Not(Box::new(self.operand()?)));
        }
        self.operand()
    }

    fn operand(&mut self) -> Result<Expression, QueryError> {
        if let Some(Piece::Operand(expression)) = self.peek() {
            self.next += 1;
            return Ok(expression.clone());
        }
        let at = self.at();
        if !self.take(&Piece::Open) {
            return Err(self.expected("A word, a phrase or ("));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(QueryError::TooDeep { at });
        }
        let inner = self.any()?;
        self.depth -= 1;
        if self.take(&Piece::Close) { Ok(inner) } else { Err(self.expected(")")) }
    }
}

fn one_or(mut parts: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            several(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(expression: &Expression) -> String {
        let joined = |parts: &[Expression], sign: &str| {
            format!("({})", parts.iter().map(written).collect::<Vec<_>>().join(sign))
        };
        match expression {
            Expression::Words(words) => words.join(" "),
            Expression::Prefix(start) => format!("{start}*"),
            Expression::All(parts) => joined(parts, " & "),
            Expression::Any(parts) => joined(parts, " | "),
            Expression::Not(inner) => format!("!{}", written(inner)),
        }
    }

    #[test]
    fn queries() {
        let check = |text: &str, expected: Result<&str, QueryError>| {
            let found = TextQuery::parse(Part::Content, text).map(|query| written(&query.expression));
            assert_eq!(found, expected.map(str::to_owned), "{text}");
        };
        check("Diabetes", Ok("diabetes"));
        check("(bone OR liver) and metastases", Ok("((bone | liver) & metastases)"));
        check("a b OR c not d", Ok("((a & b) | (c & !d))"));
        check("a AND b (c)", Ok("(a & b & c)"));
        check("\"Crème  Brûlée\" x", Ok("(creme brulee & x)"));
        check("covid-19", Ok("covid 19"));
        check("NOT (a)", Ok("!a"));
        check("not \"not\"", Ok("!not"));
        check("Diab*", Ok("diab*"));
        check("糖尿", Ok("糖 尿"));
        let word = "A word, a phrase or (";
        for (text, at, expected) in [
            ("", 1, word),
            ("a OR", 5, word),
            ("AND a", 1, word),
            ("a OR OR b", 6, word),
            ("not not a", 5, word),
            ("()", 2, word),
            ("(a", 3, ")"),
            ("a)", 2, "A word or the end"),
            ("a \"b", 3, "A phrase that ends in \""),
        ] {
            check(text, Err(QueryError::Expected { at, expected }));
        }
        for (text, at) in [("a ...", 3), ("\"\"", 1), ("*", 1)] {
            check(text, Err(QueryError::NoWord { at }));
        }
        for (text, at) in [("x d*ab", 3), ("*ab", 1), ("\"ab*\"", 1), ("a-b*", 1), ("ab**", 1), ("ab-*", 1)] {
            check(text, Err(QueryError::Wildcard { at }));
        }
        check(&format!("a {}", "x".repeat(101)), Err(QueryError::LongWord { at: 3 }));
        check(&"a ".repeat(101), Err(QueryError::TooManyWords { at: 201 }));
        check(&"(".repeat(21), Err(QueryError::TooDeep { at: 21 }));
    }
}
