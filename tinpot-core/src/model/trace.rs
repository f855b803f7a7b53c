//! Trace contexts: the place of an execution in a trace of another system.

mod request;
mod sampling;

use std::fmt;
use std::str::FromStr;

pub use self::request::RequestTrace;
pub use self::sampling::{Sampling, TraceSpan};
use crate::model::error::{Error, ErrorKind, Result};

/// The length of the text in version 00 of the format.
const LENGTH: usize = 55;
/// The lengths of the parts: version, trace, parent and flags.
const PARTS: [usize; 4] = [2, 32, 16, 2];
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// The ids of a trace and of one of its spans, which can be the parent of others.
///
/// Its text form is the value of the header `traceparent` of W3C Trace Context.
///
/// ```
/// use tinpot_core::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = text.parse()?;
/// assert_eq!(context.span_id(), 0x00f0_67aa_0ba9_02b7);
/// assert!(context.is_sampled() && context.to_string() == text);
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceContext {
    /// Returns the id of the trace, which is not zero.
    pub fn trace_id(&self) -> u128 {
        self.trace
    }

    /// Returns the id of the span, which is not zero.
    pub fn span_id(&self) -> u64 {
        self.span
    }

    /// Returns true if the spans of the trace are recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl FromStr for TraceContext {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        check_traceparent(text)?;
        let read = || {
            let mut parts = text.split('-').skip(1);
            Some(Self {
                trace: u128::from_str_radix(parts.next()?, 16).ok()?,
                span: u64::from_str_radix(parts.next()?, 16).ok()?,
                flags: u8::from_str_radix(parts.next()?, 16).ok()?,
            })
        };
        read().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "traceparent is malformed"))
    }
}

/// Checks a trace context in the form of the header `traceparent` of W3C Trace Context, such as
/// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
///
/// ```
/// use tinpot_core::check_traceparent;
///
/// check_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?;
/// assert!(check_traceparent("00-4bf92f35-00f067aa-01").is_err());
/// # Ok::<_, tinpot_core::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for any other text.
pub fn check_traceparent(text: &str) -> Result<()> {
    if is_traceparent(text) {
        return Ok(());
    }
    let shown: String = text.chars().take(80).collect();
    let message = format!(
        "traceparent must be 00, a trace id of 32 digits, a span id of 16 and flags of 2, in lower-case \
         hexadecimal, with hyphens between them (got {shown:?})"
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}

fn is_traceparent(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_part =
        |(part, length): (&str, usize)| part.len() == length && part.bytes().all(is_digit);
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    // A later version may have more parts, and this program does not know what they say.
    text.len() == LENGTH
        && parts.len() == PARTS.len()
        && parts[0] == "00"
        && parts.iter().copied().zip(PARTS).all(is_part)
        && [parts[1], parts[2]].iter().all(|id| id.bytes().any(|digit| digit != b'0'))
}

#[cfg(test)]
mod tests {
    use super::check_traceparent;

    #[test]
    fn only_the_form_of_the_standard_is_taken() {
        let right = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        check_traceparent(right).expect("the form of the standard");
        for wrong in [
            "",
            &right[1..],
            &format!("{right}-x"),
            &right.to_uppercase(),
            &right.replace("00-4", "01-4"),
            &right.replace("00-4", "ff-4"),
            &right.replace('-', "_"),
            &right.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &right.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &right.replace("-01", "-0g"),
            &"é".repeat(27),
        ] {
            let error = check_traceparent(wrong).expect_err(wrong);
            assert!(error.message().contains("traceparent must be"), "{error}");
        }
    }
}
