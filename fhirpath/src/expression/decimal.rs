//! Decimal numbers of the language: exact, 28 digits and more, never a binary fraction
//! (<https://hl7.org/fhirpath/N1/#decimal>). What does not fit is `None`, which the language turns into empty.

use std::cmp::Ordering;
use std::fmt;

/// `mantissa / 10^scale`. The scale is kept as written (`1.50`); comparison ignores it.
// Packed so that an item is 32 bytes: an `i128` alone would align it to 16.
#[derive(Debug, Clone, Copy)]
#[repr(Rust, packed(8))]
pub struct Decimal {
    mantissa: i128,
    scale: u32,
}

/// Most digits after the point that are kept by division.
const DIVISION_SCALE: u32 = 16;
/// Most digits after the point that are read.
const MAX_SCALE: u32 = 28;

impl Decimal {
    /// `mantissa / 10^scale`.
    pub fn new(mantissa: i128, scale: u32) -> Decimal {
        Decimal { mantissa, scale }
    }

    /// Reads `-1.50`, `1e3`. `None` when it is no decimal or has too many digits.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(unsigned) || !digits(fraction) {
            return None;
        }
        let fraction = if number.contains('.') { fraction } else { "" };
        let mut mantissa = 0i128;
        for byte in unsigned.bytes().chain(fraction.bytes()) {
            mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
        }
        let mantissa = if whole.starts_with('-') { -mantissa } else { mantissa };
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        match u32::try_from(scale) {
            Ok(scale) if scale <= MAX_SCALE => Some(Decimal { mantissa, scale }),
            Ok(_) => None,
            Err(_) => Some(Decimal {
                mantissa: mantissa.checked_mul(power_of_ten(scale.unsigned_abs())?)?,
                scale: 0,
            }),
        }
    }

    /// Digits after the point.
    pub fn scale(self) -> u32 {
        self.scale
    }

    /// Without zeros at the end of the fraction.
    #[must_use]
    pub fn normalized(mut self) -> Decimal {
        while self.scale > 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }

    /// The same value with exactly `scale` digits after the point, rounded half away from zero.
    pub fn rescaled(self, scale: u32) -> Option<Decimal> {
        let mantissa = if scale >= self.scale {
            self.mantissa.checked_mul(power_of_ten(scale - self.scale)?)?
        } else {
            divide_rounded(self.mantissa, power_of_ten(self.scale - scale)?)?
        };
        Some(Decimal { mantissa, scale })
    }

    /// The mantissa when it has exactly `scale` digits after the point.
    pub fn mantissa_at(self, scale: u32) -> Option<i128> {
        self.rescaled(scale).map(|number| number.mantissa)
    }

    fn aligned(self, other: Decimal) -> Option<(i128, i128, u32)> {
        let scale = self.scale.max(other.scale);
        Some((self.rescaled(scale)?.mantissa, other.rescaled(scale)?.mantissa, scale))
    }

    /// `self + other`
    pub fn plus(self, other: Decimal) -> Option<Decimal> {
        let (a, b, scale) = self.aligned(other)?;
        Some(Decimal { mantissa: a.checked_add(b)?, scale })
    }

    /// `self - other`
    pub fn minus(self, other: Decimal) -> Option<Decimal> {
        self.plus(other.negate())
    }

    /// `self * other`
    pub fn multiply(self, other: Decimal) -> Option<Decimal> {
        let (a, b) = (self.normalized(), other.normalized());
        let product = Decimal { mantissa: a.mantissa.checked_mul(b.mantissa)?, scale: a.scale + b.scale };
        let kept = (self.scale + other.scale).min(MAX_SCALE);
        product.rescaled(kept).or_else(|| (product.scale <= MAX_SCALE).then_some(product))
    }

    /// `self / other`, at most 16 digits after the point; `None` for a division by zero.
    pub fn divide(self, other: Decimal) -> Option<Decimal> {
        let (a, b) = (self.normalized(), other.normalized());
        let shift = (DIVISION_SCALE + b.scale).checked_sub(a.scale)?;
        let mantissa = divide_rounded(a.mantissa.checked_mul(power_of_ten(shift)?)?, b.mantissa)?;
        Some(Decimal { mantissa, scale: DIVISION_SCALE }.normalized())
    }

    /// The whole part of `self / other`.
    pub fn divide_whole(self, other: Decimal) -> Option<Decimal> {
        let (a, b, _) = self.aligned(other)?;
        Some(Decimal { mantissa: a.checked_div(b)?, scale: 0 })
    }

    /// What [`Decimal::divide_whole`] leaves.
    pub fn remainder(self, other: Decimal) -> Option<Decimal> {
        let (a, b, scale) = self.aligned(other)?;
        Some(Decimal { mantissa: a.checked_rem(b)?, scale })
    }

    /// `-self`
    #[must_use]
    pub fn negate(self) -> Decimal {
        Decimal { mantissa: -self.mantissa, ..self }
    }

    /// Without its fraction.
    pub fn truncate(self) -> Option<Decimal> {
        Some(Decimal { mantissa: self.mantissa.checked_div(power_of_ten(self.scale)?)?, scale: 0 })
    }

    /// The greatest whole number that is not above it.
    pub fn floor(self) -> Option<Decimal> {
        Some(Decimal { mantissa: self.mantissa.checked_div_euclid(power_of_ten(self.scale)?)?, scale: 0 })
    }

    /// The greatest number with `digits` digits after the point that is not above it; `None` for too many digits.
    pub fn floor_at(self, digits: u32) -> Option<Decimal> {
        if digits >= self.scale {
            return self.rescaled(digits).filter(|_| digits <= MAX_SCALE);
        }
        let mantissa = self.mantissa.checked_div_euclid(power_of_ten(self.scale - digits)?)?;
        Some(Decimal { mantissa, scale: digits })
    }

    /// The value as an integer, when it has no fraction and fits.
    pub fn to_integer(self) -> Option<i64> {
        let plain = self.normalized();
        if plain.scale > 0 { None } else { i64::try_from(plain.mantissa).ok() }
    }

    /// The nearest binary fraction, for functions that have no exact result.
    pub fn to_f64(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The shortest decimal that a binary fraction stands for; `None` for NaN and what does not fit.
    pub fn from_f64(value: f64) -> Option<Decimal> {
        if !value.is_finite() || value.abs() > 1e20 {
            return None;
        }
        let exact = Decimal::parse(&format!("{value:.16}"))?;
        // 15 significant digits are all that a binary fraction is sure of.
        let whole_digits = exact.truncate()?.mantissa.unsigned_abs().checked_ilog10().map_or(0, |n| n + 1);
        Some(exact.rescaled(15u32.saturating_sub(whole_digits))?.normalized())
    }
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    10i128.checked_pow(exponent)
}

/// Half away from zero.
fn divide_rounded(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    let rest = a.checked_rem(b)?.unsigned_abs();
    if rest >= b.unsigned_abs() - rest && rest > 0 {
        quotient.checked_add(if (a < 0) == (b < 0) { 1 } else { -1 })
    } else {
        Some(quotient)
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Decimal {
        Decimal { mantissa: i128::from(value), scale: 0 }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        match self.aligned(*other) {
            Some((a, b, _)) => a.cmp(&b),
            // One is so large that it cannot be written with the other's fraction; the whole parts differ then.
            None => self.truncate().map(|n| n.mantissa).cmp(&other.truncate().map(|n| n.mantissa)),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        let scale = usize::try_from(self.scale).unwrap_or(0);
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at_checked(padded.len() - scale).unwrap_or((&padded, ""));
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn text_is_kept() {
        for text in
            ["0", "-0.10", "1.50", "123456789012345678901234567.8", "-12", "0.0000000000000000000000000001"]
        {
            assert_eq!(decimal(text).to_string(), text);
        }
        assert_eq!(decimal("1.5e3").to_string(), "1500");
        assert_eq!(decimal("15e-1").to_string(), "1.5");
        for text in ["", "-", ".5", "5.", "1e", "1e99", "1e-99", "0x1", "1_0", "1.2.3"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_is_exact() {
        let check = |found: Option<Decimal>, expected: &str| {
            assert_eq!(found.map(|n| n.to_string()).unwrap_or_default(), expected);
        };
        check(decimal("0.1").plus(decimal("0.2")), "0.3");
        check(decimal("1.8").minus(decimal("1.20")), "0.60");
        check(decimal("1.2").multiply(decimal("1.8")), "2.16");
        check(decimal("1").divide(decimal("3")), "0.3333333333333333");
        check(decimal("-2").divide(decimal("3")), "-0.6666666666666667");
        check(decimal("1").divide(decimal("0")), "");
        check(decimal("5.5").divide_whole(decimal("0.7")), "7");
        check(decimal("5.5").remainder(decimal("0.7")), "0.6");
        check(decimal("-1.5").floor(), "-2");
        check(decimal("2.5").rescaled(0), "3");
        check(decimal("-2.5").rescaled(0), "-3");
        check(Decimal::from_f64(0.1 + 0.2), "0.3");
        check(Decimal::from_f64(f64::NAN), "");
        assert_eq!(decimal("1.50"), decimal("1.5"));
        assert!(decimal("-1") < decimal("0.000001"));
    }
}
