//! Probes: questions about attempts of an earlier epoch.

use serde_json::json;
use tinpot_core::protocol::{Epoch, Fence, ReleasedHow};

use crate::miss::{Play, ensure};
use crate::scene::{Scene, scene};
use crate::stage::Stage;

pub(super) const SCENES: &[Scene] = &[
    scene!(
        "probes/running",
        DOWN,
        running,
        "a probe of an attempt that runs is answered by `accept`"
    ),
    scene!(
        "probes/ended",
        DOWN,
        ended,
        "a probe of an attempt that has ended is answered by its result"
    ),
    scene!(
        "probes/not-held",
        DOWN,
        not_held,
        "a probe of an attempt that is not held is answered by `released`, `never_ran`"
    ),
    scene!(
        "probes/of-another-store",
        DOWN,
        of_another_store,
        "a probe of an attempt of another store is answered by `released`, `unknown`"
    ),
    scene!(
        "probes/before-the-dispatch",
        DOWN,
        before_the_dispatch,
        "a dispatch of an earlier epoch that comes after its probe starts nothing"
    ),
];

async fn running(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(60.0).await?;
    stage.restart().await?;
    stage.followed().await?;
    stage.probe(order.fence).await?;
    let runs = stage.accepted(order.fence).await?;
    ensure(runs, "an `accept` with `running` true", || "false".to_owned())?;
    stage.cancel(order.fence).await?;
    stage.cancelled(order.fence).await
}

async fn ended(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin("count", json!({})).await?;
    let first = stage.result(order.fence).await?;
    stage.restart().await?;
    stage.followed().await?;
    stage.probe(order.fence).await?;
    let again = stage.result(order.fence).await?;
    ensure(first == again, "the same result again", || format!("{again:?}"))?;
    stage.acknowledge(order.fence).await
}

async fn not_held(stage: &mut Stage) -> Play {
    stage.start().await?;
    let fence = stage.fence();
    stage.restart().await?;
    stage.followed().await?;
    stage.probe(fence).await?;
    stage.released(fence, &[ReleasedHow::NeverRan]).await?;
    stage.has_counted(1).await
}

async fn of_another_store(stage: &mut Stage) -> Play {
    stage.start().await?;
    let fence = Fence { epoch: Epoch { instance: 0x0bad_cafe, number: 1 }, number: 4 };
    stage.probe(fence).await?;
    stage.released(fence, &[ReleasedHow::Unknown]).await?;
    stage.has_counted(1).await
}

async fn before_the_dispatch(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.order("count", json!({}));
    stage.restart().await?;
    stage.followed().await?;
    stage.probe(order.fence).await?;
    stage.released(order.fence, &[ReleasedHow::NeverRan]).await?;
    let mut late = order.clone();
    late.seq_echo = stage.last_beat;
    stage.dispatch(&late).await?;
    stage.caught_up().await?;
    stage.has_counted(1).await
}
