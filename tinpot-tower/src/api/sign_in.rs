//! Sign-up, login, bootstrap, and who one is.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tinpot_access::{
    LoginRefused, NewTeam, NewToken, NewUser, Role, Secret, Team, Token, User, UserUpdate,
};
use tinpot_core::access::AuditWho;
use tinpot_core::{ErrorKind, Result};

use crate::caller::{Member, address, bearer};
use crate::dispatch::ClientAddress;
use crate::ids::IdOf;
use crate::tower::Tower;
use crate::wire::body::{self, Fields};
use crate::wire::error::ApiError;
use crate::wire::json;

/// The name of tokens that a login makes.
const LOGIN: &str = "login";
/// The tokens of logins that a team keeps. Then each login ends the one that was not used for
/// longest: a principal has at most 100 tokens.
const LOGINS: usize = 80;

#[derive(Serialize)]
struct Options {
    signup_enabled: bool,
    bootstrap_enabled: bool,
}

pub(crate) fn options(tower: &Tower) -> Response {
    let config = &tower.config;
    let bootstrap_enabled = config.bootstrap_token.is_some();
    json::answer(StatusCode::OK, &Options { signup_enabled: config.sign_up, bootstrap_enabled })
}

/// The answer to a sign-up and to a bootstrap.
#[derive(Serialize)]
struct TeamToken<'a> {
    team_id: u64,
    slug: &'a str,
    token: &'a str,
    role: &'static str,
}

#[derive(Serialize)]
struct LoginToken<'a> {
    team_id: u64,
    token: &'a str,
    token_id: u64,
    role: &'static str,
}

#[derive(Serialize)]
struct Me<'a> {
    team_id: u64,
    team_slug: &'a str,
    token_id: u64,
    role: &'static str,
}

pub(crate) async fn me(tower: &Tower, member: &Member) -> std::result::Result<Response, ApiError> {
    let team_id = tower.ids.of(IdOf::Team, &member.team.id).await?;
    let token_id = tower.ids.of(IdOf::Token, &member.token).await?;
    let (team_slug, role) = (&*member.team.name, member.role());
    Ok(json::answer(StatusCode::OK, &Me { team_id, team_slug, token_id, role }))
}

/// Checks the slug of a team.
fn check_slug(slug: &str) -> std::result::Result<(), ApiError> {
    tinpot_bundle::check_app_name(slug)
        .map_err(|rule| ApiError::bad("invalid_slug", format!("slug {rule}")))
}

/// Returns the name of the user who is a team's password.
pub(crate) fn user_name(slug: &str) -> String {
    format!("team.{slug}")
}

/// Returns the name of the user whose rights the tokens of members have.
pub(crate) fn member_name(slug: &str) -> String {
    format!("team.{slug}.member")
}

fn refused(refusal: LoginRefused) -> ApiError {
    match refusal {
        LoginRefused::Wait(wait) => ApiError::too_many(wait),
        _ => ApiError::unauthorized("slug and password do not match"),
    }
}

/// Returns the name of a team for people, which is the description of ours.
fn team_name(fields: &Fields) -> std::result::Result<String, ApiError> {
    let name = fields.text("name")?.unwrap_or_default().trim().to_owned();
    if name.is_empty() { Err(ApiError::invalid("name is missing")) } else { Ok(name) }
}

pub(crate) async fn sign_up(
    tower: &Arc<Tower>,
    request: Request,
) -> std::result::Result<Response, ApiError> {
    if !tower.config.sign_up {
        return Err(ApiError::forbidden("sign-up is turned off on this server"));
    }
    let from = address(request.extensions().get::<ClientAddress>());
    let fields = body::fields(request, tower.config.max_body_bytes).await?;
    let slug = fields.text("slug")?.unwrap_or_default();
    check_slug(&slug)?;
    let name = team_name(&fields)?;
    let password = Secret::new(fields.text("password")?.unwrap_or_default());
    if password.expose().is_empty() {
        return Err(ApiError::invalid("password is missing"));
    }
    let by = AuditWho::new("sign-up", "", slug.clone());
    let (team, first) = (NewTeam::new(&slug).description(name), NewUser::new(user_name(&slug)));
    let made = tower.login.sign_up(&by, team, first, password, from).await;
    let (team, user) = match made {
        Ok(made) => made.map_err(refused)?,
        Err(error) if error.kind() == ErrorKind::Conflict => {
            return Err(ApiError::conflict("slug_taken", format!("slug {slug:?} is taken")));
        }
        Err(error) => return Err(error.into()),
    };
    let answer = tower.team_token(&by, &team, &user).await?;
    Ok(answer.answer(StatusCode::CREATED))
}

pub(crate) async fn login(
    tower: &Arc<Tower>,
    request: Request,
) -> std::result::Result<Response, ApiError> {
    let from = address(request.extensions().get::<ClientAddress>());
    let fields = body::fields(request, tower.config.max_body_bytes).await?;
    let slug = fields.text("slug")?.unwrap_or_default();
    let password = Secret::new(fields.text("password")?.unwrap_or_default());
    if slug.is_empty() || password.expose().is_empty() {
        return Err(ApiError::invalid("slug and password must not be empty"));
    }
    // An unknown team takes as long as a known one.
    let checked = tower.login.check_password(&user_name(&slug), password, from).await?;
    let user = checked.map_err(refused)?;
    let wrong = || refused(LoginRefused::Wrong);
    let team = tower.directory().team(&slug).filter(|team| !team.is_disabled).ok_or_else(wrong)?;
    let by = AuditWho::new("user", user.id.clone(), user.name.clone());
    let made = tower.team_token(&by, &team, &user).await?;
    let answer = LoginToken {
        team_id: made.team_id,
        token: made.secret.expose(),
        token_id: tower.ids.of(IdOf::Token, &made.token).await?,
        role: "admin",
    };
    Ok(json::answer(StatusCode::CREATED, &answer))
}

pub(crate) async fn bootstrap(
    tower: &Arc<Tower>,
    request: Request,
) -> std::result::Result<Response, ApiError> {
    let expected = tower.config.bootstrap_token.as_ref();
    let is_it = |token: &&str| expected.is_some_and(|expected| expected.is(token));
    if bearer(request.headers()).filter(is_it).is_none() {
        return Err(ApiError::unauthorized("authorization must be the bootstrap token"));
    }
    if *request.method() != Method::POST {
        return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
    }
    let fields = body::fields(request, tower.config.max_body_bytes).await?;
    let slug = fields.text("slug")?.unwrap_or_default();
    check_slug(&slug)?;
    let name = team_name(&fields)?;
    let password = fields.text("password")?.filter(|password| !password.is_empty());
    let by = AuditWho::new("bootstrap", "", slug.clone());
    let directory = tower.directory();
    directory.keep_current().await?;
    let user = user_name(&slug);
    let hash = match password {
        Some(password) => Some(tower.login.hash(&user, Secret::new(password)).await?),
        None => None,
    };
    if let Some(team) = directory.team(&slug) {
        let user = match directory.user(&user) {
            Some(user) => user,
            None => {
                let new = NewUser::new(user).role(Role::Admin);
                directory.of_team(team.id.clone()).add_user(&by, new).await?
            }
        };
        if let Some(hash) = hash {
            let update = UserUpdate::default().password_hash(hash);
            directory.update_user(&by, &user.id, update).await?;
        }
        let answer = tower.team_token(&by, &team, &user).await?;
        return Ok(answer.answer(StatusCode::OK));
    }
    let first = match hash {
        Some(hash) => NewUser::new(user).password_hash(hash),
        None => NewUser::new(user),
    };
    let team = NewTeam::new(&slug).description(name);
    let made = directory.create_team_with(&by, team, first, true).await;
    let (team, user) = made.map_err(|error| match error.kind() {
        ErrorKind::Conflict => ApiError::conflict("team_exists", "there is a team already"),
        _ => error.into(),
    })?;
    let answer = tower.team_token(&by, &team, &user).await?;
    Ok(answer.answer(StatusCode::CREATED))
}

/// A token that was made.
pub(crate) struct Made {
    team_id: u64,
    slug: Arc<str>,
    pub(crate) secret: Secret,
    /// The id of the token.
    pub(crate) token: Arc<str>,
}

impl Made {
    fn answer(&self, status: StatusCode) -> Response {
        let (team_id, slug, token) = (self.team_id, &*self.slug, self.secret.expose());
        json::answer(status, &TeamToken { team_id, slug, token, role: "admin" })
    }
}

impl Tower {
    /// Makes a token of the admin of a team.
    async fn team_token(&self, by: &AuditWho, team: &Team, user: &User) -> Result<Made> {
        self.end_old_logins(by, team, &user.id).await?;
        self.make_token(by, team, LOGIN, &user.id).await
    }

    /// Makes a token that never expires.
    pub(crate) async fn make_token(
        &self,
        by: &AuditWho,
        team: &Team,
        name: &str,
        principal: &Arc<str>,
    ) -> Result<Made> {
        let new = NewToken::new(name, principal.clone()).never_expires();
        let new = new.secret(NewToken::generate_minitower_secret()?);
        let directory = self.directory().of_team(team.id.clone());
        let (secret, token) = directory.create_token(by, new).await?;
        let team_id = self.ids.of(IdOf::Team, &team.id).await?;
        Ok(Made { team_id, slug: team.name.clone(), secret, token: token.id })
    }

    /// Makes room for another login.
    async fn end_old_logins(&self, by: &AuditWho, team: &Team, user: &str) -> Result<()> {
        let mut logins: Vec<Token> = self.directory().tokens();
        logins.retain(|token| *token.principal == *user && *token.name == *LOGIN);
        if logins.len() < LOGINS {
            return Ok(());
        }
        logins.sort_unstable_by_key(|token| token.last_used.unwrap_or(token.created));
        let directory = self.directory().of_team(team.id.clone());
        for token in logins.iter().take(logins.len() + 1 - LOGINS) {
            match directory.revoke_token(by, &token.id).await {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => self.ids.forget(IdOf::Token, &token.id).await?,
            }
        }
        Ok(())
    }

    /// Returns the user whose rights the tokens of members have, who is added with the first one.
    pub(crate) async fn members(&self, by: &AuditWho, team: &Team) -> Result<Arc<str>> {
        let (name, directory) = (member_name(&team.name), self.directory());
        if let Some(user) = directory.user(&name) {
            return Ok(user.id);
        }
        let new = NewUser::new(&name).role(Role::Developer);
        match directory.of_team(team.id.clone()).add_user(by, new).await {
            // Another request was faster.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                directory.user(&name).map(|user| user.id).ok_or(error)
            }
            added => added.map(|user| user.id),
        }
    }
}
