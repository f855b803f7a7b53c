//! Passwords in addresses, which must not be shown.

use std::borrow::Cow;

/// Replaces the user information of addresses: `https://user:password@host` becomes
/// `https://***@host`.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let is_end = |c: char| c.is_whitespace() || "/?#\"'<>".contains(c);
        let host = &after[..after.find(is_end).unwrap_or(after.len())];
        shown.push_str(before);
        rest = after;
        if let Some(user) = host.rfind('@') {
            shown.push_str("***");
            rest = &after[user..];
        }
    }
    if shown.is_empty() {
        return Cow::Borrowed(text);
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn user_information_is_replaced() {
        for (text, shown) in [
            ("no address: a@b", "no address: a@b"),
            ("https://u:p@h/simple and http://h", "https://***@h/simple and http://h"),
            ("git+ssh://git@h/x x://a:b@c@h", "git+ssh://***@h/x x://***@h"),
            ("file:///a@b", "file:///a@b"),
            ("'https://token@h'", "'https://***@h'"),
        ] {
            assert_eq!(mask(text), shown);
        }
    }
}
