//! The pieces of tables of code systems: fetched for a question, and held a while for the next. What they say is
//! terminology's affair.

use std::sync::{Arc, PoisonError, RwLock};

use fhirpath::IssueType;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{Caller, Failure, Service, Status, code_tables};

/// Most pieces that a question may need: some 130 MB as text, which is the whole of LOINC or RxNorm, and a good part of
/// SNOMED CT.
pub(super) const MAX_PIECES: usize = 2_048;
/// Most bytes that are held between questions. Beyond them all is let go.
const MAX_HELD: usize = 32 << 20;
/// How many are read at a time.
const READS: usize = 16;

/// What a piece is asked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Piece {
    pub(super) table: Box<str>,
    pub(super) number: u32,
}

/// The pieces of one question; `None`: it is not there.
pub(super) type Pieces = FxHashMap<Piece, Option<Arc<[u8]>>>;

/// Pieces that were fetched for earlier questions.
#[derive(Default)]
pub(super) struct Held(RwLock<Holding>);

#[derive(Default)]
struct Holding {
    pieces: FxHashMap<Piece, Arc<[u8]>>,
    bytes: usize,
}

impl Held {
    pub(super) fn get(&self, piece: &Piece) -> Option<Arc<[u8]>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).pieces.get(piece).cloned()
    }

    fn put(&self, piece: &Piece, bytes: &Arc<[u8]>) {
        let mut holding = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if holding.bytes + bytes.len() > MAX_HELD {
            *holding = Holding::default();
        }
        if holding.pieces.insert(piece.clone(), Arc::clone(bytes)).is_none() {
            holding.bytes += bytes.len();
        }
    }
}

/// Fetches what a question misses.
///
/// # Errors
/// The store failed, or the question needs too many.
pub(super) async fn fetch(
    service: &Service,
    caller: &Caller,
    missed: FxHashSet<Piece>,
    held: &Held,
    pieces: &mut Pieces,
) -> Result<(), Failure> {
    if pieces.len() + missed.len() > MAX_PIECES {
        let details = format!(
            "This needs more than {MAX_PIECES} pieces of imported code systems; ask for less of them, such as the codes \
             below one that stands lower."
        );
        return Err(Failure::new(Status::Unprocessable, IssueType::TooCostly, details));
    }
    let reads: Vec<_> = missed.into_iter().map(|piece| read(service, caller, piece)).collect();
    let fetched: Vec<(Piece, Option<Arc<[u8]>>)> = stream::iter(reads).buffered(READS).try_collect().await?;
    for (piece, bytes) in fetched {
        if let Some(bytes) = &bytes {
            held.put(&piece, bytes);
        }
        pieces.insert(piece, bytes);
    }
    Ok(())
}

async fn read(
    service: &Service,
    caller: &Caller,
    piece: Piece,
) -> Result<(Piece, Option<Arc<[u8]>>), Failure> {
    let Some(key) = code_tables::piece_key(&piece.table, piece.number) else { return Ok((piece, None)) };
    let found = service.store.read(&caller.tenant, &caller.access, &key).await?;
    let Some(version) = found.filter(|version| !version.is_deleted()) else { return Ok((piece, None)) };
    let bytes = code_tables::piece_of(service, &version)?;
    Ok((piece, Some(bytes)))
}
