//! Dates as searches compare them (<https://hl7.org/fhir/R4/search.html#date>): a date is a range as wide as it is precise.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::Value;

use crate::http::text;

/// The days that a comparator's value lies off the date it is made of.
const DAY_S: i64 = 86_400;

/// A range of time, in seconds of the Unix epoch; one side may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    start: Option<i64>,
    end: Option<i64>,
    /// It is said in days or longer.
    is_date: bool,
}

/// The range of a date, a time or a period.
pub(crate) fn range(value: &Value) -> Option<Range> {
    if let Some(text) = value.as_str() {
        return range_of(text);
    }
    let (start, end) = (text(value, "start").and_then(range_of), text(value, "end").and_then(range_of));
    let is_date = [start, end].iter().flatten().all(|one| one.is_date);
    (start.is_some() || end.is_some()).then(|| Range {
        start: start.and_then(|one| one.start),
        end: end.and_then(|one| one.end),
        is_date,
    })
}

fn range_of(text: &str) -> Option<Range> {
    if text.contains('T') {
        let at = text.parse::<Timestamp>().ok()?.as_second();
        return Some(Range { start: Some(at), end: Some(at), is_date: false });
    }
    let (date, span): (Date, Span) = match text.len() {
        4 => (format!("{text}-01-01").parse().ok()?, Span::new().years(1)),
        7 => (format!("{text}-01").parse().ok()?, Span::new().months(1)),
        10 => (text.parse().ok()?, Span::new().days(1)),
        _ => return None,
    };
    let second = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp().as_second());
    let end = second(date.checked_add(span).ok()?)? - 1;
    Some(Range { start: second(date), end: Some(end), is_date: true })
}

/// The first moment of a date, `days` later, as a search has it.
pub(crate) fn moved(value: &Value, days: i64) -> Option<String> {
    let range = range(value)?;
    let at = Timestamp::from_second(range.start.or(range.end)? + days * DAY_S).ok()?;
    Some(at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string())
}

/// Whether a search's value (`gt2020-01-01`) finds what has this date or period.
pub(crate) fn finds(search: &str, target: &Value) -> bool {
    const COMPARATORS: [&str; 9] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];
    let known = COMPARATORS.iter().find(|one| search.starts_with(**one));
    let (comparator, date) = match known {
        Some(comparator) => (*comparator, search.strip_prefix(comparator).unwrap_or(search)),
        None => ("eq", search),
    };
    match (range_of(date), range(target)) {
        (Some(search), Some(target)) => compare(comparator, search, target),
        _ => false,
    }
}

fn compare(comparator: &str, search: Range, target: Range) -> bool {
    let (Some(start), Some(end)) = (search.start, search.end) else { return false };
    // A date without a time is of a day that may be another one where the search's moment is.
    let slack = if !search.is_date && target.is_date { DAY_S } else { 0 };
    let contains = target.start.is_some_and(|at| start <= at) && target.end.is_some_and(|at| at <= end);
    let above = target.end.is_none_or(|at| end < at + slack);
    let below = target.start.is_none_or(|at| start > at - slack);
    match comparator {
        "eq" => contains,
        "ne" => !contains,
        "gt" => above,
        "lt" => below,
        "ge" => above || contains,
        "le" => below || contains,
        "sa" => target.start.is_some_and(|at| end < at),
        "eb" => target.end.is_some_and(|at| start > at),
        _ => target.start.is_none_or(|at| at <= end) && target.end.is_none_or(|at| start <= at),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{finds, moved};

    #[track_caller]
    fn check(search: &str, target: &serde_json::Value, expected: bool) {
        assert_eq!(finds(search, target), expected, "{search} {target}");
    }

    #[test]
    fn searches_find_dates() {
        check("2020-01", &json!("2020-01-31"), true);
        check("2020-01-31", &json!("2020-01"), false);
        check("gt2020-01-31", &json!("2020-02-01T00:00:00Z"), true);
        check("lt2020-01-31", &json!("2020-02-01T00:00:00Z"), false);
        check("ge2020-01-31", &json!({"start": "2020-01-31T10:00:00+01:00"}), true);
        check("le2020-01-31", &json!({"end": "2020-01-31"}), true);
        check("eq2020", &json!({"start": "2020-05-01"}), false);
        check("sa2020", &json!({"start": "2021-05-01"}), true);
        check("eb2020", &json!({"start": "2021-05-01"}), false);
        check("2020", &json!({"repeat": {}}), false);
    }

    #[test]
    fn a_comparator_is_a_day_off() {
        assert_eq!(moved(&json!("2020-03-01"), -1).as_deref(), Some("2020-02-29T00:00:00+00:00"));
        assert_eq!(
            moved(&json!({"end": "2020-03-01T12:00:00Z"}), 1).as_deref(),
            Some("2020-03-02T12:00:00+00:00")
        );
        assert_eq!(moved(&json!({}), 1), None);
    }
}
