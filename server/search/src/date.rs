//! What span of time a text stands for: of dates in resources and in queries, as
//! <https://hl7.org/fhir/R4/search.html#date> words it. Knows no elements and no prefixes.
//!
//! A text means the whole of what it leaves out: `2013` is the year, `10:00` the minute. A time without a time
//! zone is taken as UTC. Fractions finer than a microsecond are cut.

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// First and last microsecond since 1970 in UTC, both included.
pub(crate) type Span = (i64, i64);

/// The span of `YYYY[-MM[-DD[Thh:mm[:ss[.fff]][Z|±hh:mm]]]]`, or `None` when the text is not of this form or names
/// no day of the calendar. A second of 60 is the first of the next minute.
pub(crate) fn span(text: &str) -> Option<Span> {
    let mut rest = Digits(text.as_bytes());
    let year = rest.number(4)?;
    if year == 0 {
        return None;
    }
    if rest.done() {
        return Some((midnight(year, 1, 1), midnight(year + 1, 1, 1) - 1));
    }
    let month = rest.after(b'-')?.number(2).filter(|month| (1..=12).contains(month))?;
    if rest.done() {
        let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        return Some((midnight(year, month, 1), midnight(next_year, next_month, 1) - 1));
    }
    let day = rest.after(b'-')?.number(2).filter(|day| (1..=days_in(year, month)).contains(day))?;
    let start = midnight(year, month, day);
    if rest.done() {
        return Some((start, start + DAY - 1));
    }
    let (of_day, length) = time(rest.after(b'T')?)?;
    let start = start + of_day - offset(&mut rest)?;
    rest.done().then_some((start, start + length - 1))
}

/// Microseconds since midnight of `hh:mm[:ss[.fff]]`, and how many the text stands for.
fn time(rest: &mut Digits<'_>) -> Option<(i64, i64)> {
    let hour = rest.number(2).filter(|hour| *hour < 24)?;
    let minute = rest.after(b':')?.number(2).filter(|minute| *minute < 60)?;
    let start = (hour * 60 + minute) * MINUTE;
    if rest.after(b':').is_none() {
        return Some((start, MINUTE));
    }
    let start = start + rest.number(2).filter(|second| *second <= 60)? * SECOND;
    if rest.after(b'.').is_none() {
        return Some((start, SECOND));
    }
    let (mut fraction, mut unit, mut digits) = (0, SECOND, 0);
    while let Some(digit) = rest.number(1) {
        digits += 1;
        if unit > 1 {
            unit /= 10;
            fraction += digit * unit;
        }
    }
    (digits > 0).then_some((start + fraction, unit))
}

/// The offset of a time zone in microseconds. A `+` that a URL's decoding turned into a space is understood.
fn offset(rest: &mut Digits<'_>) -> Option<i64> {
    if rest.done() || rest.after(b'Z').is_some() {
        return Some(0);
    }
    let sign = match rest.after(b'-') {
        Some(_) => -1,
        None => rest.after(b'+').is_some().then_some(1).or_else(|| rest.after(b' ').map(|_| 1))?,
    };
    let hour = rest.number(2).filter(|hour| *hour <= 14)?;
    let minute = rest.after(b':')?.number(2).filter(|minute| *minute < 60)?;
    Some(sign * (hour * 60 + minute) * MINUTE)
}

/// What is left of a text to read.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    /// Reads exactly `count` digits; reads nothing when there are fewer.
    fn number(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    /// Reads one byte, if it is this one.
    fn after(&mut self, byte: u8) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(self)
    }

    fn done(&self) -> bool {
        self.0.is_empty()
    }
}

/// Microseconds from 1970 to the start of a day of the Gregorian calendar.
fn midnight(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day last, so that days before a month follow one line.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    (days + (153 * month + 2) / 5 + day - 1 - 719_468) * DAY
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, MINUTE, SECOND, span};

    fn check(text: &str, expected: Option<(i64, i64)>) {
        assert_eq!(span(text), expected, "{text}");
    }

    #[test]
    fn what_is_left_out_is_meant_whole() {
        check("1970", Some((0, 365 * DAY - 1)));
        check("1972-02", Some((761 * DAY, 790 * DAY - 1)));
        check("1970-01-02", Some((DAY, 2 * DAY - 1)));
        check("1970-01-01T00:01Z", Some((MINUTE, 2 * MINUTE - 1)));
        check("1970-01-01T00:00:01Z", Some((SECOND, 2 * SECOND - 1)));
        check("1970-01-01T00:00:00.25Z", Some((250_000, 259_999)));
        check("1970-01-01T00:00:00.123456789Z", Some((123_456, 123_456)));
        check("2000-02-29", Some((951_782_400 * SECOND, 951_782_400 * SECOND + DAY - 1)));
        check("1969-12-31", Some((-DAY, -1)));
        check("0001-01-01", Some((-62_135_596_800 * SECOND, -62_135_596_800 * SECOND + DAY - 1)));
        check("9999-12-31", Some((253_402_214_400 * SECOND, 253_402_214_400 * SECOND + DAY - 1)));
    }

    #[test]
    fn time_zones() {
        check("1970-01-01T02:00:00+02:00", Some((0, SECOND - 1)));
        check("1970-01-01T02:00:00 02:00", Some((0, SECOND - 1)));
        check("1969-12-31T19:00-05:00", Some((0, MINUTE - 1)));
        check("1970-01-01T00:00:60Z", Some((MINUTE, MINUTE + SECOND - 1)));
        check("1970-01-01T00:00", Some((0, MINUTE - 1)));
    }

    #[test]
    fn texts_that_are_no_dates() {
        for text in [
            "",
            "19",
            "70-01-01",
            "0000",
            "1970-13",
            "1970-00",
            "1970-1",
            "1970-02-29",
            "1900-02-29",
            "1970-01-32",
            "1970-01-01T",
            "1970-01-01T10",
            "1970-01-01T24:00",
            "1970-01-01T10:60",
            "1970-01-01T10:00:61Z",
            "1970-01-01T10:00:00.Z",
            "1970-01-01T10:00:00+15:00",
            "1970-01-01T10:00:00+0200",
            "1970-01-01T10:00:00Zx",
            "1970-01-01 ",
            "१९७०",
        ] {
            check(text, None);
        }
    }
}
