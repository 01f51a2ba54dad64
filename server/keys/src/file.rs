//! Sets of keys in a directory, each key wrapped by a key of the caller's (which is kept elsewhere: an environment variable,
//! a mounted secret, Key Vault).
//!
//! A set is the file `NAME.keys`, a line for each key: its id, in base64 the key sealed for `NAME/ID`, and a full stop. A
//! line is appended by one write and then synchronised, so that processes that share the directory lose none of each
//! other's. A line without its full stop was cut short by a crash and never acknowledged; it is passed over.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use azure_core::base64;

use crate::{Answer, KeyError, KeyId, KeyMaterial, KeyProvider, KeySet, seal};

/// Sets of keys in a directory.
pub struct FileKeys {
    directory: PathBuf,
    wrapping: KeyMaterial,
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKeys({})", self.directory.display())
    }
}

/// A new wrapping key for [`FileKeys::open`]: 64 hexadecimal digits.
///
/// # Errors
/// [`KeyError::Crypto`]: the system gives no random bytes.
pub fn new_wrapping_key() -> Result<String, KeyError> {
    Ok(KeyMaterial::random()?.secret().iter().map(|byte| format!("{byte:02x}")).collect())
}

impl FileKeys {
    /// The sets in a directory (made if it is missing, for its owner only), wrapped by `wrapping`, as
    /// [`new_wrapping_key`] writes it.
    ///
    /// # Errors
    /// [`KeyError::WrappingKey`], or the directory cannot be made.
    pub fn open(directory: &Path, wrapping: &str) -> Result<FileKeys, KeyError> {
        let wrapping =
            KeyMaterial::kept(KeyId::parse("00000000").ok_or(KeyError::WrappingKey)?, hex(wrapping)?);
        fs::create_dir_all(directory).map_err(|error| at(directory, error))?;
        only_for_owner(directory, 0o700)?;
        Ok(FileKeys { directory: directory.to_owned(), wrapping })
    }

    fn path(&self, set: &KeySet) -> PathBuf {
        self.directory.join(format!("{}.keys", set.as_str()))
    }

    fn read(&self, set: &KeySet) -> Result<Vec<KeyMaterial>, KeyError> {
        let path = self.path(set);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at(&path, error)),
        };
        text.lines()
            .enumerate()
            .filter_map(|(i, line)| Some((i, line.strip_suffix(" .")?)))
            .map(|(i, line)| {
                self.unwrap(set, line).ok_or_else(|| KeyError::Unwrap {
                    set: set.as_str().to_owned(),
                    why: format!("line {} of {}", i + 1, path.display()),
                })
            })
            .collect()
    }

    fn unwrap(&self, set: &KeySet, line: &str) -> Option<KeyMaterial> {
        let (id, sealed) = line.split_once(' ')?;
        let id = KeyId::parse(id)?;
        let sealed = base64::decode(sealed).ok()?;
        let secret = seal::open(self.wrapping.secret(), &place(set, id), &sealed).ok()?;
        Some(KeyMaterial::kept(id, secret))
    }

    fn append(&self, set: &KeySet, key: &KeyMaterial) -> Result<(), KeyError> {
        let path = self.path(set);
        let sealed = seal::seal(self.wrapping.secret(), &place(set, key.id), key.secret())?;
        // The line end before it closes what a crash may have left of another line.
        let line = format!("\n{} {} .\n", key.id, base64::encode(sealed));
        let write = || {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&path)?;
            file.write_all(line.as_bytes())?;
            file.sync_all()?;
            fs::File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| at(&path, error))
    }
}

impl KeyProvider for FileKeys {
    fn load<'a>(&'a self, set: &'a KeySet) -> Answer<'a, Vec<KeyMaterial>> {
        Box::pin(async move { self.read(set) })
    }

    fn add<'a>(&'a self, set: &'a KeySet, key: &'a KeyMaterial) -> Answer<'a, ()> {
        Box::pin(async move { self.append(set, key) })
    }
}

fn place(set: &KeySet, id: KeyId) -> String {
    format!("{}/{id}", set.as_str())
}

fn at(path: &Path, error: std::io::Error) -> KeyError {
    KeyError::File { path: path.display().to_string(), error }
}

fn hex(text: &str) -> Result<Vec<u8>, KeyError> {
    let text = text.trim();
    if text.len() != 2 * seal::KEY || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(KeyError::WrappingKey);
    }
    let pair = |pair: &[u8]| {
        std::str::from_utf8(pair)
            .ok()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .ok_or(KeyError::WrappingKey)
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(unix)]
fn only_for_owner(path: &Path, mode: u32) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| at(path, error))
}

#[cfg(not(unix))]
fn only_for_owner(_: &Path, _: u32) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> KeySet {
        KeySet::data("acme").unwrap()
    }

    #[tokio::test]
    async fn keys_are_kept_in_their_order_and_wrapped() {
        let directory = tempfile::tempdir().unwrap();
        let wrapping = new_wrapping_key().unwrap();
        let keys = FileKeys::open(directory.path(), &wrapping).unwrap();
        assert_eq!(keys.load(&set()).await.unwrap(), []);
        let written = [KeyMaterial::random().unwrap(), KeyMaterial::random().unwrap()];
        for key in &written {
            keys.add(&set(), key).await.unwrap();
        }
        let again = FileKeys::open(directory.path(), &wrapping).unwrap();
        assert_eq!(again.load(&set()).await.unwrap(), written);
        assert_eq!(format!("{written:?}").matches("KeyMaterial").count(), 2);
        let file = fs::read(directory.path().join("data-acme.keys")).unwrap();
        let in_it = |secret: &[u8]| file.windows(secret.len()).any(|part| part == secret);
        assert!(written.iter().all(|key| !in_it(key.secret())));
    }

    #[tokio::test]
    async fn another_wrapping_key_or_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let wrapping = new_wrapping_key().unwrap();
        let keys = FileKeys::open(directory.path(), &wrapping).unwrap();
        keys.add(&set(), &KeyMaterial::random().unwrap()).await.unwrap();
        let path = directory.path().join("data-acme.keys");
        let expected = |path: &Path, name: &str| {
            format!(
                "a key of the set `{name}` cannot be unwrapped (line 2 of {}): the wrapping key is another one, or what is kept is damaged",
                path.display()
            )
        };
        let other = FileKeys::open(directory.path(), &new_wrapping_key().unwrap()).unwrap();
        assert_eq!(other.load(&set()).await.unwrap_err().to_string(), expected(&path, "data-acme"));
        // The keys of one tenant are not another's.
        let moved = directory.path().join("data-other.keys");
        fs::copy(&path, &moved).unwrap();
        let error = keys.load(&KeySet::data("other").unwrap()).await.unwrap_err().to_string();
        assert_eq!(error, expected(&moved, "data-other"));
    }

    #[tokio::test]
    async fn a_line_that_was_cut_short_is_not_a_key_and_spoils_none() {
        let directory = tempfile::tempdir().unwrap();
        let keys = FileKeys::open(directory.path(), &new_wrapping_key().unwrap()).unwrap();
        let first = KeyMaterial::random().unwrap();
        keys.add(&set(), &first).await.unwrap();
        let path = directory.path().join("data-acme.keys");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"\n0123abcd QUJD").unwrap();
        assert_eq!(keys.load(&set()).await.unwrap(), std::slice::from_ref(&first));
        let second = KeyMaterial::random().unwrap();
        keys.add(&set(), &second).await.unwrap();
        assert_eq!(keys.load(&set()).await.unwrap(), [first, second]);
    }

    #[test]
    fn a_wrapping_key_is_64_digits() {
        let directory = tempfile::tempdir().unwrap();
        let refused = |text: &str| {
            let error = FileKeys::open(directory.path(), text).unwrap_err().to_string();
            assert_eq!(
                error,
                "the wrapping key must be 64 hexadecimal digits (`openssl rand -hex 32` makes them)"
            );
        };
        refused("");
        refused("12ab");
        refused(&"g".repeat(64));
        refused(&"é".repeat(32));
    }
}
