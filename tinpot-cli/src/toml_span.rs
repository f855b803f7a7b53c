//! Positions in a TOML file, for messages.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Returns the message for a text that is not valid TOML or has the wrong shape. Leaves out the
/// line, which may hold a password.
pub(crate) fn wrong(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let path = path.display();
    let what = error.message().trim_end();
    match error.span() {
        Some(span) => format!("{path}:{}: {what}", line(text, span.start)),
        None => format!("{path}: {what}"),
    }
}

/// Returns `path:line` of a key. `names` are the tables around the key, then the key.
pub(crate) fn of(path: &Path, text: &str, names: &[&str]) -> String {
    let path = path.display();
    match DeTable::parse(text).ok().and_then(|table| start(table.get_ref(), names)) {
        Some(start) => format!("{path}:{}", line(text, start)),
        None => path.to_string(),
    }
}

fn start(table: &DeTable<'_>, names: &[&str]) -> Option<usize> {
    let (name, rest) = names.split_first()?;
    let is_named = |key: &Spanned<_>| AsRef::<str>::as_ref(key.get_ref()) == *name;
    let (key, value): (&Spanned<std::borrow::Cow<'_, str>>, _) =
        table.iter().find(|(key, _)| is_named(key))?;
    match (rest.is_empty(), value.get_ref()) {
        (true, _) => Some(key.span().start),
        (false, DeValue::Table(inner)) => start(inner, rest),
        _ => None,
    }
}

fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{of, wrong};

    #[test]
    fn keys_are_found_in_every_notation_of_a_table() {
        let text = "# first\na = 1\n\n[t]\nb = 2\n";
        let path = Path::new("f.toml");
        assert_eq!(of(path, text, &["a"]), "f.toml:2");
        assert_eq!(of(path, text, &["t"]), "f.toml:4");
        assert_eq!(of(path, text, &["t", "b"]), "f.toml:5");
        assert_eq!(of(path, "\nt.b = 1", &["t", "b"]), "f.toml:2");
        assert_eq!(of(path, "t = { b = 1 }", &["t", "b"]), "f.toml:1");
        assert_eq!(of(path, text, &["c"]), "f.toml");
    }

    #[test]
    fn an_error_names_the_line_and_leaves_out_its_text() {
        let text = "a = 1\nbroker = \"tcp://u:secret@h\n";
        let error = text.parse::<toml::Table>().expect_err("a text without end");
        let message = wrong(Path::new("f.toml"), text, &error);
        assert!(message.starts_with("f.toml:2: ") && !message.contains("secret"), "{message}");
    }
}
