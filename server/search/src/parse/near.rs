//! Names near a misspelt one, for messages.

/// Most names a message offers.
const OFFERED: usize = 4;

/// A sentence that offers the names nearest to `wrong`, or an empty text when none is near.
pub(super) fn did_you_mean<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    let limit = 1 + wrong.len().min(64) / 4;
    let mut near: Vec<(usize, &str)> = names
        .filter(|name| name.len().abs_diff(wrong.len()) <= limit && wrong.len() <= 64)
        .map(|name| (distance(wrong.as_bytes(), name.as_bytes()), name))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    let least = near.iter().map(|(distance, _)| *distance).min();
    near.retain(|(distance, _)| Some(*distance) == least);
    near.sort_unstable();
    near.dedup();
    let names: Vec<&str> = near.into_iter().take(OFFERED).map(|(_, name)| name).collect();
    if names.is_empty() { String::new() } else { format!(" Did you mean {}?", names.join(" or ")) }
}

/// How many single bytes must be put in, left out or changed (Levenshtein), case ignored.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        for (y, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let change = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = *above;
            left = change.min(diagonal + 1).min(left + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, distance};

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("name", "nmae", 2), ("kitten", "sitting", 3), ("A", "a", 0)]
        {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        }
    }

    #[test]
    fn offers() {
        let names = ["name", "family", "given", "gender"];
        assert_eq!(did_you_mean("nmae", names.into_iter()), " Did you mean name?");
        assert_eq!(did_you_mean("colour", names.into_iter()), "");
        assert_eq!(did_you_mean(&"x".repeat(500), names.into_iter()), "");
    }
}
