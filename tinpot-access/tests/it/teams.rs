//! Teams, their members, and what belongs to them.

use tinpot_access::{
    Directory, ExternalIdentity, Grant, Grantee, NewTeam, NewToken, NewUser, Rejection, Role, Team,
    TeamUpdate, User,
};
use tinpot_core::access::records::Change;
use tinpot_core::{Caller, DEFAULT_TEAM, Decision, ErrorKind, Policy, Right, Target};

use crate::support::{World, by, refused};

async fn team(world: &World, name: &str) -> Team {
    world.directory.create_team(&by(), NewTeam::new(name)).await.expect("a team")
}

/// A user of a team, with a role in it.
async fn member(world: &World, team: &Team, name: &str, role: Role) -> User {
    let directory = world.directory.of_team(team.id.clone());
    directory.add_user(&by(), NewUser::new(name).role(role)).await.expect("a user")
}

fn names(teams: &[Team]) -> Vec<&str> {
    teams.iter().map(|team| &*team.name).collect()
}

/// The caller of a user who has signed in, in a team.
fn caller(directory: &Directory, user: &User, team: Option<&str>) -> Caller {
    let caller = Caller::new(user.id.clone()).via("sign-in:1");
    directory.enter_team(caller, team).expect("a team")
}

fn may(directory: &Directory, caller: &Caller, right: Right) -> bool {
    let target = Target::team(&caller.team);
    directory.rules().decide(caller, right, &target) == Decision::Allow
}

#[tokio::test]
async fn teams_have_names_of_their_own_and_ids_that_are_never_used_again() {
    let world = World::with_teams().await;
    let directory = &world.directory;
    assert_eq!(names(&directory.teams()), ["default"]);
    let new = NewTeam::new("Billing").description("Invoices");
    let billing = directory.create_team(&by(), new).await.expect("a team");
    assert_eq!((&*billing.name, &*billing.description), ("Billing", "Invoices"));
    for taken in ["billing", "default", "DEFAULT"] {
        let again = directory.create_team(&by(), NewTeam::new(taken)).await;
        refused(again, ErrorKind::Conflict, "a team");
    }
    for name in ["", "a b", "a/b", "a:b"] {
        let wrong = directory.create_team(&by(), NewTeam::new(name)).await;
        refused(wrong, ErrorKind::InvalidInput, "the name of a team must have 1 to 64 bytes");
    }
    let long = NewTeam::new("x").description("x".repeat(1_001));
    refused(directory.create_team(&by(), long).await, ErrorKind::InvalidInput, "got 1001");
    let update = TeamUpdate::default().name("Money").description("");
    let renamed = directory.update_team(&by(), &billing.id, update).await.expect("a change");
    assert_eq!((&renamed.id, &*renamed.name, &*renamed.description), (&billing.id, "Money", ""));
    assert_eq!(directory.team("billing"), None);
    assert_eq!(directory.team("MONEY").map(|team| team.id), Some(billing.id.clone()));
    // The default team may have another name, and is still found by its id.
    let update = TeamUpdate::default().name("Ops");
    directory.update_team(&by(), DEFAULT_TEAM, update).await.expect("a change");
    assert_eq!(names(&directory.teams()), ["Money", "Ops"]);
    for name in ["ops", "default"] {
        assert_eq!(directory.team(name).map(|team| team.id), Some(DEFAULT_TEAM.into()), "{name}");
    }
    let update = TeamUpdate::default().name("default");
    directory.update_team(&by(), DEFAULT_TEAM, update).await.expect("a change");
    team(&world, "ops").await;
    let other = world.other().await;
    assert_eq!(other.teams(), directory.teams());
    directory.remove_team(&by(), &billing.id).await.expect("an empty team");
    let again = team(&world, "money").await;
    assert_ne!(again.id, billing.id);
    let unknown = directory.update_team(&by(), "x", TeamUpdate::default().name("y")).await;
    refused(unknown, ErrorKind::NotFound, "no team \"x\"");
}

/// Adds as many documents of a kind as make a number, with ids of their own: much faster than by
/// the directory.
async fn fill(world: &World, kind: &str, id: &str, number: usize) {
    let one = world.records.get(kind, id).await.expect("records").expect("a document");
    let text = String::from_utf8(one.document.to_vec()).expect("JSON");
    let numbers: Vec<usize> = (1..number).collect();
    for some in numbers.chunks(100) {
        let copy = |number: &usize| {
            let other = format!("{id}-{number}");
            let value = text.replace(&format!("\"{id}\""), &format!("\"{other}\""));
            Change::replace(kind, other, 0, value.into_bytes())
        };
        let changes: Vec<Change> = some.iter().map(copy).collect();
        world.records.change(&changes).await.expect("a change");
    }
    world.directory.refresh().await.expect("it is read");
}

#[tokio::test]
async fn a_team_does_not_take_the_room_of_others() {
    let world = World::with_teams().await;
    let (red, blue) = (team(&world, "red").await, team(&world, "blue").await);
    let of = |team: &Team| world.directory.of_team(team.id.clone()).for_team();
    let (in_red, in_blue) = (of(&red), of(&blue));
    let add = async |directory: &Directory, name: &str| {
        directory.add_user(&by(), NewUser::new(name)).await
    };
    // A user who has left the team is still a user of the server.
    let ada = add(&in_red, "ada").await.expect("a user");
    in_red.remove_member(&by(), &red.id, &ada.id).await.expect("a removal");
    fill(&world, "user", &ada.id, 25_000).await;
    let says = "a team has at most 25000 users, a quarter of those of the server";
    refused(add(&in_red, "eve").await, ErrorKind::InvalidInput, says);
    let bob = add(&in_blue, "bob").await.expect("a user");

    let grant =
        || Grant::new(Grantee::Principal(bob.id.clone()), Role::Viewer).team(blue.id.clone());
    let one = in_blue.add_grant(&by(), grant()).await.expect("a grant");
    fill(&world, "grant", &one.id, 2_500).await;
    let says = "a team has at most 2500 grants";
    refused(in_blue.add_grant(&by(), grant()).await, ErrorKind::InvalidInput, says);
    let green = team(&world, "green").await;
    let member = member(&world, &green, "gus", Role::Admin).await;
    assert!(member.teams.contains(&green.id), "the others have room");
}

#[tokio::test]
async fn only_an_empty_team_is_removed_and_never_the_default_one() {
    let world = World::with_teams().await;
    let directory = &world.directory;
    let red = team(&world, "red").await;
    let ada = member(&world, &red, "ada", Role::Admin).await;
    let says = "the team \"red\" is not empty: it has 1 members, 0 programs, 0 groups, 1 grants";
    refused(directory.remove_team(&by(), &red.id).await, ErrorKind::Conflict, says);
    directory.remove_member(&by(), &red.id, &ada.id).await.expect("by an admin of the server");
    directory.add_program(&by(), &red.id, "ci").await.expect("a program");
    refused(directory.remove_team(&by(), &red.id).await, ErrorKind::Conflict, "1 programs");
    let program = directory.programs()[0].id.clone();
    directory.remove_program(&by(), &program).await.expect("a removal");
    directory.remove_team(&by(), &red.id).await.expect("an empty team");
    refused(directory.remove_team(&by(), &red.id).await, ErrorKind::NotFound, "no team");
    refused(directory.remove_team(&by(), DEFAULT_TEAM).await, ErrorKind::Conflict, "default team");
    let disabled = TeamUpdate::default().disabled(true);
    let disabled = directory.update_team(&by(), DEFAULT_TEAM, disabled).await;
    refused(disabled, ErrorKind::Conflict, "default team");
    // Nothing is added to a team that was removed.
    let gone = directory.of_team(red.id.clone());
    refused(gone.add_user(&by(), NewUser::new("eve")).await, ErrorKind::NotFound, "no team");
    let program = directory.add_program(&by(), &red.id, "ci").await;
    refused(program, ErrorKind::NotFound, "no team");
}

#[tokio::test]
async fn a_person_of_several_teams_has_in_each_only_the_rights_there() {
    let world = World::with_teams().await;
    let directory = &world.directory;
    let (red, blue) = (team(&world, "red").await, team(&world, "blue").await);
    let ada = member(&world, &red, "ada", Role::Admin).await;
    let bob = member(&world, &blue, "bob", Role::Admin).await;
    let joined = directory.add_member(&by(), &blue.id, &ada.id, Some(Role::Viewer)).await;
    assert_eq!(joined.expect("a member").teams.len(), 2);
    let again = directory.add_member(&by(), &blue.id, &ada.id, None).await;
    refused(again, ErrorKind::Conflict, "\"ada\" is in the team \"blue\" already");
    assert_eq!(names(&directory.teams_of(&ada.id)), ["blue", "red"]);
    let (in_red, in_blue) =
        (caller(directory, &ada, Some("RED")), caller(directory, &ada, Some(&blue.id)));
    assert_eq!((&in_red.team, &in_blue.team), (&red.id, &blue.id));
    assert!(may(directory, &in_red, Right::ManageTeam));
    assert!(may(directory, &in_blue, Right::Read) && !may(directory, &in_blue, Right::Run));
    // Without a choice, the default team, or the first one by name.
    assert_eq!(caller(directory, &ada, None).team, blue.id);
    directory.add_member(&by(), DEFAULT_TEAM, &ada.id, None).await.expect("a member");
    let in_default = caller(directory, &ada, None);
    assert_eq!(&*in_default.team, DEFAULT_TEAM);
    assert!(!may(directory, &in_default, Right::Read), "a member without a role sees nothing");
    // The same message for a team of others and one that never existed.
    let enter = |team: &str| {
        let caller = Caller::new(bob.id.clone()).via("sign-in:2");
        directory.enter_team(caller, Some(team)).expect_err("no team").to_string()
    };
    assert_eq!(enter("red"), enter("green").replace("green", "red"));
    // A user in no team acts in none.
    let root = world.admin("root").await;
    directory.remove_member(&by(), DEFAULT_TEAM, &root.id).await.expect("a removal");
    let alone = caller(directory, &root, None);
    assert!(may(directory, &alone, Right::ManageServer) && !may(directory, &alone, Right::Read));

    // Leaving a team takes the grants, tokens and groups there.
    let of_blue = directory.of_team(blue.id.clone());
    let (secret, token) =
        of_blue.create_token(&by(), NewToken::new("x", ada.id.clone())).await.expect("a token");
    assert_eq!(token.team, blue.id);
    of_blue.set_group(&by(), "ops", std::slice::from_ref(&ada.id)).await.expect("a group");
    let known = directory.authenticate_token(secret.expose()).expect("a caller");
    assert_eq!(known.caller.team, blue.id);
    let elsewhere = directory.enter_team(known.caller.clone(), Some("red"));
    refused(elsewhere, ErrorKind::NotFound, "no team \"red\", or you are not in it");
    assert_eq!(directory.enter_team(known.caller, None).expect("its own").team, blue.id);
    directory.remove_member(&by(), &blue.id, &ada.id).await.expect("a removal");
    assert_eq!(directory.authenticate_token(secret.expose()), Err(Rejection::Unknown));
    assert!(!may(directory, &in_blue, Right::Read) && may(directory, &in_red, Right::ManageTeam));
    assert_eq!(directory.groups()[0].members, []);
    let again = directory.remove_member(&by(), &blue.id, &ada.id).await;
    refused(again, ErrorKind::NotFound, "no user");
}

#[tokio::test]
async fn groups_of_two_teams_may_share_a_name_and_grants_are_for_members_only() {
    let world = World::with_teams().await;
    let directory = &world.directory;
    let (red, blue) = (team(&world, "red").await, team(&world, "blue").await);
    let ada = member(&world, &red, "ada", Role::Viewer).await;
    let bob = member(&world, &blue, "bob", Role::Viewer).await;
    for (team, user) in [(&red, &ada), (&blue, &bob)] {
        let of_team = directory.of_team(team.id.clone());
        let members = std::slice::from_ref(&user.id);
        of_team.set_group(&by(), "ops", members).await.expect("a group");
    }
    assert_eq!(directory.groups().len(), 2);
    let grant = |team: &Team, to| Grant::new(to, Role::Operator).team(team.id.clone());
    let to_ops = || Grantee::Group("ops".into());
    directory.add_grant(&by(), grant(&red, to_ops())).await.expect("a grant");
    let runs = |user: &User| may(directory, &caller(directory, user, None), Right::Run);
    assert!(runs(&ada) && !runs(&bob));
    let foreign = grant(&red, Grantee::Principal(bob.id.clone()));
    refused(directory.add_grant(&by(), foreign).await, ErrorKind::NotFound, "no user or program");
    let of_red = directory.of_team(red.id.clone());
    let foreign = of_red.set_group(&by(), "ops", std::slice::from_ref(&bob.id)).await;
    refused(foreign, ErrorKind::NotFound, "no user");
    of_red.remove_group(&by(), "ops").await.expect("a removal");
    let left: Vec<_> = directory.groups().into_iter().map(|group| group.team).collect();
    assert_eq!(left, std::slice::from_ref(&blue.id));
    let unknown = directory.add_grant(&by(), grant(&red, to_ops())).await;
    refused(unknown, ErrorKind::NotFound, "no group \"ops\"");
}

#[tokio::test]
async fn an_admin_of_a_team_has_no_power_over_accounts_of_other_teams() {
    let world = World::with_teams().await;
    let directory = &world.directory;
    let (red, blue) = (team(&world, "red").await, team(&world, "blue").await);
    let ada = member(&world, &red, "ada", Role::Admin).await;
    let own = member(&world, &red, "own", Role::Viewer).await;
    let shared = member(&world, &blue, "shared", Role::Viewer).await;
    directory.add_member(&by(), &red.id, &shared.id, Some(Role::Viewer)).await.expect("a member");
    let of_red = directory.of_team(red.id.clone()).for_team();
    let says = "the account belongs to other teams, too";
    let id = &shared.id;
    refused(of_red.set_password_hash(&by(), id, "x").await, ErrorKind::Forbidden, says);
    refused(of_red.set_disabled(&by(), id, true).await, ErrorKind::Forbidden, says);
    refused(of_red.remove_user(&by(), id).await, ErrorKind::Forbidden, says);
    let token = of_red.create_token(&by(), NewToken::new("x", id.clone())).await;
    refused(token, ErrorKind::Forbidden, says);
    let program = directory.add_program(&by(), &blue.id, "ci").await.expect("a program");
    for handle in [&of_red, &directory.of_team(red.id.clone())] {
        let token = handle.create_token(&by(), NewToken::new("x", program.id.clone())).await;
        refused(token, ErrorKind::NotFound, "no user or program");
    }
    of_red.set_disabled(&by(), &own.id, true).await.expect("their own");
    // Only an admin of the server can remove the last admin of a team.
    let says = "the team \"red\" needs an admin";
    refused(of_red.set_disabled(&by(), &ada.id, true).await, ErrorKind::Conflict, says);
    refused(of_red.remove_user(&by(), &ada.id).await, ErrorKind::Conflict, says);
    refused(of_red.remove_member(&by(), &red.id, &ada.id).await, ErrorKind::Conflict, says);
    directory.set_disabled(&by(), &ada.id, true).await.expect("a change");
}

#[tokio::test]
async fn no_principal_has_rights_in_a_disabled_team() {
    let world = World::with_teams().await;
    let directory = &world.directory;
    let red = team(&world, "red").await;
    let ada = member(&world, &red, "ada", Role::Operator).await;
    let of_red = directory.of_team(red.id.clone());
    let new = NewToken::new("x", ada.id.clone());
    let (secret, _) = of_red.create_token(&by(), new).await.expect("a token");
    let before = caller(directory, &ada, Some("red"));
    assert!(may(directory, &before, Right::Run));
    for (is_disabled, token) in [(true, Err(Rejection::NoTeam)), (false, Ok(()))] {
        let update = TeamUpdate::default().disabled(is_disabled);
        directory.update_team(&by(), &red.id, update).await.expect("a change");
        assert_eq!(may(directory, &before, Right::Run), !is_disabled);
        assert_eq!(directory.authenticate_token(secret.expose()).map(drop), token);
        let sign_in = Caller::new(ada.id.clone()).via("sign-in:1");
        assert_eq!(directory.enter_team(sign_in, Some("red")).is_err(), is_disabled);
    }
}

#[tokio::test]
async fn documents_of_a_server_without_teams_are_of_the_default_team() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let directory = &world.directory;
    let (secret, _) =
        directory.create_token(&by(), NewToken::new("x", ada.id.clone())).await.expect("a token");
    directory.set_group(&by(), "ops", std::slice::from_ref(&ada.id)).await.expect("a group");
    // They do not mention teams, like those of earlier versions.
    for kind in ["user", "token", "group"] {
        for record in world.records.list(kind, "", 10).await.expect("records") {
            let text = String::from_utf8(record.document.to_vec()).expect("UTF-8");
            assert!(!text.contains("team"), "{text}");
        }
    }
    let document = br#"{"to":{"group":"ops"},"role":"viewer","team":"default"}"#.to_vec();
    world.records.change(&[Change::create("grant", "1", document)]).await.expect("a grant");
    let records = world.records.clone();
    let later = Directory::builder(records).clock(world.clock.clone()).teams(true);
    let later = later.open().await.expect("a directory");
    let ada = later.user("ada").expect("a user");
    assert_eq!(names(&later.teams_of(&ada.id)), ["default"]);
    let known = later.authenticate_token(secret.expose()).expect("a caller");
    assert_eq!(&*known.caller.team, DEFAULT_TEAM);
    assert!(may(&later, &known.caller, Right::Read));
    assert!(may(&later, &caller(&later, &ada, None), Right::Read));
    // Without teams, the choice of one changes nothing.
    let caller = directory.enter_team(known.caller.clone(), Some("red")).expect("a caller");
    assert_eq!(caller, known.caller);
}

#[tokio::test]
async fn what_an_admin_of_a_team_made_for_a_user_opens_no_other_team() {
    let world = World::with_teams().await;
    let directory = &world.directory;
    let (red, blue) = (team(&world, "red").await, team(&world, "blue").await);
    let of_red = directory.of_team(red.id.clone()).for_team();
    let new = NewUser::new("bob").password_hash("known to the admin of red");
    let bob = of_red.add_user(&by(), new).await.expect("a user");
    let joined = directory.add_member(&by(), &blue.id, &bob.id, Some(Role::Admin)).await;
    refused(joined, ErrorKind::Conflict, "the user has to change it first");

    directory.set_password_hash(&by(), &bob.id, "of bob").await.expect("a change");
    let new = NewToken::new("x", bob.id.clone()).scopes(&["all", "tokens"]);
    let (secret, _) = of_red.create_token(&by(), new).await.expect("a token");
    let (cookie, _) = of_red.sign_in(&by(), &bob.id).await.expect("a sign-in");
    directory.add_member(&by(), &blue.id, &bob.id, Some(Role::Admin)).await.expect("a member");
    assert_eq!(directory.authenticate_token(secret.expose()), Err(Rejection::Unknown));
    assert_eq!(directory.authenticate_sign_in(cookie.expose()), Err(Rejection::Unknown));

    // No team has power over an admin of the server, who stays signed in.
    let root = world.admin("root").await;
    let (cookie, _) = directory.sign_in(&by(), &root.id).await.expect("a sign-in");
    directory.add_member(&by(), &blue.id, &root.id, None).await.expect("a member");
    assert!(directory.authenticate_sign_in(cookie.expose()).is_ok());
}

#[tokio::test]
async fn a_group_elsewhere_gives_rights_to_members_of_the_team_only() {
    let world = World::with_teams().await;
    let directory = &world.directory;
    let red = team(&world, "red").await;
    let of_red = directory.of_team(red.id.clone());
    of_red.set_group(&by(), "ops", &[]).await.expect("a group");
    let grant = Grant::new(Grantee::Group("ops".into()), Role::Admin).team(red.id.clone());
    directory.add_grant(&by(), grant).await.expect("a grant");
    let person = ExternalIdentity::new("oidc", "https://idp.example.org", "1").expect("a person");
    let person = directory.external_user(&person.groups(["ops"])).await.expect("an answer");
    let ada = person.expect("a user");
    let in_red = Caller::new(ada.id.clone()).team(red.id.clone());
    assert!(!may(directory, &in_red, Right::Read));
    directory.add_member(&by(), &red.id, &ada.id, None).await.expect("a member");
    assert!(may(directory, &in_red, Right::ManageTeam));
}

#[tokio::test]
async fn a_token_has_rights_in_its_own_team_only() {
    let world = World::with_teams().await;
    let directory = &world.directory;
    let (red, blue) = (team(&world, "red").await, team(&world, "blue").await);
    let ada = member(&world, &red, "ada", Role::Admin).await;
    directory.add_member(&by(), &blue.id, &ada.id, Some(Role::Admin)).await.expect("a member");
    let of_red = directory.of_team(red.id.clone());
    let new = NewToken::new("x", ada.id.clone());
    let (secret, _) = of_red.create_token(&by(), new).await.expect("a token");
    let known = directory.authenticate_token(secret.expose()).expect("a caller").caller;
    assert!(may(directory, &known, Right::Read));
    assert!(!may(directory, &known.team(blue.id), Right::Read));
}

#[tokio::test]
async fn a_server_without_teams_refuses_tokens_of_teams_that_another_process_made() {
    let world = World::new().await;
    let builder = Directory::builder(world.records.clone()).clock(world.clock.clone());
    let other = builder.teams(true).open().await.expect("a directory");
    let red = other.create_team(&by(), NewTeam::new("red")).await.expect("a team");
    let of_red = other.of_team(red.id.clone());
    let new = NewUser::new("ada").role(Role::Admin);
    let ada = of_red.add_user(&by(), new).await.expect("a user");
    let program = other.add_program(&by(), &red.id, "ci").await.expect("a program");
    world.directory.refresh().await.expect("a refresh");
    for principal in [ada.id, program.id] {
        let new = NewToken::new("x", principal);
        let (secret, _) = of_red.create_token(&by(), new).await.expect("a token");
        assert!(other.authenticate_token(secret.expose()).is_ok());
        world.directory.refresh().await.expect("a refresh");
        let refused = world.directory.authenticate_token(secret.expose());
        assert_eq!(refused, Err(Rejection::NoTeam));
    }
}

#[tokio::test]
async fn a_team_comes_with_its_first_user_or_not_at_all() {
    let world = World::with_teams().await;
    let directory = &world.directory;
    let create = async |team: &str, user: &str, is_only: bool| {
        let (team, user) = (NewTeam::new(team), NewUser::new(user));
        directory.create_team_with(&by(), team, user, is_only).await
    };
    let (team, user) = create("ops", "team.ops", true).await.expect("a team");
    assert_eq!(user.teams, std::slice::from_ref(&team.id));
    let ada = caller(directory, &user, Some("ops"));
    assert!(may(directory, &ada, Right::ManageTeam) && !may(directory, &ada, Right::ManageServer));
    refused(create("second", "b", true).await, ErrorKind::Conflict, "a team already");
    // Neither half of it is left.
    refused(create("ops", "c", false).await, ErrorKind::Conflict, "\"ops\"");
    refused(create("second", "TEAM.OPS", false).await, ErrorKind::Conflict, "\"TEAM.OPS\"");
    refused(create("second", "a b", false).await, ErrorKind::InvalidInput, "name of a user");
    assert_eq!((directory.users().len(), directory.team("second")), (1, None));
    create("second", "b", false).await.expect("another team");
}
