//! The policy of grants.

use std::sync::Arc;

use futures::FutureExt;
use tinpot_access::{Directory, Grant, Grantee, NewToken, Role, Rules};
use tinpot_core::access::MemoryRecords;
use tinpot_core::testing::policy::{Subject, Vocabulary};
use tinpot_core::{Caller, DEFAULT_TEAM, Decision, ErrorKind, Policy, Right, Target};

use crate::support::{Hand, World, by, refused};

/// Callers with grants of every kind, some of them by a token.
#[derive(Debug)]
struct Granted {
    directory: Directory,
    rules: Rules,
    callers: Vec<Caller>,
}

impl Subject for Granted {
    fn policy(&self) -> &dyn Policy {
        &self.rules
    }

    fn callers(&self) -> Vec<Caller> {
        self.callers.clone()
    }

    fn stranger(&self) -> Option<Caller> {
        Some(Caller::new("user:stranger"))
    }

    fn names(&self) -> Vocabulary {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Vocabulary {
            teams: owned(&[DEFAULT_TEAM, "billing"]),
            actions: owned(&["deploy-web", "deploy-api", "backup", "restore"]),
            groups: owned(&["web", "data"]),
            queues: owned(&["default", "prod-1", "prod-2", "test"]),
        }
    }

    fn grant_another(&self, number: u64) -> bool {
        let role =
            [Role::Viewer, Role::Operator, Role::Developer, Role::Admin][number as usize % 4];
        let caller = &self.callers[number as usize % self.callers.len()];
        let mut grant =
            Grant::new(Grantee::Principal(caller.id.clone()), role).team(caller.team.clone());
        if number.is_multiple_of(3) {
            grant = grant.actions(&["deploy-*"]);
        }
        if number.is_multiple_of(5) {
            grant = grant.own_only();
        }
        let added = self.directory.add_grant(&by(), grant).now_or_never();
        added.expect("records in memory do not wait").expect("a grant");
        true
    }
}

async fn subject() -> Granted {
    let records = Arc::new(MemoryRecords::new());
    let directory = Directory::builder(records)
        .clock(Hand::new())
        .environment("production", &["prod-*"])
        .open()
        .await
        .expect("a directory");
    let mut callers = Vec::new();
    let mut ids = Vec::new();
    for name in ["ada", "bob", "eve"] {
        let new = tinpot_access::NewUser::new(name);
        let user = directory.add_user(&by(), new).await.expect("a user");
        callers.push(Caller::new(user.id.clone()).name(name));
        ids.push(user.id);
    }
    directory.set_server_admin(&by(), &ids[2], true).await.expect("an admin");
    directory.set_group(&by(), "devs", &ids[..2]).await.expect("a group");
    let program = directory.add_program(&by(), "billing", "ci").await.expect("a program");
    let principal = |id: &Arc<str>| Grantee::Principal(id.clone());
    for grant in [
        Grant::new(principal(&ids[0]), Role::Viewer).actions(&["deploy-*", "backup"]),
        Grant::new(principal(&ids[0]), Role::Developer).queues(&["test"]).groups(&["web"]),
        Grant::new(principal(&ids[1]), Role::Operator).own_only(),
        Grant::new(Grantee::Group("devs".into()), Role::Viewer).environments(&["production"]),
        Grant::new(principal(&ids[1]), Role::Admin).actions(&[]),
        Grant::new(principal(&ids[0]), Role::Admin).team("billing"),
        Grant::new(principal(&program.id), Role::Operator).team("billing"),
        Grant::new(principal(&program.id), Role::Admin),
    ] {
        directory.add_grant(&by(), grant).await.expect("a grant");
    }
    callers.push(Caller::new(program.id.clone()).team("billing"));
    callers.push(callers[0].clone().team("billing"));
    for (id, scopes) in
        [(&ids[0], ["run:deploy-web", "read:backup"]), (&ids[1], ["read", "cancel"])]
    {
        let new = NewToken::new("x", id.clone()).scopes(&scopes);
        let (secret, _) = directory.create_token(&by(), new).await.expect("a token");
        callers.push(directory.authenticate_token(secret.expose()).expect("a caller").caller);
    }
    let rules = directory.rules();
    Granted { directory, rules, callers }
}

tinpot_core::policy_conformance!(subject);

fn decide(world: &World, caller: &Caller, right: Right, target: &Target<'_>) -> Decision {
    world.directory.rules().decide(caller, right, target)
}

fn allowed(world: &World, caller: &Caller, target: &Target<'_>) -> Vec<&'static str> {
    let allowed = |right: &&Right| decide(world, caller, **right, target) == Decision::Allow;
    Right::ALL.iter().filter(allowed).map(|right| right.as_str()).collect()
}

async fn grant(world: &World, grant: Grant) -> Arc<str> {
    world.directory.add_grant(&by(), grant).await.expect("a grant").id
}

#[tokio::test]
async fn a_grant_to_an_action_counts_for_its_calls_in_its_team() {
    let world = World::with_teams().await;
    let to = || Grantee::Action("deploy".into());
    for role in [Role::Viewer, Role::Admin] {
        let refused_role = world.directory.add_grant(&by(), Grant::new(to(), role)).await;
        refused(refused_role, ErrorKind::InvalidInput, "must have the role operator or developer");
    }
    let new = Grant::new(to(), Role::Operator).actions(&["restart-*"]);
    let grant = world.directory.add_grant(&by(), new).await.expect("a grant");
    let rules = world.directory.rules();
    let may = |caller: &Caller, action: &str| {
        let target = Target::team(&caller.team).action(action).group(Some("General"));
        rules.decide(caller, Right::Run, &target) == Decision::Allow
    };
    let deploy = Caller::of_action("deploy");
    assert!(may(&deploy, "restart-web") && !may(&deploy, "drop-database"));
    assert!(!may(&Caller::of_action("other"), "restart-web"));
    assert!(!may(&deploy.clone().team("blue"), "restart-web"));
    // A user with the name of an action is another principal.
    let named = world.user("deploy").await;
    assert!(!may(&Caller::new(named.id), "restart-web"));
    world.directory.remove_grant(&by(), &grant.id).await.expect("a removal");
    assert!(!may(&deploy, "restart-web"));
}

#[tokio::test]
async fn each_role_has_its_rights_and_those_below_it() {
    let viewer = vec!["see_action", "read", "see_queue", "see_worker"];
    let operator = vec!["run", "cancel", "rerun"];
    let developer = vec!["use_queue", "pause_queue", "drain_worker", "use_secret_store", "deploy"];
    let admin = vec!["enrol", "manage_team", "read_audit"];
    let roles = [
        (Role::Viewer, viewer),
        (Role::Operator, operator),
        (Role::Developer, developer),
        (Role::Admin, admin),
    ];
    let mut expected = Vec::new();
    for (role, rights) in roles {
        let world = World::new().await;
        let ada = world.user("ada").await;
        grant(&world, Grant::new(Grantee::Principal(ada.id.clone()), role)).await;
        expected.extend(rights);
        let caller = Caller::new(ada.id);
        let mut found = allowed(&world, &caller, &Target::team(DEFAULT_TEAM));
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{role:?}");
        assert!(allowed(&world, &caller, &Target::team("billing")).is_empty());
    }
}

#[tokio::test]
async fn a_server_admin_manages_the_server_and_nothing_else() {
    let world = World::new().await;
    let caller = Caller::new(world.admin("ada").await.id);
    let target = Target::team(DEFAULT_TEAM);
    assert_eq!(allowed(&world, &caller, &target), ["manage_server", "read_metrics"]);
}

#[tokio::test]
async fn metrics_are_read_by_server_admins_within_the_scopes_of_their_tokens() {
    let world = World::new().await;
    let (ada, bob) = (world.admin("ada").await.id, world.user("bob").await.id);
    grant(&world, Grant::new(Grantee::Principal(bob.clone()), Role::Admin)).await;
    let target = Target::team(DEFAULT_TEAM);
    for (user, scope, rights) in [
        (&ada, "metrics", &["read_metrics"][..]),
        (&ada, "server", &["manage_server"]),
        (&ada, "read", &[]),
        // An admin of a team has no right over the server.
        (&bob, "metrics", &[]),
    ] {
        let new = NewToken::new("x", user.clone()).scopes(&[scope]);
        let (secret, _) = world.directory.create_token(&by(), new).await.expect("a token");
        let known = world.directory.authenticate_token(secret.expose()).expect("a caller");
        assert_eq!(allowed(&world, &known.caller, &target), rights, "{scope}");
    }
}

#[tokio::test]
async fn a_grant_for_a_part_gives_no_right_over_the_whole_team() {
    let world = World::new().await;
    let caller = Caller::new(world.user("ada").await.id);
    let to = Grantee::Principal(caller.id.clone());
    grant(&world, Grant::new(to, Role::Admin).actions(&["deploy-*"])).await;
    let of_part = allowed(&world, &caller, &Target::team(DEFAULT_TEAM).action("deploy-web"));
    assert!(of_part.contains(&"run") && of_part.contains(&"pause_queue"), "{of_part:?}");
    for whole in ["manage_team", "enrol", "read_audit", "use_secret_store", "drain_worker"] {
        let of_team = allowed(&world, &caller, &Target::team(DEFAULT_TEAM));
        assert!(!of_team.contains(&whole) && !of_part.contains(&whole), "{whole}");
    }
}

#[tokio::test]
async fn every_condition_of_a_grant_must_hold_and_grants_add_up() {
    let world = World::new().await;
    let caller = Caller::new(world.user("ada").await.id);
    let to = || Grantee::Principal(caller.id.clone());
    grant(&world, Grant::new(to(), Role::Viewer)).await;
    let limited = Grant::new(to(), Role::Operator)
        .actions(&["deploy-*"])
        .groups(&["web"])
        .queues(&["prod-*"]);
    grant(&world, limited).await;
    let target = |action, group, queue| {
        Target::team(DEFAULT_TEAM).action(action).group(Some(group)).queue(queue)
    };
    let run = |target: Target<'_>| decide(&world, &caller, Right::Run, &target);
    assert_eq!(run(target("deploy-web", "web", "prod-1")), Decision::Allow);
    for wrong in [
        target("backup", "web", "prod-1"),
        target("deploy-web", "data", "prod-1"),
        target("deploy-web", "web", "test"),
        target("deploy-web", "web", "prod-1").group(None),
    ] {
        assert_eq!(run(wrong), Decision::Deny, "{wrong:?}");
    }
}

#[tokio::test]
async fn own_executions_are_those_of_the_caller() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada").await.id, world.user("bob").await.id);
    let caller = Caller::new(ada.clone());
    let to = Grantee::Principal(ada.clone());
    grant(&world, Grant::new(to, Role::Operator).own_only()).await;
    let target = Target::team(DEFAULT_TEAM).action("backup").queue("default");
    for right in [Right::Read, Right::Cancel, Right::Rerun] {
        assert_eq!(decide(&world, &caller, right, &target.owner(&ada)), Decision::Allow);
        assert_eq!(decide(&world, &caller, right, &target.owner(&bob)), Decision::Hide);
    }
    assert_eq!(decide(&world, &caller, Right::Run, &target), Decision::Allow);
}

#[tokio::test]
async fn a_token_has_only_rights_that_its_principal_and_its_scopes_have() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let to = Grantee::Principal(ada.id.clone());
    let id = grant(&world, Grant::new(to, Role::Operator)).await;
    let new = NewToken::new("ci", ada.id.clone()).scopes(&["run:deploy-*", "queues"]);
    let (secret, token) = world.directory.create_token(&by(), new).await.expect("a token");
    let caller = world.directory.authenticate_token(secret.expose()).expect("a caller").caller;
    let deploy = Target::team(DEFAULT_TEAM).action("deploy-web");
    let backup = Target::team(DEFAULT_TEAM).action("backup");
    assert_eq!(allowed(&world, &caller, &deploy), ["see_action", "run", "read", "see_queue"]);
    assert_eq!(allowed(&world, &caller, &backup), ["see_queue"]);
    let visible = world.directory.rules().visible(&caller);
    let of = |target: Target<'static>| target.queue("default").owner("x");
    assert!(visible.shows(&of(deploy)) && !visible.shows(&of(backup)));
    // Its principal itself has more, and another principal cannot use its scopes.
    let person = Caller::new(ada.id.clone());
    assert!(allowed(&world, &person, &backup).contains(&"cancel"));
    let bob = Caller::new(world.user("bob").await.id).via(caller.via.clone());
    assert!(allowed(&world, &bob, &deploy).is_empty());
    // Without its grant, or after its end, it has nothing.
    world.directory.revoke_token(&by(), &token.id).await.expect("a revocation");
    assert!(allowed(&world, &caller, &deploy).is_empty());
    assert!(world.directory.rules().visible(&caller).parts.is_empty());
    world.directory.remove_grant(&by(), &id).await.expect("a removal");
    assert!(allowed(&world, &person, &deploy).is_empty());
}

#[tokio::test]
async fn groups_and_environments_stand_for_their_members() {
    let granted = subject().await;
    let bob = &granted.callers[1];
    let see = |queue| {
        let target = Target::team(DEFAULT_TEAM).queue(queue);
        granted.rules.decide(&bob.clone(), Right::SeeQueue, &target)
    };
    assert_eq!((see("prod-1"), see("prod-2")), (Decision::Allow, Decision::Allow));
    granted.directory.set_group(&by(), "devs", &[]).await.expect("an empty group");
    let read = |queue, owner: &str| {
        let target = Target::team(DEFAULT_TEAM).action("backup").queue(queue).owner(owner);
        granted.rules.decide(bob, Right::Read, &target)
    };
    assert_eq!(read("prod-1", "x"), Decision::Hide, "by the group alone");
    assert_eq!(read("prod-1", &bob.id), Decision::Allow, "by a grant of its own");
}
