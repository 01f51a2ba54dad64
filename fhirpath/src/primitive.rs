//! FHIR's primitive types: which texts are values of them (<https://hl7.org/fhir/R4/datatypes.html>), and
//! what span of time or of numbers a text stands for.
//!
//! It judges texts alone: which JSON type carries them is the parser's concern, code lists are validation's.

/// A primitive type of R4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // https://hl7.org/fhir/R4/datatypes.html documents each
pub enum Primitive {
    Boolean,
    Integer,
    UnsignedInt,
    PositiveInt,
    Decimal,
    String,
    Markdown,
    Code,
    Id,
    Uri,
    Url,
    Canonical,
    Oid,
    Uuid,
    Date,
    DateTime,
    Instant,
    Time,
    Base64Binary,
    Xhtml,
}

/// The JSON type that carries a primitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
}

/// Why a text is not a value of a primitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// It has another form.
    #[error("is not {}", .0.form())]
    Form(Primitive),
    /// It is a number or a date outside the type's range.
    #[error("is out of range: {}", .0.range())]
    Range(Primitive),
    /// It has more characters than the type allows.
    #[error("is longer than {MAX_CHARACTERS} characters")]
    TooLong,
}

/// "Strings SHALL NOT exceed 1MB (1024*1024 characters) in size."
pub const MAX_CHARACTERS: usize = 1024 * 1024;

/// A number with the precision it was written with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decimal {
    /// The nearest `f64`.
    pub value: f64,
    /// Half a unit of the last digit written: 0.5 for `100`, 0.005 for `1.10`, 50 for `1e2`.
    pub half_width: f64,
}

impl Primitive {
    /// All of them.
    pub const ALL: [Primitive; 20] = [
        Primitive::Boolean,
        Primitive::Integer,
        Primitive::UnsignedInt,
        Primitive::PositiveInt,
        Primitive::Decimal,
        Primitive::String,
        Primitive::Markdown,
        Primitive::Code,
        Primitive::Id,
        Primitive::Uri,
        Primitive::Url,
        Primitive::Canonical,
        Primitive::Oid,
        Primitive::Uuid,
        Primitive::Date,
        Primitive::DateTime,
        Primitive::Instant,
        Primitive::Time,
        Primitive::Base64Binary,
        Primitive::Xhtml,
    ];

    /// The primitive of a name (`dateTime`).
    pub fn from_name(name: &str) -> Option<Primitive> {
        Primitive::ALL.into_iter().find(|primitive| primitive.name() == name)
    }

    /// Its name (`dateTime`).
    pub fn name(self) -> &'static str {
        match self {
            Primitive::Boolean => "boolean",
            Primitive::Integer => "integer",
            Primitive::UnsignedInt => "unsignedInt",
            Primitive::PositiveInt => "positiveInt",
            Primitive::Decimal => "decimal",
            Primitive::String => "string",
            Primitive::Markdown => "markdown",
            Primitive::Code => "code",
            Primitive::Id => "id",
            Primitive::Uri => "uri",
            Primitive::Url => "url",
            Primitive::Canonical => "canonical",
            Primitive::Oid => "oid",
            Primitive::Uuid => "uuid",
            Primitive::Date => "date",
            Primitive::DateTime => "dateTime",
            Primitive::Instant => "instant",
            Primitive::Time => "time",
            Primitive::Base64Binary => "base64Binary",
            Primitive::Xhtml => "xhtml",
        }
    }

    /// The JSON type that carries it.
    #[inline]
    pub fn json_type(self) -> JsonType {
        match self {
            Primitive::Boolean => JsonType::Boolean,
            Primitive::Integer | Primitive::UnsignedInt | Primitive::PositiveInt | Primitive::Decimal => {
                JsonType::Number
            }
            _ => JsonType::String,
        }
    }

    /// The form of its values, for a person: "a date (YYYY, YYYY-MM or YYYY-MM-DD)".
    pub fn form(self) -> &'static str {
        match self {
            Primitive::Boolean => "true or false",
            Primitive::Integer => "a whole number",
            Primitive::UnsignedInt => "a whole number of 0 or more",
            Primitive::PositiveInt => "a whole number of 1 or more",
            Primitive::Decimal => "a decimal number",
            Primitive::String | Primitive::Markdown | Primitive::Xhtml => "a text of at least one character",
            Primitive::Code => "a code (no white space at the ends, single spaces inside)",
            Primitive::Id => "an id (1 to 64 letters, digits, '-' and '.')",
            Primitive::Uri => "a URI (no white space)",
            Primitive::Url => "a URL (no white space)",
            Primitive::Canonical => "a canonical URL (no white space)",
            Primitive::Oid => "an OID (urn:oid:1.2.3)",
            Primitive::Uuid => "a UUID (urn:uuid: and 36 lower-case characters)",
            Primitive::Date => "a date (YYYY, YYYY-MM or YYYY-MM-DD)",
            Primitive::DateTime => {
                "a dateTime (YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with a time zone)"
            }
            Primitive::Instant => "an instant (YYYY-MM-DDThh:mm:ss with a time zone)",
            Primitive::Time => "a time of day (hh:mm:ss)",
            Primitive::Base64Binary => "base64 (groups of four characters)",
        }
    }

    fn range(self) -> &'static str {
        match self {
            Primitive::Integer => "-2147483648 to 2147483647",
            Primitive::UnsignedInt => "0 to 2147483647",
            Primitive::PositiveInt => "1 to 2147483647",
            Primitive::Decimal => "-1.7e308 to 1.7e308",
            _ => "no such day or time",
        }
    }

    /// Whether `text` is a value of this type.
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub fn check(self, text: &str) -> Result<(), ValueError> {
        let bytes = text.as_bytes();
        let good = match self {
            Primitive::Boolean => text == "true" || text == "false",
            Primitive::Integer | Primitive::UnsignedInt | Primitive::PositiveInt => {
                return self.check_integer(bytes);
            }
            Primitive::Decimal => return self.check_decimal(text),
            Primitive::String | Primitive::Markdown => {
                if text.len() > MAX_CHARACTERS && text.chars().count() > MAX_CHARACTERS {
                    return Err(ValueError::TooLong);
                }
                !bytes.is_empty()
            }
            Primitive::Xhtml => !bytes.is_empty(),
            Primitive::Code => is_code(bytes),
            Primitive::Id => is_id(text),
            Primitive::Uri | Primitive::Url | Primitive::Canonical => {
                !bytes.is_empty() && !bytes.iter().any(|&byte| is_space(byte))
            }
            Primitive::Oid => is_oid(text),
            Primitive::Uuid => text.strip_prefix("urn:uuid:").is_some_and(is_uuid),
            Primitive::Date | Primitive::DateTime | Primitive::Instant => return self.check_moment(bytes),
            Primitive::Time => {
                let mut rest = bytes;
                return match time(&mut rest) {
                    Some(_) if !rest.is_empty() => Err(ValueError::Form(self)),
                    Some(time) if time.has_seconds => time.check(self),
                    _ => Err(ValueError::Form(self)),
                };
            }
            Primitive::Base64Binary => is_base64(bytes),
        };
        if good { Ok(()) } else { Err(ValueError::Form(self)) }
    }

    fn check_integer(self, bytes: &[u8]) -> Result<(), ValueError> {
        let (negative, digits) = match bytes {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let well_formed = match digits {
            [b'0'] => !negative,
            [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        if !well_formed {
            return Err(ValueError::Form(self));
        }
        let least = match self {
            Primitive::UnsignedInt => 0,
            Primitive::PositiveInt => 1,
            _ => i64::from(i32::MIN),
        };
        let size = digits.iter().take(11).fold(0_i64, |sum, &digit| sum * 10 + i64::from(digit - b'0'));
        let value = if negative { -size } else { size };
        if (least..=i64::from(i32::MAX)).contains(&value) { Ok(()) } else { Err(ValueError::Range(self)) }
    }

    fn check_decimal(self, text: &str) -> Result<(), ValueError> {
        if !is_number(text.as_bytes()) {
            return Err(ValueError::Form(self));
        }
        // Only an exponent or hundreds of digits can leave the range.
        let plain = text.len() < 300 && !text.contains(['e', 'E']);
        if plain || text.parse().is_ok_and(f64::is_finite) { Ok(()) } else { Err(ValueError::Range(self)) }
    }

    fn check_moment(self, bytes: &[u8]) -> Result<(), ValueError> {
        let moment = Moment::parse(bytes).ok_or(ValueError::Form(self))?;
        let good = match (&moment.time, self) {
            (None, Primitive::Instant) | (Some(_), Primitive::Date) => false,
            (None, _) => true,
            (Some(time), _) => time.has_seconds && moment.zone_minutes.is_some(),
        };
        if !good {
            return Err(ValueError::Form(self));
        }
        moment.check(self)
    }
}

/// The first and last microsecond, since 1970 in UTC, that a date, dateTime or instant stands for. Also
/// takes what search adds: minutes without seconds and a time without zone. Without zone it is UTC; digits
/// past the microsecond are dropped. `None` when `text` is none of these.
pub fn span(text: &str) -> Option<(i64, i64)> {
    let moment = Moment::parse(text.as_bytes())?;
    moment.check(Primitive::DateTime).ok()?;
    Some(moment.span())
}

/// The number a decimal's or integer's text stands for. `None` when it is not a number of JSON, or infinite.
///
/// The search page's examples for `1e2` (95 to 105) and `5.40e-3` (plus or minus 0.00005) disagree with each
/// other and with its rule; here, as the rule says, the last digit written counts.
pub fn decimal(text: &str) -> Option<Decimal> {
    if !is_number(text.as_bytes()) {
        return None;
    }
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let places = mantissa.split_once('.').map_or(0, |(_, places)| places.len());
    let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(places).ok()?)?;
    let exponent = i32::try_from(exponent).ok()?;
    Some(Decimal { value, half_width: 0.5 * 10_f64.powi(exponent) })
}

/// A date, perhaps with a time of day.
struct Moment {
    year: i64,
    month: Option<u32>,
    day: Option<u32>,
    time: Option<Time>,
    zone_minutes: Option<i64>,
}

/// A time of day.
struct Time {
    hour: u32,
    minute: u32,
    has_seconds: bool,
    second: u32,
    /// Microseconds, and how many more of them the digits written leave open.
    fraction_us: i64,
    open_us: i64,
}

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

impl Moment {
    /// Form only; [`Moment::check`] says whether there is such a day.
    fn parse(bytes: &[u8]) -> Option<Moment> {
        let mut rest = bytes;
        let year = i64::from(digits(&mut rest, 4)?);
        let mut moment = Moment { year, month: None, day: None, time: None, zone_minutes: None };
        if take(&mut rest, b'-') {
            moment.month = Some(digits(&mut rest, 2)?);
            if take(&mut rest, b'-') {
                moment.day = Some(digits(&mut rest, 2)?);
                if take(&mut rest, b'T') {
                    moment.time = Some(time(&mut rest)?);
                    moment.zone_minutes = zone(&mut rest)?;
                }
            }
        }
        rest.is_empty().then_some(moment)
    }

    fn check(&self, primitive: Primitive) -> Result<(), ValueError> {
        let month = self.month.unwrap_or(1);
        let good = self.year > 0
            && (1..=12).contains(&month)
            && self.day.is_none_or(|day| (1..=days_in(self.year, month)).contains(&day))
            && self.zone_minutes.is_none_or(|minutes| minutes.abs() <= 14 * 60);
        if !good {
            return Err(ValueError::Range(primitive));
        }
        self.time.as_ref().map_or(Ok(()), |time| time.check(primitive))
    }

    fn span(&self) -> (i64, i64) {
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let start = days_since_1970(self.year, month, day) * DAY_US;
        let days = match (self.month, self.day) {
            (None, _) => days_since_1970(self.year + 1, 1, 1) - days_since_1970(self.year, 1, 1),
            (Some(month), None) => i64::from(days_in(self.year, month)),
            (Some(_), Some(_)) => 1,
        };
        let Some(time) = &self.time else { return (start, start + days * DAY_US - 1) };
        let minutes = i64::from(time.hour) * 60 + i64::from(time.minute) - self.zone_minutes.unwrap_or(0);
        let start = start + minutes * MINUTE_US + i64::from(time.second) * 1_000_000 + time.fraction_us;
        (start, start + time.open_us)
    }
}

impl Time {
    fn check(&self, primitive: Primitive) -> Result<(), ValueError> {
        // 60 is a leap second.
        let good = self.hour <= 23 && self.minute <= 59 && self.second <= 60;
        if good { Ok(()) } else { Err(ValueError::Range(primitive)) }
    }
}

/// `hh:mm` or `hh:mm:ss` or `hh:mm:ss.fff`.
fn time(rest: &mut &[u8]) -> Option<Time> {
    let hour = digits(rest, 2)?;
    take(rest, b':').then_some(())?;
    let minute = digits(rest, 2)?;
    let mut time =
        Time { hour, minute, has_seconds: false, second: 0, fraction_us: 0, open_us: MINUTE_US - 1 };
    if !take(rest, b':') {
        return Some(time);
    }
    time.has_seconds = true;
    time.second = digits(rest, 2)?;
    time.open_us = 1_000_000 - 1;
    if take(rest, b'.') {
        let mut unit = 1_000_000;
        let mut any = false;
        while let [digit @ b'0'..=b'9', tail @ ..] = *rest {
            unit /= 10;
            time.fraction_us += i64::from(digit - b'0') * unit;
            any = true;
            *rest = tail;
        }
        any.then_some(())?;
        time.open_us = (unit - 1).max(0);
    }
    Some(time)
}

/// `Z`, `+hh:mm`, `-hh:mm` or nothing.
fn zone(rest: &mut &[u8]) -> Option<Option<i64>> {
    if take(rest, b'Z') {
        return Some(Some(0));
    }
    let sign = match rest.first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Some(None),
    };
    *rest = rest.get(1..)?;
    let hours = i64::from(digits(rest, 2)?);
    take(rest, b':').then_some(())?;
    let minutes = i64::from(digits(rest, 2)?);
    (minutes <= 59).then_some(Some(sign * (hours * 60 + minutes)))
}

#[inline]
fn take(rest: &mut &[u8], byte: u8) -> bool {
    match *rest {
        [first, tail @ ..] if *first == byte => {
            *rest = tail;
            true
        }
        _ => false,
    }
}

#[inline]
fn digits(rest: &mut &[u8], count: usize) -> Option<u32> {
    let (number, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    number.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counting years from March so that the leap day is last.
fn days_since_1970(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + day_of_year - 719_468
}

/// White space as the patterns of the specification mean it.
#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn is_code(bytes: &[u8]) -> bool {
    let mut after_space = true;
    for &byte in bytes {
        let space = is_space(byte);
        if space && after_space {
            return false;
        }
        after_space = space;
    }
    !after_space
}

/// Whether a text is an id (<https://hl7.org/fhir/R4/datatypes.html#id>).
pub fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_oid(text: &str) -> bool {
    let Some(arcs) = text.strip_prefix("urn:oid:") else { return false };
    let mut arcs = arcs.split('.');
    let first = matches!(arcs.next(), Some("0" | "1" | "2"));
    let number = |arc: &str| {
        !arc.is_empty()
            && arc.bytes().all(|byte| byte.is_ascii_digit())
            && (arc == "0" || !arc.starts_with('0'))
    };
    first && arcs.clone().next().is_some() && arcs.all(number)
}

fn is_uuid(text: &str) -> bool {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => lower_hex(byte),
        })
}

/// Groups of four, padded at the end; white space may stand anywhere.
fn is_base64(bytes: &[u8]) -> bool {
    let (mut count, mut padding) = (0_usize, 0_usize);
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => count += 1,
            b'=' => padding += 1,
            byte if is_space(byte) => {}
            _ => return false,
        }
    }
    count > 0 && padding <= 2 && (count + padding).is_multiple_of(4)
}

/// A number as JSON and FHIR's decimal write it.
pub(crate) fn is_number(bytes: &[u8]) -> bool {
    fn run(rest: &mut &[u8]) -> usize {
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *rest = rest.get(count..).unwrap_or_default();
        count
    }
    let mut rest = bytes;
    take(&mut rest, b'-');
    let leading_zero = rest.first() == Some(&b'0');
    let whole = run(&mut rest);
    if whole == 0 || (leading_zero && whole > 1) {
        return false;
    }
    if take(&mut rest, b'.') && run(&mut rest) == 0 {
        return false;
    }
    if take(&mut rest, b'e') || take(&mut rest, b'E') {
        let _sign = take(&mut rest, b'+') || take(&mut rest, b'-');
        if run(&mut rest) == 0 {
            return false;
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests;
