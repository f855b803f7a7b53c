//! Words of a command line in messages.

/// Returns a word as a shell reads it, quoted if need be.
pub(crate) fn quoted(word: &str) -> String {
    // Fails for a NUL byte, which no argument can have.
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), |word| word.into_owned())
}
