//! Dates, times and date-times of the language, each known to some precision
//! (<https://hl7.org/fhirpath/N1/#date>). Comparison of values of unlike precision can be undecided.

use std::cmp::Ordering;
use std::fmt;

/// A date to the year, month or day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12, when known.
    pub month: Option<u8>,
    /// 1 to 31, when known.
    pub day: Option<u8>,
}

/// A time of day to the hour, minute, second or its fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59, when known.
    pub minute: Option<u8>,
    /// Milliseconds of the minute, 0 to 59,999 (60,999 in a leap second), when known.
    pub milliseconds: Option<u16>,
    /// Whether the fraction of the second was written.
    pub has_fraction: bool,
}

/// A date with or without a time of day, and with or without an offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// Its date.
    pub date: Date,
    /// Its time; only with a whole date.
    pub time: Option<Time>,
    /// Minutes east of UTC; only with a time.
    pub offset: Option<i16>,
}

impl Date {
    /// Reads `2015`, `2015-02`, `2015-02-04`.
    pub fn parse(text: &str) -> Option<Date> {
        let mut parts = text.split('-');
        let year: u16 = number(parts.next()?, 4)?;
        let month = parts.next().map(|part| number::<u8>(part, 2).filter(|month| (1..=12).contains(month)));
        let day = parts.next().map(|part| number(part, 2));
        let (month, day) = (flatten(month)?, flatten(day)?);
        let date = Date { year, month, day };
        let day_fits = day.is_none_or(|day| day >= 1 && day <= days_in_month(date.year, month.unwrap_or(1)));
        (parts.next().is_none() && day_fits && year > 0).then_some(date)
    }

    /// Days since 1970-01-01 of its first day.
    pub fn days(self) -> i64 {
        days_from_civil(i64::from(self.year), self.month.unwrap_or(1), self.day.unwrap_or(1))
    }
}

impl Time {
    /// Reads `14`, `14:34`, `14:34:28`, `14:34:28.123`.
    pub fn parse(text: &str) -> Option<Time> {
        let mut parts = text.split(':');
        let hour = number::<u8>(parts.next()?, 2).filter(|hour| *hour < 24)?;
        let minute = flatten(parts.next().map(|part| number::<u8>(part, 2).filter(|minute| *minute < 60)))?;
        let second = parts.next();
        if parts.next().is_some() {
            return None;
        }
        let Some(second) = second else {
            return Some(Time { hour, minute, milliseconds: None, has_fraction: false });
        };
        let (whole, fraction) = match second.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (second, None),
        };
        let whole = number::<u16>(whole, 2).filter(|second| *second <= 60)?;
        let thousandths = fraction.map_or(Some(0), milliseconds)?;
        let milliseconds = Some(whole * 1000 + thousandths);
        Some(Time { hour, minute, milliseconds, has_fraction: fraction.is_some() })
    }

    /// Milliseconds of the day of its first moment.
    pub fn milliseconds_of_day(self) -> i64 {
        (i64::from(self.hour) * 60 + i64::from(self.minute.unwrap_or(0))) * 60_000
            + i64::from(self.milliseconds.unwrap_or(0))
    }

    /// How its order to another stands; `None` when they agree as far as both are known but one is known further.
    pub fn compare(self, other: Time) -> Option<Ordering> {
        by_precision([
            (Some(i64::from(self.hour)), Some(i64::from(other.hour))),
            (self.minute.map(i64::from), other.minute.map(i64::from)),
            (self.milliseconds.map(i64::from), other.milliseconds.map(i64::from)),
        ])
    }
}

impl DateTime {
    /// Reads `2015`, `2015-02-04`, `2015-02-04T`, `2015-02-04T14:34`, `2015-02-04T14:34:28.123+09:00`.
    pub fn parse(text: &str) -> Option<DateTime> {
        let Some((date, time)) = text.split_once('T') else {
            return Some(DateTime::from(Date::parse(text)?));
        };
        let date = Date::parse(date)?;
        if time.is_empty() {
            return Some(DateTime::from(date));
        }
        date.day?;
        let (time, offset) = match time.find(['Z', '+', '-']) {
            Some(at) => (time.get(..at)?, Some(parse_offset(time.get(at..)?)?)),
            None => (time, None),
        };
        Some(DateTime { date, time: Some(Time::parse(time)?), offset })
    }

    /// Milliseconds since 1970-01-01T00:00:00Z of its first moment, taken as UTC without an offset.
    pub fn milliseconds(self) -> i64 {
        self.date.days() * 86_400_000 + self.time.map_or(0, Time::milliseconds_of_day)
            - i64::from(self.offset.unwrap_or(0)) * 60_000
    }

    /// How its order to another stands; `None` when it is undecided: they agree as far as both are known but one is known
    /// further, or only one of two times of day has an offset.
    pub fn compare(self, other: DateTime) -> Option<Ordering> {
        if let (Some(a), Some(b)) = (self.time, other.time) {
            if self.offset.is_some() != other.offset.is_some() {
                // Offsets run from -14 to +14 hours: what is further apart is decided all the same.
                let apart = self.milliseconds() - other.milliseconds();
                return (apart.abs() > 14 * 3_600_000).then(|| apart.cmp(&0));
            }
            let whole_hour = |offset: Option<i16>| offset.unwrap_or(0) % 60 == 0;
            let same_depth = a.minute.is_some() == b.minute.is_some()
                && a.milliseconds.is_some() == b.milliseconds.is_some();
            if same_depth && (a.minute.is_some() || whole_hour(self.offset) && whole_hour(other.offset)) {
                return Some(self.milliseconds().cmp(&other.milliseconds()));
            }
            let (a, b) = (self.milliseconds().div_euclid(60_000), other.milliseconds().div_euclid(60_000));
            return Some(a.cmp(&b)).filter(|order| order.is_ne());
        }
        let part = |value: Option<u8>| value.map(i64::from);
        let dates = [
            (Some(i64::from(self.date.year)), Some(i64::from(other.date.year))),
            (part(self.date.month), part(other.date.month)),
            (part(self.date.day), part(other.date.day)),
            (self.time.map(|_| 0), other.time.map(|_| 0)),
        ];
        by_precision(dates)
    }
}

impl From<Date> for DateTime {
    fn from(date: Date) -> DateTime {
        DateTime { date, time: None, offset: None }
    }
}

/// The first difference decides; equal to the end of both is equal; one that ends first is undecided.
fn by_precision<const N: usize>(parts: [(Option<i64>, Option<i64>); N]) -> Option<Ordering> {
    for (a, b) in parts {
        match (a, b) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => return Some(a.cmp(&b)),
            (None, None) => return Some(Ordering::Equal),
            _ => return None,
        }
    }
    Some(Ordering::Equal)
}

#[allow(clippy::option_option)] // "absent" and "present but wrong" are different here
fn flatten<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(None) => None,
        Some(some) => Some(some),
    }
}

fn number<N: std::str::FromStr>(text: &str, digits: usize) -> Option<N> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Of a fraction of a second; digits past the third are dropped.
fn milliseconds(fraction: &str) -> Option<u16> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<3}").get(..3)?.parse().ok()
}

fn parse_offset(text: &str) -> Option<i16> {
    if text == "Z" {
        return Some(0);
    }
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let minutes = number::<i16>(hours, 2)? * 60 + number::<i16>(minutes, 2).filter(|minute| *minute < 60)?;
    if minutes > 14 * 60 {
        return None;
    }
    Some(if text.starts_with('-') { -minutes } else { minutes })
}

/// Days of a month; 0 for a month that is none.
pub(super) fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 0,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar.
pub(super) fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date that is so many days after 1970-01-01.
pub(super) fn civil_from_days(days: i64) -> Option<Date> {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let date = Date {
        year: u16::try_from(year).ok()?,
        month: u8::try_from(month).ok(),
        day: u8::try_from(day).ok(),
    };
    (1..=9999).contains(&date.year).then_some(date)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.year)?;
        self.month.map_or(Ok(()), |month| write!(f, "-{month:02}"))?;
        self.day.map_or(Ok(()), |day| write!(f, "-{day:02}"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.hour)?;
        self.minute.map_or(Ok(()), |minute| write!(f, ":{minute:02}"))?;
        let Some(milliseconds) = self.milliseconds else { return Ok(()) };
        write!(f, ":{:02}", milliseconds / 1000)?;
        if self.has_fraction { write!(f, ".{:03}", milliseconds % 1000) } else { Ok(()) }
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date)?;
        let Some(time) = self.time else { return Ok(()) };
        write!(f, "T{time}")?;
        match self.offset {
            None => Ok(()),
            Some(0) => f.write_str("Z"),
            Some(offset) => {
                let sign = if offset < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept() {
        for text in [
            "2015",
            "2015-02",
            "2016-02-29",
            "2015-02-04T14",
            "2015-02-04T14:34",
            "2015-02-04T14:34:28Z",
            "2015-02-04T14:34:28.123+09:00",
            "2015-02-04T14:34:28-01:30",
        ] {
            assert_eq!(DateTime::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "15",
            "0000",
            "2015-13",
            "2015-00",
            "2015-02-29",
            "2015-02-00",
            "2015-02T10:00",
            "2015-02-04T24:00",
            "2015-02-04T10:60",
            "2015-02-04T10:00:61",
            "2015-02-04T10:00+15:00",
            "2015-02-04T10:00:00.",
            "2015-2",
        ] {
            assert_eq!(DateTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn days_count_both_ways() {
        for days in [-719_162, -1, 0, 59, 60, 11_016, 19_000, 2_932_896] {
            assert_eq!(civil_from_days(days).unwrap().days(), days);
        }
        assert_eq!(Date::parse("2000-03-01").unwrap().days(), 11_017);
    }

    #[test]
    fn unlike_precision_can_be_undecided() {
        let check = |a: &str, b: &str, expected: Option<Ordering>| {
            let (a, b) = (DateTime::parse(a).unwrap(), DateTime::parse(b).unwrap());
            assert_eq!(a.compare(b), expected, "{a} {b}");
            assert_eq!(b.compare(a), expected.map(Ordering::reverse), "{b} {a}");
        };
        check("2012", "2012", Some(Ordering::Equal));
        check("2012", "2012-01", None);
        check("2012", "2013-01", Some(Ordering::Less));
        check("2012-04-15", "2012-04-15T10:00:00", None);
        check("2012-04-15T10:00:00", "2012-04-15T10:00:00.0", Some(Ordering::Equal));
        check("2012-04-15T10:00", "2012-04-15T10:00:00", None);
        check("2012-04-15T10:00", "2012-04-15T10:01:00", Some(Ordering::Less));
        check("2012-04-15T15:00:00Z", "2012-04-15T17:00:00+02:00", Some(Ordering::Equal));
        check("2012-04-15T15:00:00Z", "2012-04-15T15:00:00", None);
        check("2012-04-15T15:00:00Z", "2012-04-17T15:00:00", Some(Ordering::Less));
    }
}
