//! Times as `meta.lastUpdated` writes them: <https://hl7.org/fhir/R4/datatypes.html#instant>, in UTC, with
//! milliseconds.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Timestamp, Write};

const DAY_MS: i64 = 86_400_000;

/// Of year 0000 and of year 10000; [`Timestamp::text`] keeps within.
const FIRST_MS: i64 = -719_528 * DAY_MS;
const END_MS: i64 = 2_932_897 * DAY_MS;

impl Timestamp {
    /// The clock's time.
    pub fn now() -> Timestamp {
        let millis = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(millis(after)),
            Err(before) => Timestamp(-millis(before.duration())),
        }
    }

    /// `2026-11-22T02:10:33.123Z`, in ASCII. Years below 0000 or above 9999 cannot be written so: the nearest
    /// time that can is.
    pub fn text(self) -> [u8; Write::STAMP_LENGTH] {
        let ms = self.0.clamp(FIRST_MS, END_MS - 1);
        let (year, month, day) = civil(ms.div_euclid(DAY_MS));
        let of_day = ms.rem_euclid(DAY_MS);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let fields = [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, of_day / 3_600_000),
            (14, 2, of_day / 60_000 % 60),
            (17, 2, of_day / 1000 % 60),
            (20, 3, of_day % 1000),
        ];
        for (start, width, mut number) in fields {
            for digit in text.iter_mut().skip(start).take(width).rev() {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
                number /= 10;
            }
        }
        text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years are counted from
/// March, so that the day that leap years add is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ms: i64, text: &str) {
        assert_eq!(Timestamp(ms).to_string(), text, "{ms}");
    }

    #[test]
    fn times_are_written_as_instants() {
        check(0, "1970-01-01T00:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(951_782_399_999, "2000-02-28T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(951_868_800_000, "2000-03-01T00:00:00.000Z");
        check(1_795_313_433_123, "2026-11-22T02:10:33.123Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
        check(4_107_542_399_999, "2100-02-28T23:59:59.999Z");
        check(-62_167_219_200_000, "0000-01-01T00:00:00.000Z");
        check(253_402_300_799_999, "9999-12-31T23:59:59.999Z");
        check(i64::MAX, "9999-12-31T23:59:59.999Z");
        check(i64::MIN, "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn days_follow_one_another() {
        let month_lengths = |year: i64| {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut day = -719_528;
        for year in 0..10_000 {
            for (month, length) in (1..).zip(month_lengths(year)) {
                for of_month in 1..=length {
                    assert_eq!(civil(day), (year, month, of_month));
                    day += 1;
                }
            }
        }
        assert_eq!(day * DAY_MS, END_MS);
    }
}
