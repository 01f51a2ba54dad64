//! Uri values (<https://hl7.org/fhir/R4/search.html#uri>): exactly, or by the hierarchy of paths (`:above`, `:below`), which
//! URLs have and URNs have not.

use fhirpath::IssueType;
use store::Predicate;

use super::fault::{Fault, shown};
use super::split::unescape;

/// The uri and everything whose path goes on from it.
pub(super) fn below(text: &str) -> Result<Vec<Predicate>, Fault> {
    let url = url(text)?;
    if url.len() > Predicate::BELOW_LENGTH {
        let text = format!("Of what others are below may have {} bytes.", Predicate::BELOW_LENGTH);
        return Err(Fault::bad(IssueType::TooLong, text));
    }
    Ok(vec![Predicate::UriBelow(url.into())])
}

/// The uri and every one whose path goes on to it, with and without a slash at the end.
pub(super) fn above(text: &str) -> Result<Vec<Predicate>, Fault> {
    let url = url(text)?;
    let authority = url.find("://").map_or(0, |at| at + 3);
    let mut all = vec![url.clone()];
    for (at, _) in url.match_indices('/').filter(|(at, _)| *at >= authority) {
        all.extend([url.get(..at), url.get(..=at)].into_iter().flatten().map(str::to_owned));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all.into_iter().map(|url| Predicate::Uri(url.into())).collect())
}

fn url(text: &str) -> Result<String, Fault> {
    let url = unescape(text);
    let urn = url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:"));
    if urn || !crate::reference::is_absolute(&url) {
        return Err(Fault::value(format!("{} is not a URL; only these have a hierarchy.", shown(&url))));
    }
    Ok(url.into_owned())
}
