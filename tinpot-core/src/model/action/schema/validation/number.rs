//! Exact comparison and division of JSON numbers.

use std::cmp::Ordering;

use serde_json::Number;

/// Decimal places that are looked at: an `f64` has at most 17 significant digits.
const SCALE_MAX: i32 = 20;

/// Compares two numbers by value: `1` and `1.0` are equal, and no integer is rounded.
pub(super) fn compare(a: &Number, b: &Number) -> Ordering {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => compare_mixed(a, float(b)),
        (None, Some(b)) => compare_mixed(b, float(a)).reverse(),
        (None, None) => float(a).total_cmp(&float(b)),
    }
}

/// Returns true if `number` divided by `divisor` is an integer, both taken as the decimal numbers
/// that they are written as.
pub(super) fn is_multiple(number: &Number, divisor: &Number) -> bool {
    if let (Some(number), Some(divisor)) = (integer(number), integer(divisor)) {
        return divisor != 0 && number % divisor == 0;
    }
    match (decimal(number), decimal(divisor)) {
        (Some((a, a_scale)), Some((b, b_scale))) => {
            let scale = a_scale.max(b_scale);
            match (scaled(a, scale - a_scale), scaled(b, scale - b_scale)) {
                (Some(a), Some(b)) => b != 0 && a % b == 0,
                _ => rounds_to_integer(float(number) / float(divisor)),
            }
        }
        _ => rounds_to_integer(float(number) / float(divisor)),
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

/// Compares an integer with a float without rounding the integer.
fn compare_mixed(a: i128, b: f64) -> Ordering {
    // Integers of JSON fit 65 bits, far inside an i128: a float beyond those is larger than any.
    if b >= 1e30 {
        return Ordering::Less;
    }
    if b <= -1e30 {
        return Ordering::Greater;
    }
    let whole = b.trunc();
    a.cmp(&(whole as i128)).then_with(|| {
        let fraction = b - whole;
        0.0_f64.total_cmp(&if fraction == 0.0 { 0.0 } else { fraction })
    })
}

/// Returns the digits of a number and how many of them stand after the decimal point.
fn decimal(number: &Number) -> Option<(i128, i32)> {
    let text = number.to_string();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    (scale.abs() <= SCALE_MAX).then_some((digits, scale))
}

fn scaled(digits: i128, places: i32) -> Option<i128> {
    digits.checked_mul(10_i128.checked_pow(u32::try_from(places).ok()?)?)
}

fn rounds_to_integer(quotient: f64) -> bool {
    quotient.is_finite() && quotient.fract() == 0.0
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use serde_json::{Number, Value};

    use super::{compare, is_multiple};

    fn number(text: &str) -> Number {
        match serde_json::from_str(text).unwrap() {
            Value::Number(number) => number,
            other => panic!("{other} is not a number"),
        }
    }

    #[test]
    fn numbers_are_compared_by_value() {
        for (a, b, expected) in [
            ("1", "1.0", Ordering::Equal),
            ("9007199254740993", "9007199254740992.0", Ordering::Greater),
            ("18446744073709551615", "-1", Ordering::Greater),
            ("-1", "-0.5", Ordering::Less),
            ("0", "-0.0", Ordering::Equal),
            ("3", "3.25", Ordering::Less),
            ("18446744073709551615", "1e300", Ordering::Less),
        ] {
            assert_eq!(compare(&number(a), &number(b)), expected, "{a} and {b}");
            assert_eq!(compare(&number(b), &number(a)), expected.reverse(), "{b} and {a}");
        }
    }

    #[test]
    fn multiples_are_those_of_the_decimal_numbers() {
        for (a, b) in [("0.3", "0.1"), ("19.99", "0.01"), ("10", "2.5"), ("1e10", "5"), ("0", "7")]
        {
            assert!(is_multiple(&number(a), &number(b)), "{a} by {b}");
        }
        for (a, b) in [("0.35", "0.1"), ("10", "3"), ("1.5", "1"), ("1", "0.3")] {
            assert!(!is_multiple(&number(a), &number(b)), "{a} by {b}");
        }
    }
}
