//! Dates of HTTP headers (RFC 9110 5.6.7): written often, so without allocation; read seldom.

use axum::http::header::HeaderValue;
use store::Timestamp;

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// `Sun, 06 Nov 1994 08:49:37 GMT`. `None` outside the years 1970 to 9999.
pub fn header(time: Timestamp) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&text(time)?).ok()
}

fn text(time: Timestamp) -> Option<[u8; 29]> {
    let seconds = u64::try_from(time.0).ok()? / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days)?;
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let mut put = |at: usize, bytes: &[u8]| {
        for (slot, byte) in out.iter_mut().skip(at).zip(bytes) {
            *slot = *byte;
        }
    };
    put(0, *DAYS.get(usize::try_from(days % 7).ok()?)?);
    put(5, &two(day));
    put(8, *MONTHS.get(usize::try_from(month - 1).ok()?)?);
    put(12, &two(year / 100));
    put(14, &two(year % 100));
    put(17, &two(second / 3600));
    put(20, &two(second / 60 % 60));
    put(23, &two(second % 60));
    Some(out)
}

fn two(number: u64) -> [u8; 2] {
    let digit = |n: u64| b'0' + u8::try_from(n % 10).unwrap_or(0);
    [digit(number / 10), digit(number)]
}

/// Year, month and day of a number of days since 1970-01-01, by counting eras of 400 years from 1 March of year 0.
fn civil(days: u64) -> Option<(u64, u64, u64)> {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year <= 9999).then_some((year, month, day))
}

/// Reads such a date. `None` for any other text.
pub fn parse(header: &HeaderValue) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(header.to_str().ok()?).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_827_696_999, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (1_795_314_286_123, "Sun, 22 Nov 2026 02:24:46 GMT"),
            (253_399_622_400_000, "Wed, 01 Dec 9999 00:00:00 GMT"),
        ];
        for (milliseconds, expected) in cases {
            let written = header(Timestamp(milliseconds)).unwrap();
            assert_eq!(written.to_str().unwrap(), expected);
            assert_eq!(parse(&written), Some(Timestamp(milliseconds / 1000 * 1000)));
        }
        assert!(header(Timestamp(-1)).is_none());
        assert!(header(Timestamp(253_402_300_800_000)).is_none());
        assert_eq!(parse(&HeaderValue::from_static("yesterday")), None);
    }
}
