//! The web UI, served below any path.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::routing::get;
use tinpot_http::HttpConfig;

use crate::cluster::{Answer, Cluster, answer};

const BROWSER: &[(&str, &str)] =
    &[("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")];

async fn ask(router: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(router.clone(), request.body(Body::empty()).unwrap()).await
}

async fn browse(router: &Router, path: &str) -> Answer {
    ask(router, Method::GET, path, BROWSER).await
}

/// The page, below this path.
fn is_page(answer: &Answer, base: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let place = format!("<base href=\"{base}\">");
    assert!(answer.text().contains(&place), "{place} in {}", answer.text());
    assert_eq!(answer.text().matches("<base").count(), 1);
}

#[tokio::test]
async fn the_page_knows_the_path_that_it_is_below() {
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
    for (mount, router) in rows {
        let base = format!("{mount}/");
        let paths = ["/actions", "/actions/odd%20name%2F1", "/executions/0198/", "/no/such/page"];
        for path in paths {
            is_page(&browse(&router, &format!("{mount}{path}?x=1")).await, &base);
        }
        is_page(&browse(&router, &format!("{mount}/embed/executions/0198")).await, &base);
        let home = if mount.is_empty() { "/" } else { mount };
        is_page(&browse(&router, home).await, &base);
        let script = ask(&router, Method::GET, &format!("{mount}/ui/app.js"), &[]).await;
        assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8", "{mount}");
        assert_eq!(script.body, tinpot_ui::file("app.js").unwrap().bytes());
    }
}

/// `Router::nest` does not match it; hosts that need it nest a service.
#[tokio::test]
async fn a_nested_service_has_its_page_with_and_without_a_last_slash() {
    let cluster = Cluster::start().await;
    let router = Router::new().nest_service("/service", cluster.router.clone());
    for path in ["/service", "/service/"] {
        is_page(&browse(&router, path).await, "/service/");
    }
}

#[tokio::test]
async fn unknown_paths_below_the_api_are_json_errors() {
    let cluster = Cluster::start().await;
    let router = &cluster.router;
    let never = [
        "/api",
        "/api/nothing",
        "/health/x",
        "/ready/x",
        "/embed/x",
        "/ui/",
        "/ui/no.js",
        "/ui/index.html",
        "/ui/..%2FCargo.toml",
    ];
    for path in never {
        let detail = browse(router, path).await.detail(404);
        assert!(detail.contains("not found"), "{path}: {detail}");
    }
    // A program that asks for anything wants no page.
    ask(router, Method::GET, "/no/such/page", &[("accept", "*/*")]).await.detail(404);
    ask(router, Method::GET, "/no/such/page", &[]).await.detail(404);
    ask(router, Method::POST, "/no/such/page", BROWSER).await.detail(404);
    ask(router, Method::POST, "/", BROWSER).await.detail(405);
    assert_eq!(browse(router, "/health").await.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_path_with_quotes_stays_within_its_attribute() {
    let cluster = Cluster::start().await;
    let router = Router::new().nest("/of/{tenant}/x", cluster.router.clone());
    let page = browse(&router, "/of/\"onload=x/x/actions").await;
    is_page(&page, "/of/&quot;onload=x/x/");
}

#[tokio::test]
async fn nothing_runs_in_the_page_but_its_own_files_and_frames_are_by_allowance() {
    let cluster = Cluster::start().await;
    let policy = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors ";
    for path in ["/", "/executions/0198", "/embed/executions/0198"] {
        let page = browse(&cluster.router, path).await;
        assert_eq!(page.header("content-security-policy"), format!("{policy}'none'"));
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "same-origin");
    }
    let parents =
        ["https://wiki.example.org", "evil; script-src *", "", "http://[::1]:8080", "a, b"];
    let cluster = Cluster::with(HttpConfig::default().embed_parents(parents)).await;
    let embedded = browse(&cluster.router, "/embed/executions/0198").await;
    let allowed = format!("{policy}https://wiki.example.org http://[::1]:8080");
    assert_eq!(embedded.header("content-security-policy"), allowed);
    let own = browse(&cluster.router, "/executions/0198").await;
    assert_eq!(own.header("content-security-policy"), format!("{policy}'none'"));
}

#[tokio::test]
async fn a_cached_file_is_not_sent_again() {
    let cluster = Cluster::start().await;
    let router = &cluster.router;
    for path in ["/", "/actions", "/ui/app.js", "/embed/executions/0198"] {
        let first = browse(router, path).await;
        assert_eq!(first.header("cache-control"), "no-cache");
        let tag = first.header("etag").to_owned();
        let has = |tags: &str| vec![BROWSER[0], ("if-none-match", tags.to_owned().leak())];
        for tags in
            [tag.clone(), format!("\"other\", {tag}"), tag.replacen("W/", "", 1), "*".into()]
        {
            let again = ask(router, Method::GET, path, &has(&tags)).await;
            assert_eq!(again.status, 304, "{path} with {tags}");
            assert!(again.body.is_empty());
            assert_eq!(again.header("etag"), tag);
            assert_eq!(
                again.header("content-security-policy"),
                first.header("content-security-policy")
            );
        }
        assert_eq!(ask(router, Method::GET, path, &has("\"other\"")).await.status, 200);
    }
    let below = Router::new().nest("/actions", cluster.router.clone());
    let (here, there) = (browse(router, "/actions").await, browse(&below, "/actions").await);
    assert_ne!(here.header("etag"), there.header("etag"), "another page");
}

#[tokio::test]
async fn the_page_is_below_what_a_proxy_has_taken_off() {
    let cluster = Cluster::start().await;
    let below = Router::new().nest_service("/inner", cluster.router.clone());
    let at = async |router: &Router, path: &str, prefix: &str| {
        let headers = [BROWSER[0], ("x-forwarded-prefix", prefix)];
        ask(router, Method::GET, path, &headers).await
    };
    for path in ["/", "/actions", "/executions/0198", "/embed/executions/0198"] {
        is_page(&at(&cluster.router, path, "/tools/tinpot").await, "/tools/tinpot/");
        is_page(&at(&cluster.router, path, "/tools/tinpot/").await, "/tools/tinpot/");
        is_page(&at(&below, &format!("/inner{path}"), "/tools").await, "/tools/inner/");
        for ignored in ["//elsewhere", "https://elsewhere", "/a\"b", "/a,/b", "/..", "a", ""] {
            is_page(&at(&cluster.router, path, ignored).await, "/");
            is_page(&at(&below, &format!("/inner{path}"), ignored).await, "/inner/");
        }
        let plain = browse(&cluster.router, path).await;
        assert_eq!(plain.header("vary"), "accept, x-forwarded-prefix");
    }
    // Of the same length, so that nothing else tells them apart.
    let (one, other) =
        (at(&cluster.router, "/", "/one").await, at(&cluster.router, "/", "/two").await);
    assert_ne!(one.header("etag"), other.header("etag"));
    let has = one.header("etag").to_owned();
    for (prefix, status) in [("/one", 304), ("/two", 200)] {
        let headers = [BROWSER[0], ("x-forwarded-prefix", prefix), ("if-none-match", &has)];
        assert_eq!(ask(&cluster.router, Method::GET, "/", &headers).await.status, status);
    }
}

#[tokio::test]
async fn browsers_keep_a_file_whose_name_changes_with_its_content() {
    let cluster = Cluster::start().await;
    let name = tinpot_ui::names().find(|name| tinpot_ui::file(name).unwrap().never_changes());
    let path = format!("/ui/{}", name.expect("a part that is loaded later"));
    let kept = browse(&cluster.router, &path).await;
    assert_eq!(kept.header("cache-control"), "public, max-age=31536000, immutable");
    // A page of the version before asks for a file that is gone.
    let gone = path.replace('-', "-0");
    let detail = browse(&cluster.router, &gone).await.detail(404);
    assert!(detail.contains("not found"), "{detail}");
}

#[tokio::test]
async fn the_head_alone_is_that_of_the_whole() {
    let cluster = Cluster::start().await;
    for path in ["/", "/workers", "/ui/app.css", "/embed/executions/0198"] {
        let whole = browse(&cluster.router, path).await;
        let head = ask(&cluster.router, Method::HEAD, path, BROWSER).await;
        assert_eq!(head.status, 200, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in ["content-type", "etag", "content-security-policy", "cache-control"] {
            assert_eq!(head.header(name), whole.header(name), "{path}: {name}");
        }
        assert_eq!(head.header("content-length"), whole.body.len().to_string(), "{path}");
    }
    assert_eq!(ask(&cluster.router, Method::HEAD, "/api/nothing", BROWSER).await.status, 404);
}

#[tokio::test]
async fn large_files_are_packed_for_those_who_take_it() {
    let cluster = Cluster::start().await;
    let (name, packed) = tinpot_ui::names()
        .filter(|name| *name != tinpot_ui::INDEX)
        .find_map(|name| Some((name, tinpot_ui::file(name)?.gzip()?)))
        .expect("a file that is worth packing");
    let path = format!("/ui/{name}");
    for (accepted, is_packed) in [
        ("gzip, deflate, br", true),
        ("br;q=1.0, GZIP;q=0.5", true),
        ("identity", false),
        ("gzip;q=0", false),
        ("gzip; q=0.000, br", false),
    ] {
        let got = ask(&cluster.router, Method::GET, &path, &[("accept-encoding", accepted)]).await;
        assert_eq!(
            got.header("content-encoding"),
            if is_packed { "gzip" } else { "" },
            "{accepted}"
        );
        assert_eq!(got.header("vary"), "accept-encoding");
        let expected = if is_packed { packed } else { tinpot_ui::file(name).unwrap().bytes() };
        assert_eq!(got.body, expected, "{accepted}");
    }
}

#[tokio::test]
async fn without_the_ui_its_paths_are_free() {
    let cluster = Cluster::with(HttpConfig::default().ui(false)).await;
    for path in ["/", "/actions", "/ui/app.js", "/embed/executions/0198"] {
        browse(&cluster.router, path).await.detail(404);
    }
    let router = Router::new().route("/", get(async || "the host's")).merge(cluster.router);
    assert_eq!(browse(&router, "/").await.text(), "the host's");
}
