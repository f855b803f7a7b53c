//! Authentication and decisions: once for each request.

use std::hint::black_box;

use criterion::Criterion;
use tinpot_benches::trust::decisions::directory;
use tinpot_core::{DEFAULT_TEAM, Policy, Right, Target};
use tokio::runtime::Runtime;

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (directory, caller, secret) = runtime.block_on(directory());
    let rules = directory.rules();
    let target = Target::team(DEFAULT_TEAM).action("deploy-web").group(Some("web")).queue("prod-1");
    let mut group = criterion.benchmark_group("access");
    group.bench_function("authenticate a token and decide", |bencher| {
        bencher.iter(|| {
            let known = directory.authenticate_token(black_box(secret.expose()));
            let caller = known.expect("a caller").caller;
            rules.decide(&caller, Right::Run, black_box(&target))
        });
    });
    group.bench_function("decide", |bencher| {
        bencher.iter(|| rules.decide(black_box(&caller), Right::Run, black_box(&target)));
    });
    group.finish();
}
