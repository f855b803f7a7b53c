//! Measures workers of each language.

fn main() {}
