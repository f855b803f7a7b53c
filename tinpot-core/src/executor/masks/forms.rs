//! The forms of a secret that no decoding of a text shows: base64 and hexadecimal digits.

/// The shortest part of base64 that is masked; longer than other forms, since base64 has fewer
/// characters.
const SHORTEST_BASE64: usize = 8;
/// The longest secret of which more than its text is looked for, in bytes. Longer ones have lines.
const LONGEST_BYTES: usize = 8 * 1024;

/// Returns the forms of a secret, without its text.
pub(super) fn of(secret: &str) -> Vec<String> {
    let mut forms = Vec::new();
    if secret.len() > LONGEST_BYTES {
        return forms;
    }
    // Encoded JSON, such as the content of a web token, has the secret as JSON text.
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
    let ascii = ascii(&json);
    let mut spellings = vec![secret.to_owned(), json, ascii];
    spellings.dedup();
    for spelling in spellings {
        forms.extend(base64_forms(spelling.as_bytes()));
        let digits = |upper: bool| -> String {
            let digit = |byte: &u8| {
                if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }
            };
            spelling.as_bytes().iter().map(digit).collect()
        };
        forms.extend([digits(false), digits(true)]);
    }
    forms
}

/// Returns JSON text with escapes for all characters that are not ASCII.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for found in json.chars() {
        if found.is_ascii() {
            out.push(found);
        } else {
            for unit in found.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// Returns the base64 of some bytes, alone and as parts of something longer: there, only the
/// characters that do not depend on the neighbouring bytes.
fn base64_forms(bytes: &[u8]) -> Vec<String> {
    let mut forms = vec![base64(bytes)];
    for before in 0..3 {
        let shifted = [&[0; 2][..before], bytes].concat();
        let text = base64(&shifted);
        // Characters have 6 bits and bytes 8: those at the borders depend on neighbours too.
        let first = (before * 8).div_ceil(6);
        let last = shifted.len() * 8 / 6;
        if last >= first + SHORTEST_BASE64 {
            forms.push(text[first..last].to_owned());
        }
    }
    forms.retain(|form| form.len() >= SHORTEST_BASE64);
    let for_urls: Vec<String> = forms
        .iter()
        .filter(|form| form.contains(['+', '/']))
        .map(|form| form.replace('+', "-").replace('/', "_"))
        .collect();
    forms.extend(for_urls);
    forms
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for sign in 0..4 {
            let index = (bits >> (18 - 6 * sign)) & 63;
            out.push(if sign <= group.len() { SIGNS[index as usize] as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
