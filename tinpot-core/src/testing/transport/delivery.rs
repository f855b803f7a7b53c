//! Frames that arrive: where, and how.

use std::collections::HashMap;

use bytes::Bytes;

use super::Network;
use super::support::{join, link_is, listen, next, send, within, worker};
use crate::model::address::{Address, Lane};
use crate::transport::Link;

/// The frame size that every transport must carry, in bytes.
const LARGE_BYTES: usize = 4 * 1024 * 1024;

/// Frames in flight that find room in the buffers of every transport.
const WINDOW: usize = 100;

/// Frames for the coordinator arrive at its listener, on both lanes.
pub async fn frames_for_the_coordinator_arrive(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let sender = join(network, &worker("web-1")).await;
    for lane in Lane::ALL {
        let mut frames = listen(&*coordinator, &Address::Coordinator, lane).await;
        send(&*sender, &Address::Coordinator, lane, "hello").await;
        assert_eq!(next(&mut frames, "the frame").await, "hello");
    }
}

/// A frame for one worker arrives there and nowhere else.
pub async fn frames_for_a_worker_reach_only_that_worker(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let (web, db) = (worker("web-1"), worker("web-1.db_2"));
    let at_web = join(network, &web).await;
    let at_db = join(network, &db).await;
    for lane in Lane::ALL {
        let mut web_frames = listen(&*at_web, &web, lane).await;
        let mut db_frames = listen(&*at_db, &db, lane).await;
        let mut own_frames = listen(&*coordinator, &Address::Coordinator, lane).await;
        send(&*coordinator, &web, lane, "for web").await;
        send(&*coordinator, &db, lane, "for db").await;
        send(&*coordinator, &Address::Coordinator, lane, "for myself").await;
        assert_eq!(next(&mut web_frames, "web's frame").await, "for web");
        assert_eq!(next(&mut db_frames, "db's frame").await, "for db");
        assert_eq!(next(&mut own_frames, "the coordinator's frame").await, "for myself");
    }
}

/// A broadcast arrives once at each worker that listens for it.
pub async fn frames_for_all_workers_reach_each_of_them(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    for lane in Lane::ALL {
        let mut listeners = Vec::new();
        for name in ["a", "b", "c"] {
            let transport = join(network, &worker(name)).await;
            let frames = listen(&*transport, &Address::AllWorkers, lane).await;
            listeners.push((transport, frames));
        }
        send(&*coordinator, &Address::AllWorkers, lane, "who is there?").await;
        send(&*coordinator, &Address::AllWorkers, lane, "and now?").await;
        for (_, frames) in &mut listeners {
            assert_eq!(next(frames, "the first broadcast").await, "who is there?");
            assert_eq!(next(frames, "the second broadcast").await, "and now?");
        }
    }
}

/// Frames arrive unchanged, with any bytes in them.
pub async fn bytes_are_unchanged(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let sender = join(network, &worker("web-1")).await;
    let mut frames = listen(&*coordinator, &Address::Coordinator, Lane::Control).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    // Around the sizes at which length prefixes and buffers change.
    let sizes =
        [1, 2, 125, 126, 127, 128, 129, 1023, 8191, 8192, 8193, 16_383, 16_384, 65_535, 65_536];
    for size in sizes {
        let sent: Bytes = every_byte.iter().copied().cycle().take(size).collect();
        send(&*sender, &Address::Coordinator, Lane::Control, sent.clone()).await;
        let got = next(&mut frames, "the frame").await;
        assert!(got == sent, "a frame of {size} bytes arrived as other {} bytes", got.len());
    }
}

/// An empty frame arrives.
pub async fn empty_frame_arrives(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let sender = join(network, &worker("web-1")).await;
    for lane in Lane::ALL {
        let mut frames = listen(&*coordinator, &Address::Coordinator, lane).await;
        send(&*sender, &Address::Coordinator, lane, Bytes::new()).await;
        send(&*sender, &Address::Coordinator, lane, "not empty").await;
        assert_eq!(next(&mut frames, "the empty frame").await, "");
        assert_eq!(next(&mut frames, "the frame after it").await, "not empty");
    }
}

/// 4 MiB fit into a frame, on both lanes.
pub async fn large_frame_arrives(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let sender = join(network, &worker("web-1")).await;
    let sent: Bytes =
        (0..LARGE_BYTES as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for lane in Lane::ALL {
        let mut frames = listen(&*coordinator, &Address::Coordinator, lane).await;
        send(&*sender, &Address::Coordinator, lane, sent.clone()).await;
        send(&*sender, &Address::Coordinator, lane, "the next").await;
        let got = next(&mut frames, "the large frame").await;
        assert!(got == sent, "4 MiB arrived as other {} bytes", got.len());
        assert_eq!(next(&mut frames, "the frame after it").await, "the next");
    }
    assert_eq!(sender.status().current(), Link::Up);
}

/// Frames of one lane for one address arrive once each, in the order in which they were sent.
pub async fn order_is_kept(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let sender = join(network, &worker("web-1")).await;
    for lane in Lane::ALL {
        let mut frames = listen(&*coordinator, &Address::Coordinator, lane).await;
        for round in 0..20 {
            let numbers = round * WINDOW..(round + 1) * WINDOW;
            for n in numbers.clone() {
                send(&*sender, &Address::Coordinator, lane, n.to_string()).await;
            }
            for n in numbers {
                assert_eq!(next(&mut frames, "the next number").await, n.to_string());
            }
        }
    }
}

/// Many tasks send through one transport, and each one's frames arrive in its order.
pub async fn concurrent_senders_keep_their_order(network: &impl Network) {
    const TASKS: usize = 8;
    const FRAMES: usize = 50;
    let coordinator = join(network, &Address::Coordinator).await;
    let sender = join(network, &worker("web-1")).await;
    let mut frames = listen(&*coordinator, &Address::Coordinator, Lane::Control).await;
    for task in 0..TASKS {
        let sender = sender.clone();
        tokio::spawn(async move {
            for n in 0..FRAMES {
                send(&*sender, &Address::Coordinator, Lane::Control, format!("{task} {n}")).await;
            }
        });
    }
    let mut seen = HashMap::<usize, usize>::new();
    for _ in 0..TASKS * FRAMES {
        let frame = next(&mut frames, "a frame of some task").await;
        let text = std::str::from_utf8(&frame).expect("the text that was sent");
        let (task, n) = text.split_once(' ').expect("task and number");
        let expected = seen.entry(task.parse().expect("a task")).or_default();
        assert_eq!(n.parse(), Ok(*expected), "task {task}");
        *expected += 1;
    }
}

/// A frame of one lane does not arrive on the other.
pub async fn lanes_are_separate(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let sender = join(network, &worker("web-1")).await;
    let mut control = listen(&*coordinator, &Address::Coordinator, Lane::Control).await;
    let mut logs = listen(&*coordinator, &Address::Coordinator, Lane::Logs).await;
    send(&*sender, &Address::Coordinator, Lane::Control, "control").await;
    send(&*sender, &Address::Coordinator, Lane::Logs, "logs").await;
    assert_eq!(next(&mut logs, "the frame on logs").await, "logs");
    assert_eq!(next(&mut control, "the frame on control").await, "control");
}

/// Participants of two namespaces on one network never see each other's frames.
pub async fn namespaces_are_isolated(network: &impl Network) {
    let web = worker("web-1");
    let coordinator = join(network, &Address::Coordinator).await;
    let here = join(network, &web).await;
    let elsewhere = within("joining elsewhere", network.join_elsewhere(&web)).await;
    link_is(&*elsewhere, "the link comes up", Link::is_up).await;
    for at in [Address::Coordinator, web, Address::AllWorkers] {
        for lane in Lane::ALL {
            let mut frames = listen(&*coordinator, &at, lane).await;
            let mut frames_elsewhere = listen(&*elsewhere, &at, lane).await;
            send(&*elsewhere, &at, lane, "elsewhere").await;
            send(&*here, &at, lane, "here").await;
            assert_eq!(next(&mut frames, "the frame of this namespace").await, "here");
            assert_eq!(next(&mut frames_elsewhere, "the frame of the other").await, "elsewhere");
        }
    }
}
