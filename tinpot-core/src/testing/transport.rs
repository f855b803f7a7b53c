//! The conformance suite of [`Transport`](crate::Transport).
//!
//! A crate that has a transport writes a [`Network`] for it, a factory of such networks, and one
//! line:
//!
//! ```ignore
//! async fn network() -> MyNetwork { … }
//!
//! tinpot_core::transport_conformance!(network);
//! ```
//!
//! The macro emits one test per case, in a module `transport_suite`. The crate needs `tokio` with
//! `macros` and `rt-multi-thread` among its dev-dependencies. Every case gets a network of its own,
//! and waits for conditions, never for time to pass.

mod bounds;
mod delivery;
mod joining;
mod lifecycle;
mod listening;
mod reconnect;
mod senders;
mod support;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::bounds::{logs_flood_leaves_control_alone, send_never_blocks};
pub use self::delivery::{
    bytes_are_unchanged, concurrent_senders_keep_their_order, empty_frame_arrives,
    frames_for_a_worker_reach_only_that_worker, frames_for_all_workers_reach_each_of_them,
    frames_for_the_coordinator_arrive, lanes_are_separate, large_frame_arrives,
    namespaces_are_isolated, order_is_kept,
};
pub use self::joining::joins_arrive_or_are_no_addresses;
pub use self::lifecycle::{
    close_ends_streams, close_is_idempotent, close_leaves_others_alone,
    close_sends_what_was_handed_over, closed_answers_closed, status_is_up,
};
pub use self::listening::{
    dropped_futures_lose_nothing_else, dropped_stream_unsubscribes,
    every_listener_gets_every_frame, frame_sent_after_listen_arrives,
    frames_without_a_listener_are_dropped,
};
pub use self::reconnect::{
    close_while_down_ends, link_says_why_it_is_down, listeners_survive_a_cut,
    listening_while_down_takes_effect_later, send_while_down_is_unavailable,
};
pub use self::senders::frames_come_by_the_channel_of_their_sender;
use crate::model::address::Address;
use crate::transport::Transport;

/// The means by which the participants of a test are connected: a broker, a hub, a socket.
#[async_trait]
pub trait Network: fmt::Debug + Send + Sync + 'static {
    /// Returns a new participant, connected or about to be: the coordinator or a worker.
    ///
    /// Panics if there is no way to create one: this is a test.
    async fn join(&self, participant: &Address) -> Arc<dyn Transport>;

    /// Returns a new participant of another namespace on the same network; of the same one at every
    /// call.
    async fn join_elsewhere(&self, participant: &Address) -> Arc<dyn Transport>;

    /// Returns the means to break this network; `None` if its link cannot break. Then the suite
    /// asserts that the link is always up.
    fn faults(&self) -> Option<&dyn Faults>;

    /// Returns true if [`faults`](Self::faults) break the link of this participant; true unless it
    /// shares a process with the means of connection. Of one that returns false, the suite asserts
    /// that its link stays up.
    fn can_break(&self, participant: &Address) -> bool {
        let _ = participant;
        true
    }

    /// Returns the longest time that a condition may take.
    fn patience(&self) -> Duration {
        crate::testing::case::PATIENCE
    }
}

/// Breaks a network and repairs it.
#[async_trait]
pub trait Faults: Send + Sync {
    /// Ends every link, and keeps new ones from coming up.
    async fn cut(&self);

    /// Lets links come up again.
    async fn restore(&self);
}

/// Emits one test per case of the transport suite, in a module `transport_suite`.
///
/// Takes the path of a function that returns a future of a
/// [`Network`](crate::testing::transport::Network).
#[macro_export]
macro_rules! transport_conformance {
    ($factory:path) => {
        $crate::transport_conformance! {
            @cases $factory:
            frames_for_the_coordinator_arrive
            frames_for_a_worker_reach_only_that_worker
            frames_for_all_workers_reach_each_of_them
            frames_come_by_the_channel_of_their_sender
            joins_arrive_or_are_no_addresses
            bytes_are_unchanged
            empty_frame_arrives
            large_frame_arrives
            order_is_kept
            concurrent_senders_keep_their_order
            lanes_are_separate
            namespaces_are_isolated
            every_listener_gets_every_frame
            dropped_stream_unsubscribes
            frames_without_a_listener_are_dropped
            frame_sent_after_listen_arrives
            dropped_futures_lose_nothing_else
            logs_flood_leaves_control_alone
            send_never_blocks
            status_is_up
            close_ends_streams
            close_leaves_others_alone
            close_sends_what_was_handed_over
            closed_answers_closed
            close_is_idempotent
            link_says_why_it_is_down
            send_while_down_is_unavailable
            listeners_survive_a_cut
            listening_while_down_takes_effect_later
            close_while_down_ends
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        mod transport_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;
            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    use $crate::testing::transport as suite;
                    let network = $factory().await;
                    let patience = suite::Network::patience(&network);
                    let case = suite::$case(&network);
                    let ran = $crate::testing::case::run(stringify!($case), patience, case).await;
                    if let Err(failure) = ran {
                        panic!("{failure}");
                    }
                }
            )*
        }
    };
}
