//! Suggestions for mistyped names.

/// The number of names to list when none is near.
const LISTED_MAX: usize = 10;

/// Returns the nearest known name, if it is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let likeness = |other: &str| {
        let other = other.to_lowercase();
        (is_slip(&lower, &other), strsim::jaro_winkler(&lower, &other))
    };
    // The name itself can be known and yet not be usable here; suggesting it again would not help.
    let others = known.into_iter().filter(|other| *other != name);
    let scored = others.map(|other| (likeness(other), other));
    let by_likeness =
        |a: &(bool, f64), b: &(bool, f64)| a.0.cmp(&b.0).then_with(|| a.1.total_cmp(&b.1));
    let ((is_slip, likeness), best) = scored.max_by(|a, b| by_likeness(&a.0, &b.0))?;
    (is_slip || likeness > 0.75).then_some(best)
}

/// Returns true if one letter is wrong, missing or added, or two are swapped, as in `rnu`: of short
/// names, that is a large part.
fn is_slip(name: &str, other: &str) -> bool {
    name.chars().count() > 2 && strsim::osa_distance(name, other) == 1
}

/// Returns the end of a message about an unknown name: the nearest one, otherwise the known ones.
pub(crate) fn or_list<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("; did you mean {near:?}?");
    }
    let mut listed: Vec<&str> = known.filter(|other| *other != name).take(LISTED_MAX + 1).collect();
    if listed.is_empty() {
        return "; there are none".to_owned();
    }
    let more = listed.len() > LISTED_MAX;
    listed.truncate(LISTED_MAX);
    format!("; known: {}{}", listed.join(", "), if more { ", …" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::{nearest, or_list};

    #[test]
    fn only_a_near_name_is_suggested() {
        let names = ["hello", "countdown", "backup_sqlite"];
        assert_eq!(nearest("helo", names), Some("hello"));
        assert_eq!(nearest("Backup-sqlite", names), Some("backup_sqlite"));
        assert_eq!(nearest("rnu", ["dev", "run", "runs"]), Some("run"));
        assert_eq!(nearest("zzz", names), None);
        assert_eq!(nearest("hello", names), None, "it was given");
        assert_eq!(or_list("hello", ["hello"].into_iter()), "; there are none");
        assert_eq!(or_list("zzz", names.into_iter()), "; known: hello, countdown, backup_sqlite");
        assert_eq!(or_list("x", [].into_iter()), "; there are none");
    }
}
