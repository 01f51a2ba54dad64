//! As whom this process holds leases. A server that was killed goes on at once with its own jobs when it starts again on the same
//! data directory, so its name is kept there; a second server on that directory has another.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Result, Seek as _, Write as _};
use std::path::Path;

use uuid::Uuid;

/// A name that no other process has now.
#[derive(Debug)]
pub struct Node {
    id: String,
    /// Locked while this process lives.
    _kept: Option<File>,
}

impl Node {
    /// Of a server on a data directory.
    ///
    /// # Errors
    /// The name cannot be read or kept.
    pub fn of(data: &Path) -> Result<Node> {
        std::fs::create_dir_all(data)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(data.join("node"))?;
        if file.try_lock().is_err() {
            return Ok(Node::passing());
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let id = match Uuid::parse_str(text.trim()) {
            Ok(id) => id,
            Err(_) => {
                let id = Uuid::new_v4();
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(id.to_string().as_bytes())?;
                file.sync_all()?;
                id
            }
        };
        Ok(Node { id: id.to_string(), _kept: Some(file) })
    }

    /// Of a command that works on no job.
    pub fn passing() -> Node {
        Node { id: Uuid::new_v4().to_string(), _kept: None }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_and_one_process_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = Node::of(directory.path()).unwrap();
        assert_ne!(Node::of(directory.path()).unwrap().id(), first.id(), "it is taken");
        let id = first.id().to_owned();
        drop(first);
        assert_eq!(Node::of(directory.path()).unwrap().id(), id);
    }
}
