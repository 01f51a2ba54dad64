//! What span of numbers a text stands for: the implicit precision of
//! <https://hl7.org/fhir/R4/search.html#number>. Knows no elements and no prefixes.

/// A number as a query writes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number {
    /// Its value.
    pub value: f64,
    /// The least number that rounds to it at the precision written.
    pub lo: f64,
    /// The largest.
    pub hi: f64,
}

/// Digits a query may write: enough for FHIR's decimals, and few enough for exact arithmetic.
const MAX_DIGITS: usize = 30;
/// Largest exponent, either sign.
const MAX_EXPONENT: i32 = 300;

/// Reads `-?digits[.digits][(e|E)[+-]digits]`; `None` for any other text, and beyond 30 digits or an exponent of
/// 300.
///
/// `100` stands for 99.5 up to but not including 100.5. With an exponent the specification's own example counts one digit
/// more than is written: `1e2` stands for 95 up to 105. Bounds are computed in decimal, so that `5.4` has exactly 5.35.
pub(crate) fn number(text: &str) -> Option<Number> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(integer(exponent)?)),
        None => (text, None),
    };
    let (negative, unsigned) = match mantissa.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, mantissa),
    };
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (unsigned, ""),
    };
    let digits = whole.len() + fraction.len();
    if whole.is_empty()
        || digits > MAX_DIGITS
        || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let magnitude = whole
        .bytes()
        .chain(fraction.bytes())
        .fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let mantissa = if negative { -magnitude } else { magnitude };
    let last_place = exponent.unwrap_or(0) - i32::try_from(fraction.len()).ok()?;
    let half_place = if exponent.is_some() && fraction.is_empty() { last_place - 2 } else { last_place - 1 };
    let scale = 10_i128.pow(u32::try_from(last_place - half_place).ok()?);
    Some(Number {
        value: float(mantissa, last_place)?,
        lo: float(mantissa * scale - 5, half_place)?,
        hi: float(mantissa * scale + 5, half_place)?.next_down(),
    })
}

fn integer(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|value: &i32| value.abs() <= MAX_EXPONENT)
}

/// `mantissa * 10^exponent`, rounded once.
fn float(mantissa: i128, exponent: i32) -> Option<f64> {
    format!("{mantissa}e{exponent}").parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::number;

    fn check(text: &str, value: f64, lo: f64, above: f64) {
        let read = number(text).unwrap_or_else(|| panic!("{text} is a number"));
        assert_eq!((read.value, read.lo, read.hi), (value, lo, above.next_down()), "{text}");
    }

    #[test]
    fn the_precision_is_what_is_written() {
        check("100", 100.0, 99.5, 100.5);
        check("100.00", 100.0, 99.995, 100.005);
        check("1e2", 100.0, 95.0, 105.0);
        check("1.0e2", 100.0, 95.0, 105.0);
        check("5.4", 5.4, 5.35, 5.45);
        check("-5.4", -5.4, -5.45, -5.35);
        check("0", 0.0, -0.5, 0.5);
        check("5.40e-3", 0.0054, 0.005_395, 0.005_405);
        check("5.4E+1", 54.0, 53.5, 54.5);
    }

    #[test]
    fn texts_that_are_no_numbers() {
        for text in [
            "", "-", ".5", "5.", "+5", "1e", "1e+", "1e301", "0x1", "NaN", "inf", "1,5", "1 ", "--1", "1e2.5",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(number(&"1".repeat(31)), None);
    }
}
