//! Documentation.
mod docs;
