//! Log lines in pages, and as a download.

use serde_json::{Value, json};

use crate::cluster::Cluster;

fn numbers(page: &Value) -> Vec<u64> {
    let lines = page["lines"].as_array().unwrap();
    for line in lines {
        let number = line["seq"].as_u64().unwrap();
        assert_eq!(line["message"], format!("line {number}"));
    }
    lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_log_is_read_page_by_page() {
    let cluster = Cluster::start().await;
    let id = cluster.run("write", r#"{"parameters":{"count":2500}}"#).await;
    let page = async |query: &str| {
        let answer = cluster.get(&format!("/api/executions/{id}/logs{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let first = page("").await;
    assert_eq!(numbers(&first), (1..=1_000).collect::<Vec<_>>());
    assert_eq!(first["next"], 1_000);
    let line = &first["lines"][0];
    assert_eq!((&line["level"], &line["stream"]), (&json!("INFO"), &json!("stdout")));
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    let middle = page("?after=700&limit=3").await;
    assert_eq!((numbers(&middle), &middle["next"]), (vec![701, 702, 703], &json!(703)));
    let last = page("?after=2498&limit=2").await;
    assert_eq!((numbers(&last), &last["next"]), (vec![2_499, 2_500], &Value::Null));
    let beyond = page("?after=18446744073709551615").await;
    let nothing = json!({"lines": [], "next": null, "previous": 2_501, "last_seq": 2_500});
    assert_eq!(beyond, nothing);
    let all = page("?limit=10000").await;
    assert_eq!((numbers(&all).len(), &all["next"]), (2_500, &Value::Null));
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_and_has_a_position_to_resume() {
    let cluster = Cluster::start().await;
    // About 110 bytes of JSON per line: 100,000 lines are several pages, regardless of the limit.
    let id = cluster.run("write", r#"{"parameters":{"count":100000}}"#).await;
    let (mut after, mut pages) = (0, 0);
    loop {
        let path = format!("/api/executions/{id}/logs?after={after}&limit=10000");
        let answer = cluster.get(&path).await;
        assert!(answer.body.len() < 5 * 1024 * 1024);
        let page = answer.json();
        let numbers = numbers(&page);
        assert_eq!(numbers.first(), Some(&(after + 1)));
        after = *numbers.last().unwrap();
        pages += 1;
        match page["next"].as_u64() {
            Some(next) => assert_eq!(next, after),
            None => break,
        }
    }
    assert_eq!((after, pages), (100_000, 10));
}

#[tokio::test]
async fn a_log_is_downloaded_as_text() {
    let cluster = Cluster::start().await;
    let id = cluster.run("write", r#"{"parameters":{"count":50000}}"#).await;
    let answer = cluster.get(&format!("/api/executions/{id}/logs?format=text")).await;
    let expected: String = (1..=50_000).map(|number| format!("line {number}\n")).collect();
    assert!(answer.text() == expected, "{} bytes", answer.body.len());
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    let disposition = format!("attachment; filename=\"{id}.log\"");
    assert_eq!(answer.header("content-disposition"), disposition);
    let rest = cluster.get(&format!("/api/executions/{id}/logs?format=text&after=49998")).await;
    assert_eq!(rest.text(), "line 49999\nline 50000\n");
}

#[tokio::test]
async fn invalid_queries_are_refused_by_name() {
    let cluster = Cluster::start().await;
    let id = cluster.run("refuse", "").await;
    let rows = [
        ("after=x", "after must be the number of a log line (got \"x\")"),
        ("limit=0", "limit must be an integer from 1 to 10000 (got \"0\")"),
        ("limit=10001", "limit must be"),
        ("format=html", "format must be json or text (got \"html\")"),
        ("format=text&limit=5", "limit"),
        ("lines=5", "\"lines\" is not a query parameter"),
    ];
    for (query, part) in rows {
        let detail = cluster.get(&format!("/api/executions/{id}/logs?{query}")).await.detail(422);
        assert!(detail.contains(part), "{part:?} in {detail:?}");
    }
}
