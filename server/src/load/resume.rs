//! What has been loaded already: a file of lines `<SHA-256 of the source> <done>`, appended as the work goes on. `done` is
//! a number of lines, or `all`. A file is known by its content, so it may be moved or renamed.
//!
//! A line is written after the commit it tells of. If the process is killed between the two, that part is loaded again: resources
//! with ids of their own are then found unchanged; a transaction's POST entries without `ifNoneExist` would be there twice.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// How much of a source is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The first lines, so many.
    Lines(u64),
    /// Everything.
    All,
}

/// The record of one destination.
pub struct Record {
    done: HashMap<String, Done>,
    file: Mutex<File>,
    /// Kept apart in one file: the destination.
    scope: String,
}

impl Record {
    /// Opens (or makes) the record in `path` for a destination; with `again`, what it says is passed over. Of several lines on
    /// one source the last counts.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(path: &Path, scope: &str, again: bool) -> std::io::Result<Record> {
        let scope = scope.replace(char::is_whitespace, "%20");
        let mut done = HashMap::new();
        let written = if path.exists() { std::fs::read_to_string(path)? } else { String::new() };
        for line in written.lines().filter(|_| !again) {
            let mut words = line.split(' ');
            let (of, digest, state) = (words.next(), words.next(), words.next());
            let (Some(digest), Some(state)) = (digest.filter(|_| of == Some(&scope)), state) else {
                continue;
            };
            // A line that was cut off by a kill tells nothing.
            let Some(state) = parse(state) else { continue };
            done.insert(digest.to_owned(), state);
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let mut file = options.open(path)?;
        if !written.is_empty() && !written.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        Ok(Record { done, file: Mutex::new(file), scope })
    }

    /// How much of a source was loaded when the record was opened.
    pub fn of(&self, digest: &str) -> Done {
        self.done.get(digest).copied().unwrap_or(Done::Lines(0))
    }

    /// Adds that this much of a source is loaded.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set(&self, digest: &str, done: Done) -> std::io::Result<()> {
        let state = match done {
            Done::Lines(count) => count.to_string(),
            Done::All => "all".to_owned(),
        };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{} {digest} {state}.\n", self.scope).as_bytes())
    }
}

/// The full stop shows that the line is whole.
fn parse(state: &str) -> Option<Done> {
    match state.strip_suffix('.')? {
        "all" => Some(Done::All),
        count => count.parse().ok().map(Done::Lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_by_destination_and_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("progress");
        let record = Record::open(&path, "here", false).unwrap();
        record.set("aa", Done::Lines(1000)).unwrap();
        record.set("aa", Done::Lines(2000)).unwrap();
        record.set("bb", Done::All).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "here bb 3000").unwrap();
        let record = Record::open(&path, "here", false).unwrap();
        assert_eq!(
            [record.of("aa"), record.of("bb"), record.of("cc")],
            [Done::Lines(2000), Done::All, Done::Lines(0)]
        );
        assert_eq!(Record::open(&path, "there", false).unwrap().of("bb"), Done::Lines(0));
        let again = Record::open(&path, "here", true).unwrap();
        assert_eq!(again.of("bb"), Done::Lines(0));
        again.set("bb", Done::Lines(10)).unwrap();
        assert_eq!(Record::open(&path, "here", false).unwrap().of("bb"), Done::Lines(10));
    }
}
