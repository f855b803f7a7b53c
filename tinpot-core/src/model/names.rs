//! Selections of names, as grants and scopes make them.

use std::sync::Arc;

/// A selection of names, such as the actions of a grant: every name, or those that match lists of
/// names and patterns.
///
/// ```
/// use tinpot_core::Names;
///
/// let names = Names::of(["backup", "deploy-*"]);
/// assert!(names.has("deploy-web") && !names.has("restore"));
/// assert!(Names::any().has("restore"));
///
/// let both = names.and(&Names::of(["*-web"]));
/// assert!(both.has("deploy-web") && !both.has("backup"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Names {
    /// A name has to be in each list. Without lists, every name is selected.
    lists: Vec<Arc<[NamePattern]>>,
}

/// One entry of a list of [`Names`].
///
/// ```
/// use tinpot_core::NamePattern;
///
/// let pattern = NamePattern::Glob("deploy-*".into());
/// assert!(pattern.matches("deploy-web") && !pattern.matches("backup"));
/// assert!(!NamePattern::Exact("deploy-*".into()).matches("deploy-web"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamePattern {
    /// One name.
    Exact(Arc<str>),
    /// The names that match a pattern, in which each `*` stands for any characters, or for none.
    Glob(Arc<str>),
}

impl Names {
    /// Selects every name.
    pub fn any() -> Self {
        Self::default()
    }

    /// Selects no name.
    pub fn none() -> Self {
        Self { lists: vec![Arc::new([])] }
    }

    /// Selects the names that match one of the texts. In a text, each `*` stands for any
    /// characters, or for none. Without texts, no name is selected.
    pub fn of<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let entry = |text: T| match text.as_ref() {
            text if text.contains('*') => NamePattern::Glob(text.into()),
            text => NamePattern::Exact(text.into()),
        };
        Self { lists: vec![texts.into_iter().map(entry).collect()] }
    }

    /// Selects these names, in which `*` stands for itself.
    pub fn exactly<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let entry = |name: T| NamePattern::Exact(name.as_ref().into());
        Self { lists: vec![names.into_iter().map(entry).collect()] }
    }

    /// Selects the names that both selections have.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self { lists: self.lists.iter().chain(&other.lists).cloned().collect() }
    }

    /// Returns true if the name is selected.
    pub fn has(&self, name: &str) -> bool {
        self.lists.iter().all(|list| list.iter().any(|entry| entry.matches(name)))
    }

    /// Returns true if the name is selected. An unknown name is selected only if every name is.
    pub fn has_known(&self, name: Option<&str>) -> bool {
        name.map_or(self.is_any(), |name| self.has(name))
    }

    /// Returns true if every name is selected.
    pub fn is_any(&self) -> bool {
        self.lists.is_empty()
    }

    /// Returns the lists, for stores that translate them: a name has to be in each.
    pub fn lists(&self) -> impl Iterator<Item = &[NamePattern]> {
        self.lists.iter().map(|list| &**list)
    }
}

impl NamePattern {
    /// Returns true if the name matches.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            NamePattern::Exact(exact) => **exact == *name,
            NamePattern::Glob(pattern) => glob(pattern, name),
        }
    }
}

/// Takes time in proportion to the product of both lengths, at most.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // The leftmost match of each part leaves the most for those behind it.
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters_and_everything_else_for_itself() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "deploy"),
            ("deploy-*", "deploy-"),
            ("*-web", "deploy-web"),
            ("a*b*c", "a-b-b-c"),
            ("a**c", "ac"),
            ("[a]?*", "[a]?x"),
        ] {
            assert!(Names::of([pattern]).has(name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("deploy", "deploy-web"),
            ("deploy-*", "deploy"),
            ("ab*ba", "aba"),
            ("a*b*c", "acb"),
            ("Deploy*", "deploy"),
            ("[a]*", "a"),
        ] {
            assert!(!Names::of([pattern]).has(name), "{pattern} {name}");
        }
    }

    #[test]
    fn an_empty_list_selects_nothing_and_exact_names_have_no_patterns() {
        assert!(!Names::none().has("") && !Names::of([""; 0]).has("a"));
        let exact = Names::exactly(["a*"]);
        assert!(exact.has("a*") && !exact.has("ab"));
        assert!(Names::any().has_known(None) && !Names::of(["*"]).has_known(None));
    }
}
