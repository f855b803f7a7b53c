//! Programs and users that are known by the certificates of their connections.

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use tinpot_access::{Grant, Grantee, NewTeam, Role};
use tinpot_core::{Coordinator, MemoryNetwork, Timestamp};
use tinpot_http::{CertificatePrincipal, ClientCertificate};

use crate::cluster::Answer;
use crate::people::{Browser, People, by};

const URI: &str = "spiffe://example.org/ci";

fn later() -> Timestamp {
    Timestamp(Timestamp::now().0 + 60_000_000)
}

fn certificate(uri: &str, ends: Timestamp) -> ClientCertificate {
    ClientCertificate::new(vec!["urn:other".to_owned(), uri.to_owned()], [7; 32], ends)
}

fn programs(all: &[&str]) -> Vec<CertificatePrincipal> {
    all.iter().map(|one| one.parse().expect("a program")).collect()
}

async fn send(
    client: &Browser,
    mut request: Request<Body>,
    certificate: &ClientCertificate,
) -> Answer {
    request.extensions_mut().insert(certificate.clone());
    client.send(request).await
}

async fn ask(client: &Browser, path: &str, certificate: &ClientCertificate) -> Answer {
    send(client, client.request("GET", path, &Value::Null), certificate).await
}

/// The name of the caller; the status if there is none.
async fn name(client: &Browser, certificate: &ClientCertificate) -> Result<String, u16> {
    let answer = ask(client, "/api/auth/me", certificate).await;
    match answer.status.as_u16() {
        200 => Ok(answer.json()["name"].as_str().expect("a name").to_owned()),
        status => Err(status),
    }
}

#[tokio::test]
async fn a_certificate_names_a_principal_with_its_rights_and_no_other() {
    let people = People::some().await;
    let program = people.directory.add_program(&by(), "default", "deployer").await.unwrap();
    let grant = Grant::new(Grantee::Principal(program.id.clone()), Role::Viewer);
    people.directory.add_grant(&by(), grant).await.unwrap();
    let listed = programs(&["spiffe://example.org/ci=deployer", "urn:gone=gone"]);
    let people = people.configured(|one| one.certificates(listed), |one| one);
    let (client, good) = (people.browser(), certificate(URI, later()));
    assert_eq!(name(&client, &good).await.as_deref(), Ok("deployer"));
    assert_eq!(ask(&client, "/api/actions", &good).await.status, 200);
    // It has the rights of its grants.
    assert!([403, 404].contains(&ask(&client, "/api/users", &good).await.status.as_u16()));
    // Others are strangers: other names, names that only begin so, programs that are gone, and
    // certificates that have ended.
    for (uri, ends) in [
        ("spiffe://example.org/ci2", later()),
        ("spiffe://example.org", later()),
        ("urn:gone", later()),
        (URI, Timestamp(Timestamp::now().0 - 1)),
    ] {
        assert_eq!(name(&client, &certificate(uri, ends)).await, Err(401), "{uri}");
    }
    // Other credentials take precedence, also bad ones.
    let root = people.browser_of("root").await;
    assert_eq!(name(&root, &good).await.as_deref(), Ok("root"));
    let bad = people.browser().with_token("tpt_bad");
    assert_eq!(name(&bad, &good).await, Err(401));
    // A page of another site uses no certificate.
    let body = serde_json::json!({"name": "x"});
    let mut forged = client.request("POST", "/api/tokens", &body);
    forged.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(send(&client, forged, &good).await.status, 403);
    people.directory.remove_program(&by(), &program.id).await.unwrap();
    assert_eq!(name(&client, &good).await, Err(401));
    // A user for a program serves as well, until it is disabled.
    let people = people.configured(|one| one.certificates(programs(&["urn:bot=vera"])), |one| one);
    let (client, of_user) = (people.browser(), certificate("urn:bot", later()));
    assert_eq!(name(&client, &of_user).await.as_deref(), Ok("vera"));
    people.directory.set_disabled(&by(), &people.id("vera"), true).await.unwrap();
    assert_eq!(name(&client, &of_user).await, Err(401));
}

#[tokio::test]
async fn certificates_name_programs_of_teams_and_never_two() {
    let people =
        People::with_teams(|_| Coordinator::builder(MemoryNetwork::new().transport())).await;
    let red = people.directory.create_team(&by(), NewTeam::new("red")).await.unwrap();
    people.directory.of_team(red.id.clone()).add_program(&by(), &red.id, "ci").await.unwrap();
    let fingerprint = "07".repeat(32);
    let one = format!("sha256:{fingerprint}=red/ci");
    let people = people.configured(|all| all.certificates(programs(&[&one])), |one| one);
    let (client, good) = (people.browser(), certificate(URI, later()));
    assert_eq!(name(&client, &good).await.as_deref(), Ok("ci"));
    let both = [&*one, "spiffe://example.org/ci=other"];
    let people = people.configured(|all| all.certificates(programs(&both)), |one| one);
    assert_eq!(name(&people.browser(), &good).await, Err(401));
}

#[test]
fn certificates_are_named_by_uris_and_fingerprints() {
    let colons = ["ab"; 32].join(":");
    for (text, shown) in [
        ("urn:a=b=ci", "urn:a=b=ci".to_owned()),
        (" spiffe://x/y=red/ci ", "spiffe://x/y=red/ci".to_owned()),
        (&*format!("sha256:{colons}=ci"), format!("sha256:{}=ci", "ab".repeat(32))),
    ] {
        assert_eq!(programs(&[text])[0].to_string(), shown);
    }
    for text in ["", "ci", "CN=ci", "=ci", "urn:x=", "sha256:00=ci", "urn:x y=ci", "urn:x=red/"] {
        let why = text.parse::<CertificatePrincipal>().expect_err(text).to_string();
        assert!(why.contains("must be like spiffe://"), "{why}");
    }
}
