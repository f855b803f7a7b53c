//! The measurements and their table.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::stats::median;
use crate::system::Kind;

/// The numbers of one system in one round, by key.
pub type Numbers = BTreeMap<&'static str, f64>;

/// The format of a number, and the direction that is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Milliseconds,
    PerSecond,
    Lines,
    YesNo,
    Megabytes,
}

const ROWS: &[(&str, &str, Unit)] = &[
    ("sync_p50_ms", "HTTP `sync_execute`, no-op, 1 client, p50", Unit::Milliseconds),
    ("sync_p99_ms", "the same, p99", Unit::Milliseconds),
    ("sync_many_per_second", "the same, 16 clients", Unit::PerSecond),
    (
        "accepted_per_second",
        "HTTP `execute`, accepted while workers run them, 16 clients",
        Unit::PerSecond,
    ),
    ("round_trip_p50_ms", "own client (SDK), one after the other, p50", Unit::Milliseconds),
    ("round_trip_p99_ms", "the same, p99", Unit::Milliseconds),
    ("end_to_end_per_second", "own client (SDK), all at once, executions", Unit::PerSecond),
    ("lines_received", "printed lines received by a stream opened after the submit", Unit::Lines),
    ("lines_in_order", "in order, no gap between those received", Unit::YesNo),
    ("lines_per_second", "lines, from the submit to `complete`", Unit::PerSecond),
    ("api_mb", "memory, idle: the process that serves HTTP", Unit::Megabytes),
    ("worker_mb", "memory, idle: the worker without its children", Unit::Megabytes),
    ("all_mb", "memory, idle: all processes but the broker", Unit::Megabytes),
];

/// The median of every number over the rounds. A line lost or out of order in one round shows.
pub fn medians(rounds: &[BTreeMap<Kind, Numbers>]) -> BTreeMap<Kind, Numbers> {
    let mut collected: BTreeMap<Kind, BTreeMap<&'static str, Vec<f64>>> = BTreeMap::new();
    for (kind, numbers) in rounds.iter().flatten() {
        for (key, number) in numbers {
            collected.entry(*kind).or_default().entry(key).or_default().push(*number);
        }
    }
    let one = |key: &str, values: &[f64]| match key {
        "lines_received" | "lines_in_order" => values.iter().copied().fold(f64::INFINITY, f64::min),
        _ => median(values),
    };
    let all = |numbers: BTreeMap<&'static str, Vec<f64>>| {
        numbers.into_iter().map(|(key, values)| (key, one(key, &values))).collect()
    };
    collected.into_iter().map(|(kind, numbers)| (kind, all(numbers))).collect()
}

/// The table: a column per system, then per system of ours how many times better than the best peer.
pub fn markdown(medians: &BTreeMap<Kind, Numbers>) -> String {
    let ours: Vec<Kind> = medians.keys().copied().filter(|kind| kind.is_ours()).collect();
    let mut text = String::from("| |");
    for kind in medians.keys() {
        let _ = write!(text, " {} |", kind.title());
    }
    for kind in &ours {
        let _ = write!(text, " {} : best peer |", kind.title());
    }
    let columns = 1 + medians.len() + ours.len();
    let _ = write!(text, "\n{}|\n", "| --- ".repeat(columns));
    for (key, label, unit) in ROWS {
        let _ = write!(text, "| {label} |");
        for numbers in medians.values() {
            let number = numbers.get(key);
            let _ = write!(text, " {} |", number.map_or("–".to_owned(), |n| unit.show(*n)));
        }
        for kind in &ours {
            let ratio = ratio(medians, *kind, key, *unit);
            let _ = write!(text, " {} |", ratio.map_or("–".to_owned(), |r| format!("{r:.1}×")));
        }
        text.push('\n');
    }
    text
}

fn ratio(medians: &BTreeMap<Kind, Numbers>, kind: Kind, key: &str, unit: Unit) -> Option<f64> {
    let own = *medians.get(&kind)?.get(key)?;
    let peers = medians.iter().filter(|(kind, _)| !kind.is_ours());
    let numbers = peers.filter_map(|(_, numbers)| numbers.get(key).copied());
    match unit {
        Unit::Milliseconds | Unit::Megabytes => numbers.min_by(f64::total_cmp).map(|n| n / own),
        Unit::PerSecond => numbers.max_by(f64::total_cmp).map(|n| own / n),
        Unit::Lines | Unit::YesNo => None,
    }
}

impl Unit {
    fn show(self, number: f64) -> String {
        match self {
            Self::Milliseconds => format!("{number:.2} ms"),
            Self::PerSecond => format!("{}/s", thousands(number)),
            Self::Lines => thousands(number),
            Self::YesNo => if number > 0.0 { "yes" } else { "no" }.to_owned(),
            Self::Megabytes => format!("{number:.0} MB"),
        }
    }
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_point_the_right_way() {
        let round = |ours: f64, peer: f64, lines: f64| {
            BTreeMap::from([
                (
                    Kind::Standalone,
                    Numbers::from([
                        ("sync_p50_ms", ours),
                        ("sync_many_per_second", 2000.0),
                        ("lines_received", lines),
                    ]),
                ),
                (
                    Kind::Celery,
                    Numbers::from([("sync_p50_ms", peer), ("sync_many_per_second", 500.0)]),
                ),
            ])
        };
        let rounds = [round(1.0, 9.0, 3.0), round(2.0, 4.0, 2.0), round(9.0, 1.0, 3.0)];
        let medians = medians(&rounds);
        assert_eq!(medians[&Kind::Standalone]["sync_p50_ms"], 2.0);
        assert_eq!(medians[&Kind::Standalone]["lines_received"], 2.0, "the worst counts");
        let table = markdown(&medians);
        assert!(table.contains("p50 | 2.00 ms | 4.00 ms | 2.0× |"), "{table}");
        assert!(table.contains("16 clients | 2,000/s | 500/s | 4.0× |"), "{table}");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
    }
}
