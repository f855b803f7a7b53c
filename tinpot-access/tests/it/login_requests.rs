//! Programs that wait for a person, and attacks on them.

use tinpot_access::{Directory, LoginAnswer, LoginRequest, NewLogin, Secret, User};
use tinpot_core::ErrorKind;
use tinpot_core::access::AuditWho;

use crate::support::{DAY, MINUTE, World, by, refused};

const LOCAL: [u8; 4] = [127, 0, 0, 1];

async fn asks(directory: &Directory) -> (Secret, LoginRequest) {
    directory.request_login(NewLogin::new("laptop", [192, 0, 2, 1])).await.expect("a request")
}

fn who(user: &User) -> AuditWho {
    AuditWho::new("user", user.id.clone(), user.name.clone())
}

async fn answer(directory: &Directory, secret: &Secret) -> LoginAnswer {
    directory.redeem_login(secret.expose()).await.expect("an answer")
}

async fn is_gone(directory: &Directory, secret: &Secret) -> bool {
    matches!(answer(directory, secret).await, LoginAnswer::Gone)
}

#[tokio::test]
async fn a_program_gets_one_token_of_the_person_who_agrees() {
    let world = World::new().await;
    let (ada, other) = (world.user("ada").await, world.other().await);
    let directory = &world.directory;
    let (secret, request) = asks(directory).await;
    assert!(matches!(answer(directory, &secret).await, LoginAnswer::Pending));
    let typed = request.code.to_lowercase().replace('-', "");
    let found = other.login_request(&typed).await.expect("an answer").expect("a request");
    assert_eq!((found.client.as_str(), found.address.as_str()), ("laptop", "192.0.2.1"));
    other.decide_login(&who(&ada), &ada.id, &typed, true).await.expect("an agreement");
    assert_eq!(directory.login_request(&typed).await.expect("an answer"), None, "it is decided");
    let again = directory.decide_login(&who(&ada), &ada.id, &typed, false).await;
    refused(again, ErrorKind::NotFound, "no program that waits");
    let (one, two) = tokio::join!(answer(directory, &secret), answer(&other, &secret));
    let (LoginAnswer::Agreed(token, kept), LoginAnswer::Gone) = (one, two) else {
        panic!("one of two gets the token");
    };
    assert_eq!((&*kept.name, &kept.principal), ("tinpot login on laptop", &ada.id));
    let known = directory.authenticate_token(token.expose()).expect("a caller");
    assert_eq!(known.caller.id, ada.id);
    world.clock.pass(30 * DAY);
    directory.authenticate_token(token.expose()).expect_err("it was for 30 days");
    assert!(is_gone(directory, &secret).await, "it is good once");
}

#[tokio::test]
async fn a_request_ends_by_refusal_and_by_time_and_with_its_person() {
    let world = World::new().await;
    let (ada, directory) = (world.user("ada").await, &world.directory);
    let (secret, request) = asks(directory).await;
    directory.decide_login(&who(&ada), &ada.id, &request.code, false).await.expect("a refusal");
    assert!(is_gone(directory, &secret).await);
    let (secret, request) = asks(directory).await;
    world.clock.pass(10 * MINUTE);
    assert!(is_gone(directory, &secret).await);
    assert_eq!(directory.login_request(&request.code).await.expect("an answer"), None);
    let late = directory.decide_login(&who(&ada), &ada.id, &request.code, true).await;
    refused(late, ErrorKind::NotFound, "no program that waits");
    // Ending all sign-ins ends what was agreed in one of them, too.
    let (secret, request) = asks(directory).await;
    directory.decide_login(&who(&ada), &ada.id, &request.code, true).await.expect("an agreement");
    directory.sign_out_everywhere(&by(), &ada.id).await.expect("a change");
    assert!(is_gone(directory, &secret).await);
}

/// Without its secret, a code that was read over a shoulder is good for nothing.
#[tokio::test]
async fn a_code_alone_gets_nothing() {
    let world = World::new().await;
    let (ada, directory) = (world.user("ada").await, &world.directory);
    let (secret, request) = asks(directory).await;
    directory.decide_login(&who(&ada), &ada.id, &request.code, true).await.expect("an agreement");
    let (_, other) = asks(directory).await;
    let rest = secret.expose().split_once('.').expect("parts").1;
    for wrong in [
        String::new(),
        request.code.to_string(),
        format!("{}.", request.code),
        format!("{}.x", request.code),
        format!("{}.{rest}", other.code),
        rest.to_owned(),
    ] {
        assert!(is_gone(directory, &Secret::new(&*wrong)).await, "{wrong}");
    }
    assert!(matches!(answer(directory, &secret).await, LoginAnswer::Agreed(..)));
}

#[tokio::test]
async fn what_a_program_says_of_itself_is_plain() {
    let world = World::new().await;
    let directory = &world.directory;
    let name = "your bank\u{202e}\n<b>says</b> yes https://evil.example";
    let (_, request) =
        directory.request_login(NewLogin::new(name, LOCAL)).await.expect("a request");
    assert_eq!(request.client, "yourbankbsaysbyeshttpsevil.example");
    let (_, request) =
        directory.request_login(NewLogin::new("\"", LOCAL)).await.expect("a request");
    assert_eq!(request.client, "unknown");
    for days in [0, 367] {
        let asked = directory.request_login(NewLogin::new("x", LOCAL).days(days)).await;
        refused(asked, ErrorKind::InvalidInput, "days must be from 1 to 366");
    }
    let asked = directory.request_login(NewLogin::new("x", LOCAL).scopes(["everything"])).await;
    refused(asked, ErrorKind::InvalidInput, "no scope \"everything\"");
}

#[tokio::test]
async fn a_network_does_not_take_the_room_of_others() {
    let world = World::new().await;
    let directory = &world.directory;
    let from = async |network: u8, host: u8| {
        directory.request_login(NewLogin::new("x", [192, 0, network, host])).await
    };
    for host in 0..20 {
        from(1, host).await.expect("a request");
    }
    refused(from(1, 99).await, ErrorKind::Overloaded, "20 programs of this network wait");
    for network in 2..51 {
        for host in 0..20 {
            from(network, host).await.expect("a request");
        }
    }
    refused(from(99, 1).await, ErrorKind::Overloaded, "too many programs wait");
    world.clock.pass(10 * MINUTE);
    from(1, 99).await.expect("a request");
}

#[tokio::test]
async fn a_token_of_a_sign_in_makes_no_others_unless_the_person_has_agreed() {
    let world = World::new().await;
    let (ada, directory) = (world.user("ada").await, &world.directory);
    let agreed = async |new: NewLogin| {
        let (secret, request) = directory.request_login(new).await.expect("a request");
        let found = directory.login_request(&request.code).await.expect("an answer");
        assert_eq!(found.expect("a request").scopes, request.scopes, "the person sees them");
        directory.decide_login(&who(&ada), &ada.id, &request.code, true).await.expect("a change");
        let LoginAnswer::Agreed(token, _) = answer(directory, &secret).await else {
            panic!("a token");
        };
        let known = directory.authenticate_token(token.expose()).expect("a caller");
        directory.may_make_tokens(&known.caller)
    };
    assert!(!agreed(NewLogin::new("laptop", LOCAL)).await);
    assert!(agreed(NewLogin::new("laptop", LOCAL).scopes(["all", "tokens"])).await);
}
