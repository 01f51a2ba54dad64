//! Full-text search: texts of resources in, those found by words out, each with a score. Reads what `_text` and `_content`
//! ask (<https://hl7.org/fhir/R4/search.html#text>), and keeps an index of words in a directory, a copy of what a store has.
//! Knows no store and no HTTP; who calls says what changed.

mod evaluate;
mod extract;
mod fold;
mod index;
mod query;
mod search;
mod words;

pub use extract::{Texts, Unreadable, texts};
pub use fold::fold;
pub use index::{Change, Index, Position, Snapshot, TextError, Writer};
pub use query::{MAX_DEPTH, MAX_WORDS, Part, QueryError, TextQuery};
