//! AES-256-GCM (NIST SP 800-38D) with a random nonce: 12 bytes of nonce, the ciphertext, 16 bytes of tag. Associated
//! data binds the bytes to where they are. One key may seal 2^32 times (the standard's bound for random nonces).

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};

use crate::KeyError;

/// Bytes of a key.
pub(crate) const KEY: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Encrypts for a place.
pub(crate) fn seal(key: &[u8], place: &str, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
    let failed = |_| KeyError::Crypto("encrypt");
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(failed)?;
    let mut sealed = Vec::with_capacity(NONCE + plain.len() + TAG);
    sealed.extend_from_slice(&[0; NONCE]);
    let mut text = plain.to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(place), &mut text).map_err(failed)?;
    sealed.clear();
    sealed.extend_from_slice(nonce.as_ref());
    sealed.append(&mut text);
    Ok(sealed)
}

/// Decrypts what was sealed for the place.
pub(crate) fn open(key: &[u8], place: &str, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
    let not_sealed = || KeyError::NotSealed { place: place.to_owned() };
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| KeyError::Crypto("decrypt"))?;
    let (nonce, text) = sealed.split_at_checked(NONCE).ok_or_else(not_sealed)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| not_sealed())?;
    let mut text = text.to_vec();
    let length = key.open_in_place(nonce, Aad::from(place), &mut text).map_err(|_| not_sealed())?.len();
    text.truncate(length);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_only_where_they_were_sealed_and_unchanged() {
        let key = [7; KEY];
        let sealed = seal(&key, "acme/Patient/1/2", b"body").unwrap();
        assert_eq!(sealed.len(), NONCE + 4 + TAG);
        assert_eq!(open(&key, "acme/Patient/1/2", &sealed).unwrap(), b"body");
        assert_ne!(seal(&key, "acme/Patient/1/2", b"body").unwrap(), sealed, "a nonce is used once");
        let refused = |key: &[u8], place: &str, sealed: &[u8]| {
            let error = open(key, place, sealed).unwrap_err().to_string();
            assert_eq!(error, format!("what is at `{place}` was not encrypted for that place with this key"));
        };
        refused(&key, "acme/Patient/1/3", &sealed);
        refused(&key, "other/Patient/1/2", &sealed);
        refused(&[8; KEY], "acme/Patient/1/2", &sealed);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            *changed.get_mut(at).unwrap() ^= 1;
            refused(&key, "acme/Patient/1/2", &changed);
            refused(&key, "acme/Patient/1/2", sealed.get(..at).unwrap());
        }
    }

    #[test]
    fn the_algorithm_is_the_standard_one() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(text.get(i..i + 2).unwrap(), 16).unwrap())
                .collect()
        };
        // Test case 14 of "The Galois/Counter Mode of Operation" (McGrew, Viega): a key, nonce and block of zeros.
        let sealed =
            [vec![0; 12], hex("cea7403d4d606b6e074ec5d3baf39d18"), hex("d0d1c8a799996bf0265b98b5d48ab919")];
        assert_eq!(open(&[0; KEY], "", &sealed.concat()).unwrap(), [0; 16]);
    }
}
