//! The people whom a provider names, and the room for answers.

use serde_json::{Map, Value, json};
use tinpot_core::{ErrorKind, Timestamp};

use super::browser_state::BrowserState;
use super::{Oidc, OidcConfig};

fn config() -> OidcConfig {
    OidcConfig::new("https://idp.example.org", "tinpot", "https://tinpot.example.org/auth/oidc")
}

fn claims(groups: Value) -> Map<String, Value> {
    let claims = json!({ "sub": "1", "preferred_username": "ada", "groups": groups });
    claims.as_object().cloned().unwrap_or_default()
}

#[test]
fn only_members_of_the_required_group_sign_in() {
    let required = config().required_group("staff").admin_group("admins");
    let oidc = Oidc::new(required).expect("a configuration");
    for groups in [json!(["staff"]), json!("staff"), json!(["x", "admins"])] {
        assert!(oidc.identity(&claims(groups.clone())).is_ok(), "{groups}");
    }
    for groups in [json!([]), json!(["Staff", "staff2"]), json!(null), json!({"staff": true})] {
        let refused = oidc.identity(&claims(groups.clone())).expect_err("no member");
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
        assert!(refused.to_string().contains("only members of a group"), "{groups}: {refused}");
        // The name of the group is not for strangers.
        assert!(!refused.to_string().contains("staff"), "{refused}");
    }
    let open = Oidc::new(config()).expect("a configuration");
    assert!(open.identity(&claims(json!([]))).is_ok());
}

#[test]
fn failed_answers_take_no_room() {
    let oidc = Oidc::new(config()).expect("a configuration");
    for _ in 0..super::USED + 1 {
        let state = BrowserState::new(Timestamp(0), "/").expect("a state");
        oidc.use_up(&state).expect("room");
        oidc.use_up(&state).expect_err("it is used");
        oidc.forget(&state);
    }
    assert!(oidc.inner.used.lock().expect("a lock").is_empty());
}
