//! The counters that were seen, so that no frame counts twice.

/// The number of counters below the highest one that may still arrive.
pub const WINDOW: u64 = 4096;

const BITS: u64 = u64::BITS as u64;
/// One word more than the window has, so that the words at both of its ends differ.
const WORDS: u64 = WINDOW / BITS + 1;

/// The counters of one lane and direction of a session that were seen: the highest one, and a bit
/// for each of the 4,096 below it.
#[derive(Clone, Debug)]
pub struct Window {
    highest: u64,
    seen: Box<[u64; WORDS as usize]>,
}

impl Default for Window {
    fn default() -> Self {
        Self { highest: 0, seen: Box::new([0; WORDS as usize]) }
    }
}

impl Window {
    /// Returns the highest counter that was seen.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Returns true if a frame with this counter is new, as far as the window reaches. A lower
    /// counter is lost.
    pub fn is_fresh(&self, counter: u64) -> bool {
        if counter > self.highest {
            return true;
        }
        let in_reach = counter > 0 && self.highest - counter <= WINDOW;
        in_reach && self.seen[word(counter)] & bit(counter) == 0
    }

    /// Notes a frame that was opened. Returns false if it is not fresh.
    pub fn note(&mut self, counter: u64) -> bool {
        if !self.is_fresh(counter) {
            return false;
        }
        if counter > self.highest {
            let (before, now) = (self.highest / BITS, counter / BITS);
            for passed in now.saturating_sub(WORDS - 1).max(before + 1)..=now {
                self.seen[(passed % WORDS) as usize] = 0;
            }
            self.highest = counter;
        }
        self.seen[word(counter)] |= bit(counter);
        true
    }
}

fn word(counter: u64) -> usize {
    (counter / BITS % WORDS) as usize
}

fn bit(counter: u64) -> u64 {
    1 << (counter % BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{WINDOW, Window};
    use crate::testing::Random;

    #[test]
    fn a_counter_counts_once_and_only_within_the_window() {
        let mut random = Random::new(1);
        for step in [3, 64, 1_000, 5_000, 100_000] {
            let (mut window, mut seen, mut highest) = (Window::default(), BTreeSet::new(), 0_u64);
            for _ in 0..20_000 {
                let ahead = random.number() % step;
                let back = random.number() % (WINDOW + 200);
                let counter = (highest + ahead).saturating_sub(back);
                let fresh = counter > 0
                    && (counter > highest || highest - counter <= WINDOW)
                    && !seen.contains(&counter);
                assert_eq!(window.is_fresh(counter), fresh, "{counter} after {highest}");
                assert_eq!(window.note(counter), fresh);
                if fresh {
                    seen.insert(counter);
                    highest = highest.max(counter);
                }
            }
        }
    }

    #[test]
    fn the_last_counter_there_is_counts_once() {
        let mut window = Window::default();
        assert!(window.note(u64::MAX));
        assert!(!window.note(u64::MAX));
        assert!(window.note(u64::MAX - WINDOW));
        assert!(!window.note(u64::MAX - WINDOW - 1));
    }
}
