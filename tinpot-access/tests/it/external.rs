//! Users whom another system has authenticated.

use tinpot_access::{Directory, ExternalIdentity, Grant, Grantee, NewToken, Rejection, Role, User};
use tinpot_core::{Caller, Decision, ErrorKind, Policy, Right, Target};

use crate::support::{World, by, refused};

fn person(issuer: &str, subject: &str) -> ExternalIdentity {
    ExternalIdentity::new("oidc", issuer, subject).expect("an identity")
}

async fn enter(directory: &Directory, identity: &ExternalIdentity) -> User {
    directory.external_user(identity).await.expect("an answer").expect("a user")
}

fn may(directory: &Directory, user: &User, right: Right) -> bool {
    let caller = Caller::new(user.id.clone());
    let target = Target::team("default");
    directory.rules().decide(&caller, right, &target) == Decision::Allow
}

const IDP: &str = "https://idp.example.org";

#[tokio::test]
async fn a_person_is_one_user_and_no_stranger_becomes_it_by_name() {
    let world = World::new().await;
    let directory = &world.directory;
    let own = world.admin("ada").await;
    let ada = enter(directory, &person(IDP, "1").name("Ada")).await;
    assert_ne!(ada.id, own.id, "the user of this name is another person");
    assert_eq!(&*ada.name, "Ada-2");
    assert!(!ada.has_password() && !may(directory, &ada, Right::SeeAction));
    assert_eq!(enter(directory, &person(IDP, "1").name("Ada")).await.id, ada.id);
    // A new name of the same person changes nothing; the same subject at another issuer is another
    // person.
    assert_eq!(enter(directory, &person(IDP, "1").name("Eve")).await.id, ada.id);
    let other = enter(directory, &person("https://evil.example", "1").name("Ada")).await;
    assert_eq!((&*other.name, other.id == ada.id), ("Ada-3", false));
    let odd = enter(directory, &person(IDP, "2").name(" a b:c/\u{202e}\n\"")).await;
    assert_eq!(&*odd.name, "a-b-c----");
    // All processes see the same.
    let elsewhere = world.other().await;
    assert_eq!(enter(&elsewhere, &person(IDP, "1")).await.id, ada.id);
    let both = (person(IDP, "3"), person(IDP, "3"));
    let (one, two) = tokio::join!(enter(directory, &both.0), enter(&elsewhere, &both.1));
    assert_eq!(one.id, two.id);
    for (issuer, subject) in [("", "1"), (IDP, ""), (IDP, &*"x".repeat(257))] {
        let made = ExternalIdentity::new("oidc", issuer, subject);
        refused(made, ErrorKind::InvalidInput, "1 to 256 bytes");
    }
}

#[tokio::test]
async fn groups_elsewhere_give_the_grants_of_groups_of_the_same_name() {
    let world = World::new().await;
    let directory = &world.directory;
    let team = person(IDP, "1").groups(["ops", "unknown"]);
    let ada = enter(directory, &team).await;
    assert!(!may(directory, &ada, Right::Read));
    directory.set_group(&by(), "ops", &[]).await.expect("a group");
    let grant = Grant::new(Grantee::Group("ops".into()), Role::Operator);
    directory.add_grant(&by(), grant).await.expect("a grant");
    assert!(may(directory, &ada, Right::Read) && may(directory, &ada, Right::Run));
    assert!(!may(directory, &ada, Right::ManageTeam));
    let ada = enter(directory, &person(IDP, "1")).await;
    assert!(!may(directory, &ada, Right::Read), "the groups are those of the last time");
    enter(directory, &team).await;
    directory.remove_group(&by(), "ops").await.expect("a removal");
    assert!(!may(directory, &ada, Right::Read));
}

#[tokio::test]
async fn members_of_the_admin_group_are_admins_until_they_leave_it() {
    let world = World::new().await;
    let directory = &world.directory;
    let lesser = person(IDP, "1").groups(["ops"]).admin_group(Some("tinpot-admins"));
    let ada = enter(directory, &lesser).await;
    let new = NewToken::new("made by an admin of the team", ada.id.clone());
    let (secret, _) = directory.create_token(&by(), new).await.expect("a token");
    let (cookie, _) = directory.sign_in(&by(), &ada.id).await.expect("a sign-in");
    let admin = person(IDP, "1").groups(["tinpot-admins"]).admin_group(Some("tinpot-admins"));
    let ada = enter(directory, &admin).await;
    assert!(directory.is_server_admin(&ada.id));
    assert!(may(directory, &ada, Right::ManageServer) && may(directory, &ada, Right::ManageTeam));
    // What others have made for a lesser user gives no power over the server.
    assert_eq!(directory.authenticate_token(secret.expose()), Err(Rejection::Unknown));
    assert_eq!(directory.authenticate_sign_in(cookie.expose()), Err(Rejection::Unknown));
    let team = directory.for_team();
    let taken = team.set_password_hash(&by(), &ada.id, "x").await;
    refused(taken, ErrorKind::Forbidden, "an admin of the server");
    let ada = enter(directory, &lesser).await;
    assert!(!directory.is_server_admin(&ada.id) && !may(directory, &ada, Right::ManageTeam));
}

#[tokio::test]
async fn an_admin_by_a_group_elsewhere_is_none_only_by_a_change_of_that() {
    let world = World::new().await;
    let directory = &world.directory;
    world.admin("root").await;
    let admin = person(IDP, "1").groups(["admins"]).admin_group(Some("admins"));
    let ada = enter(directory, &admin).await;
    let demoted = directory.set_server_admin(&by(), &ada.id, false).await;
    refused(demoted, ErrorKind::Conflict, "remove the person from that group there");
    directory.keep_external_admins(&by(), Some("admins")).await.expect("no change");
    assert!(directory.is_server_admin(&ada.id));
    for group in [Some("another"), None] {
        directory.keep_external_admins(&by(), group).await.expect("a change");
        assert!(!directory.is_server_admin(&ada.id), "{group:?}");
        assert!(!may(directory, &ada, Right::ManageServer));
        assert!(!may(directory, &ada, Right::ManageTeam));
        // No person becomes an admin without a sign-in.
        directory.keep_external_admins(&by(), Some("admins")).await.expect("no change");
        assert!(!directory.is_server_admin(&ada.id));
        enter(directory, &admin).await;
        assert!(directory.is_server_admin(&ada.id));
    }
}

#[tokio::test]
async fn a_disabled_person_stays_out_and_a_removed_one_comes_back_as_another() {
    let world = World::new().await;
    let directory = &world.directory;
    let ada = enter(directory, &person(IDP, "1").name("ada")).await;
    directory.set_disabled(&by(), &ada.id, true).await.expect("a change");
    let answer = directory.external_user(&person(IDP, "1").groups(["new"])).await;
    assert_eq!(answer.expect("an answer").map(|user| user.id), Err(Rejection::Disabled));
    directory.remove_user(&by(), &ada.id).await.expect("a removal");
    let again = enter(directory, &person(IDP, "1").name("ada")).await;
    assert_ne!(again.id, ada.id, "an id is never used again");
    assert_eq!(&*again.name, "ada");
}
