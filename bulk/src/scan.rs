//! Reads back what a job wrote: the ids of resources and what they refer to. The lines are canonical JSON of ours, in which
//! `"id":"` follows the type and a quote within a text is escaped; so texts are found without parsing.

use std::io::{BufRead, BufReader};

use memchr::memmem;

use crate::{ExportError, Output, Reading};

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// Goes through the lines of a file.
pub(crate) fn lines(
    output: &dyn Output,
    job: &str,
    name: &str,
    mut each: impl FnMut(&[u8]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let file: Box<dyn Reading> = output.open(job, name)?;
    let mut reader = BufReader::with_capacity(BUFFER, file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        each(&line)?;
        line.clear();
    }
    Ok(())
}

/// The id of the resource on a line.
pub(crate) fn id(line: &[u8]) -> Option<&str> {
    let (kind, after_type) = text_after(line, b"{\"resourceType\":\"")?;
    let _ = kind;
    text_after(after_type, b",\"id\":\"").map(|(id, _)| id)
}

/// The text from a beginning up to the next quote, and what follows that.
fn text_after<'l>(line: &'l [u8], beginning: &[u8]) -> Option<(&'l str, &'l [u8])> {
    let rest = line.strip_prefix(beginning)?;
    let end = memchr::memchr(b'"', rest)?;
    let (text, rest) = rest.split_at_checked(end)?;
    Some((std::str::from_utf8(text).ok()?, rest.get(1..)?))
}

/// The literal references on a line, and the URLs of its attachments.
pub(crate) fn references(line: &[u8]) -> impl Iterator<Item = &str> {
    let literal = found(line, b"\"reference\":\"");
    literal.chain(found(line, b"\"url\":\""))
}

fn found<'l>(line: &'l [u8], beginning: &'static [u8]) -> impl Iterator<Item = &'l str> + use<'l> {
    memmem::find_iter(line, beginning).filter_map(move |at| {
        let (text, _) = text_after(line.get(at..)?, beginning)?;
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_line() {
        let line = br#"{"resourceType":"Observation","id":"o-1","note":[{"text":"say \"reference\":\"Patient/no\""}],"subject":{"reference":"Patient/1"},"performer":[{"reference":"Practitioner/2"}],"content":[{"attachment":{"url":"Binary/3"}}]}"#;
        assert_eq!(id(line), Some("o-1"));
        assert_eq!(references(line).collect::<Vec<_>>(), ["Patient/1", "Practitioner/2", "Binary/3"]);
        for line in [&b""[..], b"{}", br#"{"resourceType":"Bundle","type":"transaction"}"#, br#"{"id":"1"}"#]
        {
            assert_eq!(id(line), None);
        }
    }
}
