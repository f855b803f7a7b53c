//! The conformance suite of [`Executor`](crate::Executor).
