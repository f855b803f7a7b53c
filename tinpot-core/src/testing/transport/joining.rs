//! The addresses of those that join.

use super::Network;
use super::support::{join, listen, next, send, worker};
use crate::model::address::{Address, Lane};
use crate::model::error::ErrorKind;

/// A request to join arrives at the coordinator, and its answer at the one that joins and at no
/// other; or the transport says that it has no such addresses.
pub async fn joins_arrive_or_are_no_addresses(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let ids = ["0bd7e6c400000000", "9a1ff72b00000000"];
    let [Address::Worker(first), Address::Worker(second)] = ids.map(worker) else { unreachable!() };
    let (at_first, at_second) =
        (join(network, &worker(ids[0])).await, join(network, &worker(ids[1])).await);
    let mut requests = match coordinator.listen(&Address::Joins, Lane::Control).await {
        Ok(requests) => requests,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            return;
        }
    };
    let (first, second) = (Address::Joiner(first), Address::Joiner(second));
    let mut answers = listen(&*at_first, &first, Lane::Control).await;
    let mut others = listen(&*at_second, &second, Lane::Control).await;
    send(&*at_first, &Address::Joins, Lane::Control, "one").await;
    assert_eq!(next(&mut requests, "a request").await, "one");
    send(&*at_second, &Address::Joins, Lane::Control, "two").await;
    assert_eq!(next(&mut requests, "another request").await, "two");
    send(&*coordinator, &first, Lane::Control, "to the first").await;
    send(&*coordinator, &second, Lane::Control, "to the second").await;
    assert_eq!(next(&mut answers, "an answer").await, "to the first");
    assert_eq!(next(&mut others, "another answer").await, "to the second");
}
