//! The router inside another application, at any path.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Request;
use axum::routing::get;

use tinpot_http::HttpConfig;

use crate::cluster::{Cluster, answer, json_post};

#[tokio::test]
async fn it_works_below_any_path_and_says_where_its_streams_are() {
    let cluster = Cluster::start().await;
    let inner = || cluster.router.clone();
    let rows = [
        ("", inner()),
        ("/tools/tinpot", Router::new().nest("/tools/tinpot", inner())),
        ("/a/b", Router::new().nest("/a", Router::new().nest("/b", inner()))),
        ("/service", Router::new().nest_service("/service", inner())),
        ("/of/t%20%C3%BC/x", Router::new().nest("/of/{tenant}/x", inner())),
        ("", Router::new().route("/own", get(async || "mine")).merge(inner())),
    ];
    for (prefix, router) in rows {
        let path = format!("{prefix}/api/actions/refuse/execute");
        let submitted = answer(router.clone(), json_post(&path, "{}")).await.json();
        let id = submitted["execution_id"].as_str().unwrap();
        let url = submitted["stream_url"].as_str().unwrap();
        assert_eq!(url, format!("{prefix}/api/executions/{id}/stream"));
        let stream = Request::get(url).body(Body::empty()).unwrap();
        let stream = answer(router.clone(), stream).await;
        assert!(stream.text().contains("\"complete\""), "{stream:?}");
        let unknown = Request::get(format!("{prefix}/api/nothing")).body(Body::empty()).unwrap();
        let answer = answer(router, unknown).await;
        assert_eq!(answer.header("content-type"), "application/json", "below {prefix:?}");
        answer.detail(404);
    }
}

#[tokio::test]
async fn streams_are_below_what_a_proxy_has_taken_off() {
    let cluster = Cluster::start().await;
    let nested = Router::new().nest("/inner", cluster.router.clone());
    for (mount, router) in [("", cluster.router.clone()), ("/inner", nested)] {
        for (given, prefix) in [
            ("/tools", "/tools"),
            ("/tools/", "/tools"),
            ("//elsewhere", ""),
            ("https://elsewhere", ""),
        ] {
            let mut request = json_post(&format!("{mount}/api/actions/refuse/execute"), "{}");
            request.headers_mut().insert("x-forwarded-prefix", given.parse().unwrap());
            let submitted = answer(router.clone(), request).await.json();
            let id = submitted["execution_id"].as_str().unwrap();
            let expected = format!("{prefix}{mount}/api/executions/{id}/stream");
            assert_eq!(submitted["stream_url"], expected);
            let mut request = json_post(&format!("{mount}/api/executions/{id}/rerun"), "{}");
            request.headers_mut().insert("x-forwarded-prefix", given.parse().unwrap());
            let again = answer(router.clone(), request).await.json();
            let id = again["execution_id"].as_str().unwrap();
            let expected = format!("{prefix}{mount}/api/executions/{id}/stream");
            assert_eq!(again["stream_url"], expected);
        }
    }
}

#[tokio::test]
async fn a_root_path_is_found_whatever_a_proxy_removes_or_says() {
    let config = HttpConfig::default().root_path("/tools/tinpot".parse().unwrap());
    let cluster = Cluster::with(config).await;
    let rows = [
        // Removed, and said or not.
        ("", Some("/tools/tinpot"), "/tools/tinpot"),
        ("", None, "/tools/tinpot"),
        ("", Some("/other"), "/other"),
        // Not removed, and said or not.
        ("/tools/tinpot", None, "/tools/tinpot"),
        ("/tools/tinpot", Some("/tools/tinpot"), "/tools/tinpot"),
        // The first of two proxies has removed another part.
        ("/tools/tinpot", Some("/a"), "/a/tools/tinpot"),
    ];
    for (seen, said, base) in rows {
        let with = |mut request: Request<Body>| {
            if let Some(said) = said {
                request.headers_mut().insert("x-forwarded-prefix", said.parse().unwrap());
            }
            answer(cluster.router.clone(), request)
        };
        let path = format!("{seen}/api/actions/refuse/execute");
        let submitted = with(json_post(&path, "{}")).await.json();
        let id = submitted["execution_id"].as_str().unwrap();
        let url = submitted["stream_url"].as_str().unwrap();
        assert_eq!(url, format!("{base}/api/executions/{id}/stream"), "{seen} {said:?}");
        let list = format!("{seen}/api/executions?limit=1");
        let list = with(Request::get(list).body(Body::empty()).unwrap()).await;
        assert_eq!(list.json()["executions"][0]["execution_id"], id);
        for page in ["/", "/actions/refuse", "/executions"] {
            let page = Request::get(format!("{seen}{page}")).header("accept", "text/html");
            let page = with(page.body(Body::empty()).unwrap()).await;
            let text = page.text();
            assert!(text.contains(&format!("<base href=\"{base}/\"")), "{seen} {said:?}: {text}");
        }
        let unknown = Request::get(format!("{seen}/api/nothing")).body(Body::empty()).unwrap();
        with(unknown).await.detail(404);
    }
    let bare = Request::get("/tools/tinpot").header("accept", "text/html");
    let bare = answer(cluster.router.clone(), bare.body(Body::empty()).unwrap()).await;
    assert!(bare.text().contains("<base href=\"/tools/tinpot/\""), "{bare:?}");
    let other = Request::get("/tools/tinpots/api/actions").body(Body::empty()).unwrap();
    assert_eq!(answer(cluster.router.clone(), other).await.status, 404);
    let nested = Router::new().nest("/host", cluster.router.clone());
    let inside = json_post("/host/api/actions/refuse/execute", "{}");
    assert_eq!(answer(nested, inside).await.status, 200);
}

#[tokio::test]
async fn routes_of_the_host_stay_its_own() {
    let cluster = Cluster::start().await;
    let router = Router::new()
        .route("/hello/{name}", get(async |Path(name): Path<String>| name))
        .nest("/automation", cluster.router.clone())
        .fallback(async || "the host's");
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(answer(router.clone(), get("/hello/you")).await.text(), "you");
    assert_eq!(answer(router.clone(), get("/elsewhere")).await.text(), "the host's");
    answer(router.clone(), get("/automation/elsewhere")).await.detail(404);
    assert_eq!(answer(router, get("/automation/ready")).await.status, 200);
}
