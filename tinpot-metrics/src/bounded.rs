//! Names in labels, up to a bound: callers and workers choose some of them.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

/// The label of everything beyond the bound.
pub(crate) const OTHER: &str = "other";

/// The first names that were seen.
#[derive(Debug)]
pub(crate) struct Bounded {
    max: usize,
    known: RwLock<HashSet<Box<str>>>,
}

impl Bounded {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, known: RwLock::default() }
    }

    /// Returns the name if it is one of the first, and `other` if not.
    pub(crate) fn label<'a>(&self, name: &'a str) -> &'a str {
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.contains(name) {
                return name;
            }
            if known.len() >= self.max {
                return OTHER;
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.max || known.contains(name) {
            known.insert(name.into());
            return name;
        }
        OTHER
    }
}

/// The first pairs of names that were seen, so that two labels do not multiply.
#[derive(Debug)]
pub(crate) struct Pairs {
    max: usize,
    known: RwLock<KnownPairs>,
}

/// The number of pairs, and the second names by the first.
type KnownPairs = (usize, HashMap<Box<str>, HashSet<Box<str>>>);

impl Pairs {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, known: RwLock::default() }
    }

    /// Returns the second name if the pair is one of the first, and `other` if not.
    pub(crate) fn second<'a>(&self, first: &str, second: &'a str) -> &'a str {
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.1.get(first).is_some_and(|seconds| seconds.contains(second)) {
                return second;
            }
            if known.0 >= self.max {
                return OTHER;
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let (count, pairs) = &mut *known;
        if *count < self.max {
            let is_new = pairs.entry(first.into()).or_default().insert(second.into());
            *count += usize::from(is_new);
            return second;
        }
        OTHER
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounded, OTHER, Pairs};

    #[test]
    fn the_first_names_stay_and_the_others_are_one() {
        let names = Bounded::new(2);
        assert_eq!(
            ["a", "b", "c", "a", "d"].map(|name| names.label(name)),
            ["a", "b", OTHER, "a", OTHER]
        );
        let pairs = Pairs::new(2);
        let seen = [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")];
        assert_eq!(seen.map(|(a, b)| pairs.second(a, b)), ["x", "y", OTHER, "x"]);
    }
}
