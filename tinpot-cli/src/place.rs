//! Where in a TOML file something stands.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a text that is no TOML, or not what is wanted. The line itself is not shown: there may be a password in it.
pub(crate) fn wrong(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let place = path.display();
    let what = error.message().trim_end();
    match error.span() {
        Some(span) => format!("{place}:{}: {what}", line(text, span.start)),
        None => format!("{place}: {what}"),
    }
}

/// A file, and the line of a key in it: `path:line`. The names lead from table to table.
pub(crate) fn of(path: &Path, text: &str, names: &[&str]) -> String {
    let place = path.display();
    match DeTable::parse(text).ok().and_then(|table| start(table.get_ref(), names)) {
        Some(start) => format!("{place}:{}", line(text, start)),
        None => place.to_string(),
    }
}

fn start(table: &DeTable<'_>, names: &[&str]) -> Option<usize> {
    let (name, rest) = names.split_first()?;
    let is_it = |key: &Spanned<_>| AsRef::<str>::as_ref(key.get_ref()) == *name;
    let (key, value): (&Spanned<std::borrow::Cow<'_, str>>, _) =
        table.iter().find(|(key, _)| is_it(key))?;
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
    fn keys_are_found_in_every_way_to_write_a_table() {
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
    fn what_is_no_toml_is_said_with_its_line_and_without_its_text() {
        let text = "a = 1\nbroker = \"tcp://u:secret@h\n";
        let error = text.parse::<toml::Table>().expect_err("a text without end");
        let said = wrong(Path::new("f.toml"), text, &error);
        assert!(said.starts_with("f.toml:2: ") && !said.contains("secret"), "{said}");
    }
}
