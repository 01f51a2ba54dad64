//! The index of one directory: resources in and out by key, found by words. It is a copy of what a store has, as far as its
//! [`Position`] says, and may be thrown away at any time: one that is damaged or of another form is made anew, empty.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tantivy::directory::MmapDirectory;
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use tantivy::{
    IndexReader, IndexSettings, IndexWriter, ReloadPolicy, Searcher, TantivyDocument, TantivyError, Term,
};

use crate::query::Part;
use crate::words::each_word;
use crate::{Unreadable, texts};

/// Raised when the same resources give other documents than before, so that directories are made anew.
const FORM: u32 = 1;
/// The name of the tokenizer in the schema.
const WORDS: &str = "words";
/// Memory that a writer may use before it writes a segment, bytes.
const WRITER_BYTES: usize = 64 << 20;
/// Most words of the index that one `begin*` may stand for.
pub(crate) const MAX_EXPANSIONS: usize = 10_000;

/// Why an index cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// Its files cannot be used.
    #[error("the text index failed: {0}")]
    Index(#[from] TantivyError),
    /// A `begin*` stands for too many words.
    #[error("{0}* stands for more than {MAX_EXPANSIONS} words; write more of the word")]
    Broad(String),
    /// More resources are found than were to be.
    #[error("more than {0} resources have these words; add words, or name a type")]
    TooMany(usize),
    /// A resource that was to be indexed cannot be read.
    #[error("{0}: {1}")]
    Unreadable(String, Unreadable),
}

impl From<std::io::Error> for TextError {
    fn from(error: std::io::Error) -> TextError {
        TextError::Index(error.into())
    }
}

/// How far an index has followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The last commit whose changes it has; 0 for none.
    pub sequence: u64,
    /// A mark of that commit, such as its time: tells another history with the same numbers apart.
    pub mark: i64,
}

/// What happened to a resource.
#[derive(Debug, Clone, Copy)]
pub struct Change<'c> {
    /// `Type/id`.
    pub key: &'c str,
    /// By which number it is found ([`Snapshot::numbers`]); 0 where keys are asked for.
    pub number: u32,
    /// Its JSON; `None` if it is deleted.
    pub body: Option<&'c [u8]>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    pub(crate) key: Field,
    pub(crate) resource_type: Field,
    number: Field,
    narrative: Field,
    content: Field,
}

impl Fields {
    /// The field of a part.
    pub(crate) fn of(self, part: Part) -> Field {
        match part {
            Part::Narrative => self.narrative,
            Part::Content => self.content,
        }
    }
}

/// The name of the field of numbers.
pub(crate) const NUMBER: &str = "number";

/// An open index. Searches go on while it is written.
pub struct Index {
    index: tantivy::Index,
    reader: IndexReader,
    fields: Fields,
    now: RwLock<Snapshot>,
}

/// An index as it was at a position.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) searcher: Searcher,
    pub(crate) fields: Fields,
    position: Position,
}

impl Index {
    /// Opens the index of a directory, or makes an empty one. One that is damaged or of another form is replaced. Reads all
    /// files once.
    ///
    /// # Errors
    /// A directory that cannot be used.
    pub fn open(directory: &Path) -> Result<Index, TextError> {
        let path = place(directory);
        std::fs::create_dir_all(&path)?;
        match Index::at(&path) {
            Ok(index) => Ok(index),
            Err(TextError::Index(TantivyError::LockFailure(error, text))) => {
                Err(TextError::Index(TantivyError::LockFailure(error, text)))
            }
            Err(_) => {
                Index::remove(directory)?;
                std::fs::create_dir_all(&path)?;
                Index::at(&path)
            }
        }
    }

    /// Removes what [`Index::open`] made; it must not be open.
    ///
    /// # Errors
    /// Files that cannot be removed.
    pub fn remove(directory: &Path) -> Result<(), TextError> {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn at(path: &Path) -> Result<Index, TextError> {
        let (schema, fields) = schema();
        let index = tantivy::Index::builder()
            .schema(schema)
            .settings(IndexSettings::default())
            .open_or_create(MmapDirectory::open(path).map_err(TantivyError::from)?)?;
        index.tokenizers().register(WORDS, Words);
        if !index.validate_checksum()?.is_empty() {
            return Err(TantivyError::InternalError("a file is not as it was written".to_owned()).into());
        }
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let position = position(&index)?;
        let now = RwLock::new(Snapshot { searcher: reader.searcher(), fields, position });
        Ok(Index { index, reader, fields, now })
    }

    /// The index as it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A writer; there may be one at a time.
    ///
    /// # Errors
    /// Another has it.
    pub fn writer(self: &Arc<Self>) -> Result<Writer, TextError> {
        Ok(Writer { of: Arc::clone(self), writer: self.index.writer_with_num_threads(1, WRITER_BYTES)? })
    }

    /// Shows what is committed.
    fn reload(&self) -> Result<(), TextError> {
        self.reader.reload()?;
        let position = position(&self.index)?;
        let fresh = Snapshot { searcher: self.reader.searcher(), fields: self.fields, position };
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

fn place(directory: &Path) -> PathBuf {
    directory.join(format!("form-{FORM}"))
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let text = || {
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(WORDS)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        TextOptions::default().set_indexing_options(indexing)
    };
    let fields = Fields {
        key: schema.add_text_field("key", STRING | STORED),
        resource_type: schema.add_text_field("type", STRING),
        number: schema.add_u64_field(NUMBER, FAST),
        narrative: schema.add_text_field("narrative", text()),
        content: schema.add_text_field("content", text()),
    };
    (schema.build(), fields)
}

/// The position that the last commit was told to remember.
fn position(index: &tantivy::Index) -> Result<Position, TextError> {
    let payload = index.load_metas()?.payload.unwrap_or_default();
    let parts = payload.split_once(' ').and_then(|(sequence, mark)| {
        Some(Position { sequence: sequence.parse().ok()?, mark: mark.parse().ok()? })
    });
    Ok(parts.unwrap_or_default())
}

/// Changes an index.
pub struct Writer {
    of: Arc<Index>,
    writer: IndexWriter,
}

impl Writer {
    /// Puts a resource in place of what it was, or takes it out.
    ///
    /// # Errors
    /// A body that is not JSON, files that cannot be written.
    pub fn change(&self, change: &Change<'_>) -> Result<(), TextError> {
        let fields = self.of.fields;
        self.writer.delete_term(Term::from_field_text(fields.key, change.key));
        let Some(body) = change.body else { return Ok(()) };
        let texts = texts(body).map_err(|error| TextError::Unreadable(change.key.to_owned(), error))?;
        let resource_type = change.key.split_once('/').map_or(change.key, |(name, _)| name);
        let mut document = TantivyDocument::new();
        document.add_text(fields.key, change.key);
        document.add_text(fields.resource_type, resource_type);
        document.add_u64(fields.number, change.number.into());
        document.add_text(fields.narrative, texts.narrative);
        document.add_text(fields.content, texts.content);
        self.writer.add_document(document)?;
        Ok(())
    }

    /// Makes what was done durable, together with how far it goes, and seen by searches.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn commit(&mut self, position: Position) -> Result<(), TextError> {
        let mut prepared = self.writer.prepare_commit()?;
        prepared.set_payload(&format!("{} {}", position.sequence, position.mark));
        prepared.commit()?;
        self.of.reload()
    }

    /// Ends writing when the merges under way are done.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn finish(self) -> Result<(), TextError> {
        self.writer.wait_merging_threads()?;
        self.of.reload()
    }
}

impl Snapshot {
    /// How far it goes.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many resources it has.
    pub fn resources(&self) -> u64 {
        self.searcher.num_docs()
    }
}

/// Splits texts as [`each_word`] does.
#[derive(Debug, Clone, Copy, Default)]
struct Words;

struct WordStream {
    words: std::vec::IntoIter<(u32, String)>,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream;

    fn token_stream(&mut self, text: &str) -> WordStream {
        let mut words = Vec::new();
        each_word(text, |place, word| words.push((place, word.to_owned())));
        WordStream { words: words.into_iter(), token: Token::default() }
    }
}

impl TokenStream for WordStream {
    fn advance(&mut self) -> bool {
        let Some((place, word)) = self.words.next() else { return false };
        self.token = Token {
            offset_from: 0,
            offset_to: 0,
            position: usize::try_from(place).unwrap_or(usize::MAX),
            text: word,
            position_length: 1,
        };
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests;
