//! Resources, versions, history and changes as the store gives them.

use bytes::Bytes;

use crate::Permission;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// `Type/id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    text: Box<str>,
    slash: u8,
}

impl Key {
    /// The key of a type and an id. Both are taken as valid: letters for the type, `[A-Za-z0-9\-.]{1,64}` for the id.
    pub fn new(resource_type: &str, id: &str) -> Key {
        debug_assert!(resource_type.len() < 128 && id.len() <= 64);
        let slash = u8::try_from(resource_type.len()).unwrap_or(0);
        Key { text: format!("{resource_type}/{id}").into_boxed_str(), slash }
    }

    /// The key written `Type/id`; `None` if it is not of that form.
    pub fn parse(text: &str) -> Option<Key> {
        let (resource_type, id) = text.split_once('/')?;
        let good_type = !resource_type.is_empty()
            && resource_type.len() < 128
            && resource_type.bytes().all(|b| b.is_ascii_alphabetic());
        let good_id = (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        (good_type && good_id).then(|| Key::new(resource_type, id))
    }

    /// `Type/id`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `Type`.
    pub fn resource_type(&self) -> &str {
        self.text.get(..usize::from(self.slash)).unwrap_or_default()
    }

    /// `id`.
    pub fn id(&self) -> &str {
        self.text.get(usize::from(self.slash) + 1..).unwrap_or_default()
    }
}

/// How a version came about, as `Bundle.entry.request.method` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A create with an id of the server's.
    Post,
    /// An update, or a create with the client's id.
    Put,
    /// A patch.
    Patch,
    /// A deletion.
    Delete,
}

impl Method {
    /// What a caller must be permitted to do for a version to come about so. An update may make a resource, as SMART has it.
    pub(crate) fn permission(self) -> Permission {
        match self {
            Method::Post => Permission::Create,
            Method::Put | Method::Patch => Permission::Update,
            Method::Delete => Permission::Delete,
        }
    }
}

/// One version of a resource.
#[derive(Debug, Clone)]
pub struct Version {
    /// Which resource.
    pub key: Key,
    /// 1, 2, 3 ..; deletions count too.
    pub version: u64,
    /// When it was committed.
    pub last_updated: Timestamp,
    /// How.
    pub method: Method,
    /// Canonical JSON; empty for a deletion, and where it was erased.
    pub body: Bytes,
}

impl Version {
    /// Whether this version has no content: it is a deletion, or [`Version::is_erased`].
    pub fn is_deleted(&self) -> bool {
        self.method == Method::Delete || self.is_erased()
    }

    /// Whether its content was erased ([`crate::Store::erase`]): what is left is that there was one.
    pub fn is_erased(&self) -> bool {
        self.method != Method::Delete && self.body.is_empty()
    }

    /// About how many bytes it takes: its body, and something for the rest.
    pub(crate) fn stored_size(&self) -> usize {
        self.body.len() + 64
    }
}

/// A commit as the journal has it: what [`crate::Store::commits`] gives, and [`crate::Store::replay`] takes.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its sequence number; commits count from 1 without gaps.
    pub sequence: u64,
    /// Its time.
    pub last_updated: Timestamp,
    /// The versions it wrote, in its order.
    pub versions: Vec<Version>,
}

/// What of a resource's past is to be erased. The current version never is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Which resource.
    pub key: Key,
    /// One version, or all but the current one.
    pub version: Option<u64>,
}

impl Erasure {
    /// Whether it takes a version of its resource, where `current` is the current one.
    pub(crate) fn takes(&self, version: u64, current: u64) -> bool {
        version < current && self.version.is_none_or(|only| only == version)
    }
}

/// What to list the history of.
#[derive(Debug, Clone)]
pub enum HistoryScope {
    /// One resource.
    Instance(Key),
    /// A type.
    Type(Box<str>),
    /// Everything.
    System,
}

/// A history query; versions are listed newest first.
#[derive(Debug, Clone)]
pub struct HistoryQuery {
    /// Of what.
    pub scope: HistoryScope,
    /// Only versions committed at this time or later.
    pub since: Option<Timestamp>,
    /// Only versions that were current at some time in this span (both ends included).
    pub at: Option<(Timestamp, Timestamp)>,
    /// Continue after the last page.
    pub after: Option<crate::Cursor>,
    /// Most versions to return.
    pub limit: usize,
}

/// A page of history.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// The versions.
    pub versions: Vec<Version>,
    /// Where the next page starts, if there is more.
    pub next: Option<crate::Cursor>,
    /// How many versions there are in all; counted for an instance, and elsewhere when no filter is given.
    pub total: Option<u64>,
}

/// One entry of the change stream.
#[derive(Debug, Clone)]
pub struct Change {
    /// The commit's sequence number; commits count from 1 without gaps.
    pub sequence: u64,
    /// Which resource.
    pub key: Key,
    /// Which version it became.
    pub version: u64,
    /// When.
    pub last_updated: Timestamp,
    /// How.
    pub method: Method,
}
