//! People whom nginx signs in, with the configuration of the documentation.

use serde_json::Value;
use tinpot_tests::{Api, Nginx, coordinator_with_broker, free_port};

const PAGE: &str = include_str!("../../docs/how-to/proxy.md");
const SECRET: &str = "0123456789-of-the-proxy";

/// Answers as oauth2-proxy: the user and the groups of a cookie.
const OAUTH2_PROXY: &str = r#"
location = /oauth2/auth {
    if ($cookie_sso = "") { return 401; }
    add_header X-Auth-Request-User $cookie_sso;
    add_header X-Auth-Request-Groups $cookie_groups;
    return 204;
}
location /oauth2/start { return 200 "sign in"; }
"#;

/// Returns the blocks of nginx in the documentation, for these ports.
fn documented(tinpot: u16, oauth2_proxy: u16) -> Vec<String> {
    let blocks = PAGE.split("```nginx\n").skip(1).filter_map(|rest| rest.split("```").next());
    let adapt = |block: &str| {
        let block = block.replace("127.0.0.1:8000", &format!("127.0.0.1:{tinpot}"));
        let block = block.replace("127.0.0.1:4180", &format!("127.0.0.1:{oauth2_proxy}"));
        block.replace("the secret of the file", SECRET)
    };
    blocks.map(adapt).collect()
}

#[test]
fn nginx_signs_people_in_as_documented() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).expect("a file");
    let (_coordinator, direct, _) = coordinator_with_broker(&[
        ("TINPOT_AUTH", "proxy"),
        ("TINPOT_PROXY_FROM", "127.0.0.1"),
        ("TINPOT_PROXY_SECRET_FILE", secret.to_str().expect("a path in UTF-8")),
        ("TINPOT_PROXY_GROUPS_HEADER", "Remote-Groups"),
        ("TINPOT_ADMIN_GROUP", "tinpot-admins"),
    ]);
    let fake = free_port();
    let blocks = documented(direct.port(), fake);
    let [people, programs] = &*blocks else { panic!("two blocks: {blocks:?}") };
    let nginx = Nginx::start(&[
        people.clone(),
        programs.clone(),
        format!("listen 127.0.0.1:{fake}; {OAUTH2_PROXY}"),
    ]);
    let (page, program) = (Api::of(nginx.ports()[0]), Api::of(nginx.ports()[1]));
    let me = |api: &Api, headers: &[(&str, &str)]| api.get_with("/api/auth/me", headers);

    let (status, ada) = me(&page, &[("cookie", "sso=ada; groups=tinpot-admins,ops")]);
    assert_eq!((status, &ada["name"], &ada["via"]), (200, &"ada".into(), &"proxy".into()));
    assert_eq!(ada["server_admin"], true);
    // Without a sign-in, the browser is sent to one; a person without groups has no rights.
    let (_, stranger) = me(&page, &[]);
    assert_eq!(stranger, Value::Null, "the page of the sign-in is no JSON");
    let (_, eve) = me(&page, &[("cookie", "sso=eve")]);
    assert_eq!((&eve["name"], &eve["rights"]), (&"eve".into(), &serde_json::json!([])));
    // Attack 4: the proxy removes these headers from requests of people.
    let forged = [
        ("cookie", "sso=eve"),
        ("remote-user", "ada"),
        ("remote-groups", "tinpot-admins"),
        ("tinpot-proxy-secret", "guess"),
    ];
    let (status, eve) = me(&page, &forged);
    assert_eq!((status, &eve["name"], &eve["server_admin"]), (200, &"eve".into(), &false.into()));
    let (status, _) = me(&program, &forged);
    assert_eq!(status, 401);
    // A program that signs in has no token yet.
    let (status, options) = program.get_with("/api/auth/options", &[]);
    assert_eq!((status, &options["device"]), (200, &true.into()));
    let json = [("content-type", "application/json")];
    let (status, codes) = program.post_raw("/api/auth/device", &json, b"{}");
    assert_eq!(status, 201, "{codes}");
    let ask = serde_json::json!({"device": codes["device"]}).to_string();
    assert_eq!(program.post_raw("/api/auth/device/token", &json, ask.as_bytes()).0, 202);
    let code = codes["code"].as_str().expect("a code");
    assert_eq!(program.get_with(&format!("/api/auth/device/{code}"), &[]).0, 401);
    let (status, _) = me(&direct, &forged);
    assert_eq!(status, 401);
    // Requests that change something come from a page of the proxy's host.
    let own = format!("http://127.0.0.1:{}", nginx.ports()[0]);
    let make = |origin: &str| {
        let cookie = ("cookie", "sso=ada; groups=tinpot-admins");
        let headers = [cookie, ("origin", origin), ("content-type", "application/json")];
        page.post_raw("/api/tokens", &headers, b"{\"name\": \"ci\"}")
    };
    assert_eq!(make("http://evil.example").0, 403);
    let (status, made) = make(&own);
    assert_eq!(status, 201, "{made}");
    let token = format!("Bearer {}", made["secret"].as_str().expect("a secret"));
    let (status, known) = me(&program, &[("authorization", &token)]);
    assert_eq!((status, &known["name"]), (200, &"ada".into()));
}
