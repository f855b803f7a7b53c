//! Parts of a log: its end, what stands before a line, some levels and streams, and what is found in it.

use serde_json::{Value, json};

use crate::cluster::Cluster;

async fn get(cluster: &Cluster, path: &str) -> Value {
    let answer = cluster.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

fn numbers(page: &Value) -> Vec<u64> {
    page["lines"].as_array().unwrap().iter().map(|line| line["seq"].as_u64().unwrap()).collect()
}

fn range(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[tokio::test]
async fn a_log_is_read_backwards_from_its_end() {
    let cluster = Cluster::start().await;
    let id = cluster.run("write", r#"{"parameters":{"count":2500}}"#).await;
    let page =
        async |query: &str| get(&cluster, &format!("/api/executions/{id}/logs?{query}")).await;
    let tail = page("tail=true&limit=300").await;
    assert_eq!(numbers(&tail), range(2_201, 2_500));
    assert_eq!(
        (&tail["next"], &tail["previous"], &tail["last_seq"]),
        (&Value::Null, &json!(2_201), &json!(2_500))
    );
    let (mut before, mut seen) = (2_201, numbers(&tail));
    loop {
        let page = page(&format!("before={before}&limit=700")).await;
        assert_eq!(page["next"], before - 1);
        seen.splice(0..0, numbers(&page));
        match page["previous"].as_u64() {
            Some(previous) => before = previous,
            None => break,
        }
    }
    assert_eq!(seen, range(1, 2_500));
    assert_eq!(numbers(&page("before=1").await), [] as [u64; 0]);
    assert_eq!(numbers(&page("before=0").await), [] as [u64; 0]);
    assert_eq!(numbers(&page("before=3&limit=10").await), [1, 2]);
    assert_eq!(numbers(&page("before=18446744073709551615&limit=2").await), [2_499, 2_500]);
    assert_eq!(page("tail=false&limit=1").await["previous"], Value::Null);
    assert_eq!(page("after=10&limit=1").await["previous"], 11);
    for query in [
        "before=3&after=1",
        "tail=true&before=3",
        "tail=true&after=1",
        "tail=yes",
        "before=-1",
        "format=text&tail=true",
        "level=fatal",
        "stream=stdin",
        "stream=",
    ] {
        cluster.get(&format!("/api/executions/{id}/logs?{query}")).await.detail(422);
    }
}

#[tokio::test]
async fn only_some_levels_and_streams_in_both_directions() {
    let cluster = Cluster::start().await;
    let id = cluster.run("mixed", r#"{"parameters":{"count":3000}}"#).await;
    let page =
        async |query: &str| get(&cluster, &format!("/api/executions/{id}/logs?{query}")).await;
    // Every hundredth line is an error on stderr, the one after it is a debug message.
    let errors: Vec<u64> = (1..=30).map(|number| number * 100).collect();
    for (query, streams) in [
        ("level=error", "stderr"),
        ("stream=stderr", "stderr"),
        ("stream=stderr,system&level=warning", "stderr"),
    ] {
        let forwards = page(query).await;
        assert_eq!(numbers(&forwards), errors, "{query}");
        assert!(forwards["lines"].as_array().unwrap().iter().all(|line| line["stream"] == streams));
        let backwards = page(&format!("{query}&tail=true&limit=7")).await;
        assert_eq!(numbers(&backwards), errors[23..], "{query}");
        let earlier = page(&format!("{query}&before={}&limit=7", backwards["previous"])).await;
        assert_eq!(numbers(&earlier), errors[16..23], "{query}");
        let all = page(&format!("{query}&tail=true")).await;
        assert_eq!((numbers(&all), &all["previous"]), (errors.clone(), &Value::Null));
    }
    let next = page("level=error&limit=3").await;
    assert_eq!((numbers(&next), &next["next"]), (vec![100, 200, 300], &json!(300)));
    assert_eq!(page("level=debug").await["lines"].as_array().unwrap().len(), 1_000);
    assert_eq!(numbers(&page("stream=log&level=info").await), [] as [u64; 0]);
    let text = cluster.get(&format!("/api/executions/{id}/logs?format=text&level=error")).await;
    assert_eq!(text.text().lines().count(), 30);
}

#[tokio::test]
async fn a_search_finds_lines_with_those_around_them() {
    let cluster = Cluster::start().await;
    let id = cluster.run("mixed", r#"{"parameters":{"count":3000}}"#).await;
    let search = async |query: &str| {
        get(&cluster, &format!("/api/executions/{id}/logs/search?{query}")).await
    };
    let found = async |query: &str| {
        let found = search(query).await;
        let numbers: Vec<u64> = found["matches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| found["seq"].as_u64().unwrap())
            .collect();
        (numbers, found["total"].as_u64())
    };
    assert_eq!(found("q=Line%201234").await, (vec![1_234], Some(1)));
    assert_eq!(found("q=Line%201234&case=true").await, (vec![], Some(0)));
    assert_eq!(found("q=e%2012.4%24&regex=true").await.0.len(), 10);
    assert_eq!(found("q=12.4").await, (vec![], Some(0)), "a dot is a dot");
    assert_eq!(found("q=line&level=error&limit=2").await, (vec![100, 200], Some(30)));
    // The word is written in colours.
    assert_eq!(found("q=really%20bad&limit=1").await, (vec![100], Some(30)));
    assert_eq!(found("q=%5B31m").await, (vec![], Some(0)));
    let first = search("q=bad&limit=20&context=2").await;
    assert_eq!((&first["next"], &first["total"]), (&json!(2_000), &json!(30)));
    let rest = search("q=bad&limit=20&after=2000&context=5").await;
    assert_eq!(
        (rest["matches"].as_array().unwrap().len(), &rest["next"], &rest["total"]),
        (10, &Value::Null, &json!(10))
    );
    let around = |found: &Value, part: &str| -> Vec<u64> {
        found[part].as_array().unwrap().iter().map(|line| line["seq"].as_u64().unwrap()).collect()
    };
    let hit = &first["matches"][0];
    assert_eq!((around(hit, "before"), around(hit, "after")), (vec![98, 99], vec![101, 102]));
    assert_eq!(hit["line"]["level"], "ERROR");
    let last = &rest["matches"][9];
    assert_eq!((around(last, "before"), around(last, "after")), (range(2_995, 2_999), vec![]));
    let dense = search("q=line%20299%5B0-3%5D&regex=true&context=3&after=2990").await;
    assert_eq!(around(&dense["matches"][0], "after"), [2_992, 2_993, 2_994]);
    assert_eq!(around(&dense["matches"][2], "before"), [2_990, 2_991, 2_992]);
    for query in [
        "",
        "q=",
        "q=(&regex=true",
        "q=x&context=6",
        "q=x&limit=0",
        "q=x&case=2",
        "q=x&what=1",
        "q=%5Cw%7B1000%7D%7B1000%7D&regex=true",
    ] {
        let path = format!("/api/executions/{id}/logs/search?{query}");
        assert!(!cluster.get(&path).await.detail(422).is_empty());
    }
    let unknown = "/api/executions/00000000-0000-7000-8000-000000000000/logs/search?q=x";
    cluster.get(unknown).await.detail(404);
}
