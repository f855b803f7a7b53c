//! The parts of one execution, measured one by one. See `benches/README.md` for how to read them.

mod access;
mod dispatch;
mod logs;
mod moor;
mod protocol;
mod python;
mod store;

use criterion::{Criterion, criterion_main};

fn benches() {
    let mut criterion = Criterion::default().configure_from_args();
    access::benches(&mut criterion);
    protocol::benches(&mut criterion);
    dispatch::benches(&mut criterion);
    python::benches(&mut criterion);
    logs::benches(&mut criterion);
    store::benches(&mut criterion);
    moor::benches(&mut criterion);
    criterion.final_summary();
}

criterion_main!(benches);
