//! What a mistyped name may have meant.

/// So many names are listed where nothing is near.
const LISTED_MAX: usize = 10;

/// The nearest of some names, if it is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let likeness = |other: &str| strsim::jaro_winkler(&lower, &other.to_lowercase());
    // A name that is known may still not be there for who asks: it is no advice to give it again.
    let others = known.into_iter().filter(|other| *other != name);
    let scored = others.map(|other| (likeness(other), other));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.75).then_some(best.1)
}

/// The end of a message about an unknown name: the nearest one, else those that there are.
pub(crate) fn or_list<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("; did you mean {near:?}?");
    }
    let mut listed: Vec<&str> = known.filter(|other| *other != name).take(LISTED_MAX + 1).collect();
    if listed.is_empty() {
        return "; there is none".to_owned();
    }
    let more = listed.len() > LISTED_MAX;
    listed.truncate(LISTED_MAX);
    format!(
        "; there {}: {}{}",
        if listed.len() == 1 { "is" } else { "are" },
        listed.join(", "),
        if more { ", …" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::{nearest, or_list};

    #[test]
    fn what_is_near_is_suggested_and_what_is_not_is_not() {
        let names = ["hello", "countdown", "backup_sqlite"];
        assert_eq!(nearest("helo", names), Some("hello"));
        assert_eq!(nearest("Backup-sqlite", names), Some("backup_sqlite"));
        assert_eq!(nearest("zzz", names), None);
        assert_eq!(nearest("hello", names), None, "it was given");
        assert_eq!(or_list("hello", ["hello"].into_iter()), "; there is none");
        assert_eq!(
            or_list("zzz", names.into_iter()),
            "; there are: hello, countdown, backup_sqlite"
        );
        assert_eq!(or_list("x", [].into_iter()), "; there is none");
    }
}
