//! Bodies compressed with zstd (<https://www.rfc-editor.org/rfc/rfc8878>) and a dictionary of FHIR's vocabulary.
//!
//! A dictionary is part of the stored format: it has a letter and is kept for ever, unchanged; a better one gets
//! another letter. Dictionary `a` is the text of `dictionary-a.txt` without its line ends (element names, systems and
//! URLs of R4 and US Core 3.1.1 to 8.0.0, the most usual last) behind `dictionary-a.tables`: the entropy tables that zstd's
//! `ZDICT_finalizeDictionary` counted for that text, at level 6, over Synthea's resources of 37 types.

use std::cell::RefCell;
use std::sync::LazyLock;

use zstd_safe::{CCtx, CDict, CParameter, DCtx, DDict, get_error_name};

/// Level: 6 takes 8% fewer bytes than 3; 9 takes 1% fewer again and twice the time.
const LEVEL: i32 = 6;

/// What every frame begins with, and what is therefore not stored.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The longest body, bytes.
pub(super) const MOST: usize = 256 << 20;

static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dictionary = include_bytes!("dictionary-a.tables").to_vec();
    dictionary.extend(include_bytes!("dictionary-a.txt").iter().filter(|byte| **byte != b'\n'));
    dictionary
});
static TO_COMPRESS: LazyLock<CDict<'static>> = LazyLock::new(|| CDict::create(&DICTIONARY, LEVEL));
static TO_DECOMPRESS: LazyLock<DDict<'static>> = LazyLock::new(|| DDict::create(&DICTIONARY));

thread_local! {
    static COMPRESSOR: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// The bytes compressed with dictionary `a`; what went wrong, in zstd's words, otherwise.
pub(super) fn compress(plain: &[u8]) -> Result<Vec<u8>, &'static str> {
    COMPRESSOR.with_borrow_mut(|slot| {
        let context = match slot {
            Some(context) => context,
            None => slot.insert(compressor().map_err(get_error_name)?),
        };
        let mut frame = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
        context.compress2(&mut frame, plain).map_err(get_error_name)?;
        frame.drain(..MAGIC.len());
        Ok(frame)
    })
}

fn compressor() -> Result<CCtx<'static>, usize> {
    let mut context = CCtx::try_create().ok_or(0_usize)?;
    context.set_parameter(CParameter::ContentSizeFlag(true))?;
    context.set_parameter(CParameter::ChecksumFlag(false))?;
    context.set_parameter(CParameter::DictIdFlag(false))?;
    context.ref_cdict(&TO_COMPRESS)?;
    Ok(context)
}

/// What [`compress`] compressed, appended to `plain`.
pub(super) fn decompress(compressed: Vec<u8>, plain: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut frame = compressed;
    frame.splice(..0, MAGIC);
    let length = match zstd_safe::get_frame_content_size(&frame) {
        Ok(Some(length)) => usize::try_from(length).unwrap_or(usize::MAX),
        _ => return Err("it does not say its length"),
    };
    if length > MOST {
        return Err("it claims an impossible length");
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let context = match slot {
            Some(context) => context,
            None => {
                let mut context = DCtx::try_create().ok_or("no memory")?;
                context.ref_ddict(&TO_DECOMPRESS).map_err(get_error_name)?;
                slot.insert(context)
            }
        };
        let mut content = Vec::with_capacity(length);
        context.decompress(&mut content, frame.as_slice()).map_err(get_error_name)?;
        if content.len() != length {
            return Err("it is cut short");
        }
        if plain.is_empty() {
            *plain = content;
        } else {
            plain.append(&mut content);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(compressed: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut plain = Vec::new();
        decompress(compressed.to_vec(), &mut plain).map(|()| plain)
    }

    /// Dictionary `a` as it was frozen: bodies stored with it are readable only by the very same.
    #[test]
    fn the_dictionary_is_the_one_that_was_frozen() {
        assert_eq!(
            (DICTIONARY.len(), xxhash_rust::xxh3::xxh3_64(&DICTIONARY)),
            (27_071, 407_068_687_607_856_564)
        );
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let good = compress(b"{\"resourceType\":\"Patient\",\"id\":\"1\"}").unwrap();
        assert_eq!(back(&good).unwrap(), b"{\"resourceType\":\"Patient\",\"id\":\"1\"}");
        for cut in 0..good.len() {
            back(good.get(..cut).unwrap()).unwrap_err();
        }
        // A frame that claims 2^60 bytes.
        let mut bomb = vec![0xe0];
        bomb.extend_from_slice(&(1_u64 << 60).to_le_bytes());
        assert_eq!(back(&bomb).unwrap_err(), "it claims an impossible length");
    }
}
