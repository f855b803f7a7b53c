//! The table in docs/metrics.md is that of the metrics.

use std::path::Path;

use tinpot_metrics::{descriptions, minitower_descriptions};

/// Returns the rows of the table, as the page has them.
fn rows() -> Vec<String> {
    let row = |metric: &tinpot_metrics::Description| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, program) = (metric.name, metric.kind.as_str(), metric.program.as_str());
        format!("| `{name}` | {kind} | {} | {program} | {} |", labels.join(" "), metric.help)
    };
    descriptions().chain(minitower_descriptions()).map(row).collect()
}

#[test]
fn the_page_has_every_metric_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(&path).expect("a page");
    let is_row = |line: &&str| line.starts_with("| `");
    let of_program = rows();
    if std::env::var_os("TINPOT_RENEW_DOCS").is_some() {
        let mut lines: Vec<&str> = page.lines().filter(|line| !is_row(line)).collect();
        let head = lines.iter().position(|line| line.starts_with("| ---")).expect("a table");
        lines.splice(head + 1..head + 1, of_program.iter().map(String::as_str));
        std::fs::write(&path, lines.join("\n") + "\n").expect("the file is written");
        return;
    }
    let of_page: Vec<&str> = page.lines().filter(is_row).collect();
    let how = "TINPOT_RENEW_DOCS=1 cargo test -p tinpot-metrics documentation";
    assert_eq!(of_page, of_program, "docs/metrics.md is not what the program says: {how}");
}

#[test]
fn names_and_meanings_have_the_form_of_prometheus() {
    for metric in descriptions().chain(minitower_descriptions()) {
        let is_counter = metric.kind.as_str() == "counter";
        assert_eq!(metric.name.ends_with("_total"), is_counter, "{}", metric.name);
        assert!(!metric.help.is_empty() && !metric.help.contains('|'), "{}", metric.name);
        assert!(!metric.help.ends_with('.'), "{}", metric.name);
    }
}
