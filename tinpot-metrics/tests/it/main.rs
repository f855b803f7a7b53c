//! Integration tests of tinpot-metrics: one binary, one module per subject.

mod cardinality;
mod documentation;
mod measures;
mod minitower;
mod served;
