//! Lists of names and values, as the variables of OpenTelemetry have them.

use tinpot_core::{Error, ErrorKind, Result};

/// Reads a list such as `api-key=secret,tenant=a%20b`, the form of `OTEL_EXPORTER_OTLP_HEADERS` and
/// `OTEL_RESOURCE_ATTRIBUTES`.
///
/// ```
/// let pairs = tinpot_otel::pairs("api-key=secret, tenant=a%20b")?;
/// assert_eq!(pairs[1], ("tenant".to_owned(), "a b".to_owned()));
/// # Ok::<_, tinpot_core::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput`, which does not repeat the text, since it may be secret.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let malformed = || {
        let message = "must be pairs like name=value, with commas between them and with %XX in values \
                       for what is special";
        Error::new(ErrorKind::InvalidInput, message)
    };
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let pair = |item: &str| {
        let (name, value) = item.split_once('=')?;
        let (name, value) = (name.trim(), decoded(value.trim())?);
        (!name.is_empty()).then(|| (name.to_owned(), value))
    };
    items.map(|item| pair(item).ok_or_else(malformed)).collect()
}

/// Replaces `%XX`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let (byte, others) = match (first, others) {
            (b'%', [high, low, others @ ..]) => {
                let digit = |digit: &u8| char::from(*digit).to_digit(16);
                (u8::try_from(digit(high)? * 16 + digit(low)?).ok()?, others)
            }
            (b'%', _) => return None,
            (byte, others) => (*byte, others),
        };
        bytes.push(byte);
        rest = others;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn values_are_decoded_and_errors_keep_them_secret() {
        let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        for (text, expected) in [
            ("", own(&[])),
            (" , ", own(&[])),
            ("a=", own(&[("a", "")])),
            ("a=b=c, d = e%2Cf ", own(&[("a", "b=c"), ("d", "e,f")])),
            ("authorization=Bearer%20%c3%a9", own(&[("authorization", "Bearer é")])),
        ] {
            assert_eq!(pairs(text).expect(text), expected, "{text}");
        }
        for wrong in ["secret", "=secret", "a=secret%", "a=secret%4", "a=secret%zz", "a=secret%ff"]
        {
            let error = pairs(wrong).expect_err(wrong).to_string();
            assert!(error.contains("name=value") && !error.contains("secret"), "{error}");
        }
    }
}
