//! The conformance suite of [`Transport`](crate::Transport).
