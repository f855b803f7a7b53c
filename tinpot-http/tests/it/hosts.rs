//! Pages of other sites whose names resolve to this server.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Version};
use tinpot_http::{AllowedHost, HttpConfig};

use crate::cluster::{Answer, Cluster, answer};

const EVIL: &str = "rebound.evil.example:8000";

/// Every kind of route: data, a change, streams, the page, its files, errors, unknown paths.
const PATHS: [&str; 9] = [
    "/api/actions",
    "/api/actions/add/execute",
    "/api/stream",
    "/health",
    "/openapi.json",
    "/",
    "/ui/app.js",
    "/api/nothing",
    "/nothing",
];

async fn ask(router: &Router, method: Method, path: &str, hosts: &[&str]) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("accept", "text/html");
    // A rebound page is of the same origin as the server, as far as its browser knows.
    request = request.header("sec-fetch-site", "same-origin");
    for host in hosts {
        request = request.header("host", *host);
    }
    answer(router.clone(), request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_rebound_page_reads_and_changes_nothing() {
    let cluster = Cluster::start().await;
    let nested = Router::new().nest_service("/tools", cluster.router.clone());
    for method in [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS, Method::PUT] {
        for path in PATHS {
            for (router, path) in
                [(&cluster.router, path.to_owned()), (&nested, format!("/tools{path}"))]
            {
                let refused = ask(router, method.clone(), &path, &[EVIL]).await;
                assert_eq!(refused.status, 421, "{method} {path}: {refused:?}");
                assert!(!refused.text().contains("evil"), "{refused:?}");
                assert_eq!(refused.header("access-control-allow-origin"), "");
            }
        }
    }
    assert!(cluster.coordinator.executions(&Default::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn no_second_name_of_a_request_hides_the_first() {
    let cluster = Cluster::start().await;
    let router = &cluster.router;
    for hosts in [&["localhost", EVIL][..], &[EVIL, "localhost"], &["localhost, evil.example"]] {
        let refused = ask(router, Method::GET, "/api/actions", hosts).await;
        assert_eq!(refused.status, 421, "{hosts:?}");
    }
    // In absolute form, or by HTTP/2, which has no header of that name.
    let absolute = format!("http://{EVIL}/api/actions");
    assert_eq!(ask(router, Method::GET, &absolute, &["localhost"]).await.status, 421);
    let by_http2 = Request::get(&absolute).version(Version::HTTP_2).body(Body::empty()).unwrap();
    assert_eq!(cluster.request(by_http2).await.status, 421);
    let forwarded = Request::get("/api/actions").header("host", EVIL);
    let forwarded = forwarded.header("x-forwarded-host", "localhost").body(Body::empty()).unwrap();
    assert_eq!(cluster.request(forwarded).await.status, 421);
}

#[tokio::test]
async fn people_reach_the_server_by_the_names_that_it_allows() {
    let names = ["tinpot.example.org", "*.in.example.org:8443", "10.1.2.3"];
    let hosts = names.map(|name| name.parse::<AllowedHost>().unwrap());
    let cluster = Cluster::with(HttpConfig::default().hosts(hosts)).await;
    for (host, status) in [
        ("localhost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("TINPOT.example.org", 200),
        ("tinpot.example.org:8000", 200),
        ("a.in.example.org:8443", 200),
        ("10.1.2.3:8000", 200),
        ("a.in.example.org:8000", 421),
        ("tinpot.example.org.evil.example", 421),
        ("10.1.2.4", 421),
    ] {
        let got = ask(&cluster.router, Method::GET, "/api/actions", &[host]).await;
        assert_eq!(got.status, status, "{host}");
    }
}
