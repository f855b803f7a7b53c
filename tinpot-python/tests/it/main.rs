//! Integration tests of tinpot-python: one binary, one module per subject.

mod conformance;
