//! `/api/auth`: sign-in and sign-out, with passwords and tickets.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tinpot_access::{Directory, LoginRefused, Secret, SignIn};
use tinpot_core::Right;
use tinpot_core::observer::AuthFailure;
use utoipa::ToSchema;

use crate::cookies;
use crate::error::ApiError;
use crate::extract::accounts::{Asked, PathId, Visit};
use crate::gate::Entered;
use crate::model::{Time, json_response};
use crate::router::App;
use crate::routes::session::Me;
use crate::submission::{json_body, optional_json_body};

/// The life of a ticket.
const TICKET: Duration = Duration::from_secs(600);

/// The name and the password of a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    user: String,
    #[schema(format = Password)]
    password: String,
}

/// A ticket of the operator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketUse {
    ticket: String,
}

/// A new ticket.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewTicket<'a> {
    ticket: &'a str,
}

/// The first user, an admin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUp {
    ticket: String,
    user: String,
    /// 12 bytes or more.
    #[schema(format = Password)]
    password: String,
}

/// The sign-ins to end.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Logout {
    /// If true, all sign-ins of the user end.
    #[serde(default)]
    #[schema(required = false)]
    everywhere: bool,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    #[schema(format = Password)]
    current: String,
    /// 12 bytes or more.
    #[schema(format = Password)]
    new: String,
}

/// The sign-ins of a user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignIns {
    sign_ins: Vec<SignInJson>,
}

/// A sign-in of a user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignIn)]
pub(crate) struct SignInJson {
    id: String,
    created_at: Time,
    /// The time of a use, at most 5 minutes before the last one.
    last_used_at: Time,
    /// True if the request is one of this sign-in.
    current: bool,
}

/// Signs a user in by name and password, and sets a cookie.
#[utoipa::path(
    post,
    path = "/api/auth/login",
    tag = "auth",
    request_body = Credentials,
    responses(
        (status = 200, description = "the user", body = Me),
        (status = 401, description = "The user or the password is wrong."),
        (status = 403, description = "Users of this server do not sign in with passwords."),
        (status = 429, description = "Too many attempts: wait for the seconds in `Retry-After`."),
    ),
)]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    visit: Visit,
    request: Request,
) -> Result<Response, ApiError> {
    let Credentials { user, password } = json_body(request, &app).await?;
    if !visit.accounts.has_passwords() {
        let detail = "users of this server do not sign in with passwords";
        return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
    }
    let login = visit.accounts.login();
    let proof = cookies::device(&visit.headers).unwrap_or_default();
    let is_known = visit.accounts.directory().is_known_device(&user, proof);
    let answer = login.sign_in(&user, Secret::new(password), visit.address, is_known).await?;
    if matches!(answer, Err(LoginRefused::Wrong)) {
        app.gate.failed(AuthFailure::Password);
    }
    signed_in(&app, &visit, answer).await
}

/// Signs the user of a ticket in, uses the ticket up, and sets a cookie.
#[utoipa::path(
    post,
    path = "/api/auth/ticket",
    tag = "auth",
    request_body = TicketUse,
    responses(
        (status = 200, description = "the user", body = Me),
        (status = 401, description = "The ticket was used, has ended, or never was."),
        (status = 429, description = "Too many attempts: wait for the seconds in `Retry-After`."),
    ),
)]
pub(crate) async fn ticket(
    State(app): State<Arc<App>>,
    visit: Visit,
    request: Request,
) -> Result<Response, ApiError> {
    let TicketUse { ticket } = json_body(request, &app).await?;
    let answer = visit.accounts.login().sign_in_by_ticket(&ticket, visit.address).await?;
    signed_in(&app, &visit, answer).await
}

/// Makes the first user with the ticket of a server that has none, and sets a cookie.
#[utoipa::path(
    post,
    path = "/api/auth/set-up",
    tag = "auth",
    request_body = SetUp,
    responses(
        (status = 200, description = "the user, an admin", body = Me),
        (status = 401, description = "The ticket was used, has ended, or never was."),
        (status = 409, description = "The server has users already."),
        (status = 429, description = "Too many attempts: wait for the seconds in `Retry-After`."),
    ),
)]
pub(crate) async fn set_up(
    State(app): State<Arc<App>>,
    visit: Visit,
    request: Request,
) -> Result<Response, ApiError> {
    let SetUp { ticket, user, password } = json_body(request, &app).await?;
    let login = visit.accounts.login();
    let answer = login.set_up(&ticket, &user, Secret::new(password), visit.address).await?;
    signed_in(&app, &visit, answer).await
}

/// Returns the answer to an attempt to sign in.
async fn signed_in(
    app: &App,
    visit: &Visit,
    answer: Result<(Secret, SignIn), LoginRefused>,
) -> Result<Response, ApiError> {
    let (secret, sign_in) = answer.map_err(refused)?;
    let directory = visit.accounts.directory();
    let known = directory.authenticate_sign_in(secret.expose()).map_err(|rejection| {
        // Its user was disabled at this moment.
        ApiError::new(StatusCode::UNAUTHORIZED, rejection.to_string())
    })?;
    let wanted = crate::teams::wanted(&visit.headers, true).ok().flatten();
    let caller = directory.enter_team(known.caller.clone(), wanted);
    // A caller who has just signed in acts in one of their teams.
    let caller = caller.or_else(|_| directory.enter_team(known.caller, None))?;
    let entered = app.gate.entered(caller, known.valid_until);
    let body = json_response(StatusCode::OK, &Me::of(app, &entered));
    let mut response = with_cookie(body, &visit.headers, &secret);
    let proof = directory.device_proof(&sign_in.user).await?;
    if let Some(cookie) = cookies::set_device(&visit.headers, proof.expose()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn refused(refusal: LoginRefused) -> ApiError {
    let unauthorized = |detail: String| ApiError::new(StatusCode::UNAUTHORIZED, detail);
    match refusal {
        LoginRefused::Wait(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let detail = format!("too many attempts to sign in: try again in {seconds} s");
            ApiError::too_many(detail, wait)
        }
        LoginRefused::Ticket(rejection) => unauthorized(format!(
            "ticket is not accepted: {rejection}; a ticket is good for one use and a short time"
        )),
        _ => unauthorized("user or password is wrong".to_owned()),
    }
}

fn with_cookie(mut response: Response, headers: &HeaderMap, secret: &Secret) -> Response {
    if let Some(cookie) = cookies::set(headers, secret.expose()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Makes a ticket with which the person at this machine signs in once, within 10 minutes.
#[utoipa::path(
    post,
    path = "/api/auth/tickets",
    tag = "auth",
    responses((status = 201, description = "the ticket", body = NewTicket), (status = 409, description = "The users of this server sign in with passwords.")),
)]
pub(crate) async fn tickets(asked: Asked) -> Result<Response, ApiError> {
    if !asked.accounts.is_local() {
        let detail = "users of this server sign in with passwords";
        return Err(ApiError::new(StatusCode::CONFLICT, detail));
    }
    asked.needs(Right::ManageServer)?;
    // A sign-in has no scopes.
    asked.needs_own_credentials()?;
    asked.directory().check_rights_of(asked.scoped().caller(), asked.id())?;
    let ticket = asked.directory().create_sign_in_ticket(asked.id(), TICKET).await?;
    Ok(json_response(StatusCode::CREATED, &NewTicket { ticket: ticket.expose() }))
}

/// Ends the sign-in of the request, or all of the user, and removes the cookie.
#[utoipa::path(
    post,
    path = "/api/auth/logout",
    tag = "auth",
    request_body = Option<Logout>,
    responses((status = 204, description = "the sign-in has ended"), (status = 409, description = "The request has a token, and no sign-in.")),
)]
pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    asked: Asked,
    request: Request,
) -> Result<Response, ApiError> {
    let Logout { everywhere } = optional_json_body(request, &app).await?.unwrap_or_default();
    let current = sign_in_of(&asked.entered);
    if everywhere {
        asked.needs_own_credentials()?;
        asked.directory().sign_out_everywhere(&asked.by(), asked.id()).await?;
    } else if let Some(id) = current {
        asked.directory().sign_out(&asked.by(), id).await?;
    } else {
        let detail = "request has no sign-in that could end: revoke the token instead";
        return Err(ApiError::new(StatusCode::CONFLICT, detail));
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = cookies::clear(&asked.headers).filter(|_| current.is_some()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Returns the id of the sign-in by which the caller is known.
fn sign_in_of(entered: &Entered) -> Option<&str> {
    entered.scoped.caller().via.strip_prefix("sign-in:")
}

/// Sets another password of the caller. All sign-ins end, and the caller has a new one.
#[utoipa::path(
    post,
    path = "/api/auth/password",
    tag = "auth",
    request_body = PasswordChange,
    responses(
        (status = 204, description = "the password was set"),
        (status = 403, description = "The request has a token, and no sign-in; or the current password is wrong."),
        (status = 429, description = "Too many attempts: wait for the seconds in `Retry-After`."),
    ),
)]
pub(crate) async fn password(
    State(app): State<Arc<App>>,
    asked: Asked,
    request: Request,
) -> Result<Response, ApiError> {
    let PasswordChange { current, new } = json_body(request, &app).await?;
    let forbidden = |detail: &str| Err(ApiError::new(StatusCode::FORBIDDEN, detail));
    if sign_in_of(&asked.entered).is_none() {
        return forbidden("a password is changed by who has signed in, and not with a token");
    }
    let (current, new) = (Secret::new(current), Secret::new(new));
    let answer = asked.login().change_password(asked.id(), current, new, asked.address).await?;
    let secret = match answer {
        Ok((secret, _)) => secret,
        // Not 401: the caller is signed in.
        Err(LoginRefused::Wrong) => return forbidden("current password is wrong"),
        Err(refusal) => return Err(refused(refusal)),
    };
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), &asked.headers, &secret))
}

/// Lists the sign-ins of the caller, latest first.
#[utoipa::path(
    get,
    path = "/api/auth/sign-ins",
    tag = "auth",
    responses((status = 200, description = "the sign-ins", body = SignIns)),
)]
pub(crate) async fn sign_ins(asked: Asked) -> Response {
    let current = sign_in_of(&asked.entered);
    let all = asked.accounts.directory().sign_ins(asked.id());
    let of = |sign_in: SignIn| SignInJson {
        current: current == Some(&*sign_in.id),
        id: sign_in.id.to_string(),
        created_at: Time(sign_in.created),
        last_used_at: Time(sign_in.seen),
    };
    let sign_ins = SignIns { sign_ins: all.into_iter().map(of).collect() };
    json_response(StatusCode::OK, &sign_ins)
}

/// Ends a sign-in of the caller.
#[utoipa::path(
    delete,
    path = "/api/auth/sign-ins/{id}",
    tag = "auth",
    operation_id = "end_sign_in",
    params(("id" = String, Path, description = "the id of a sign-in")),
    responses((status = 204, description = "the sign-in has ended"), (status = 404, description = "Sign-in not found.")),
)]
pub(crate) async fn end_sign_in(asked: Asked, PathId(id): PathId) -> Result<StatusCode, ApiError> {
    let directory: Directory = asked.directory();
    if !directory.sign_ins(asked.id()).iter().any(|sign_in| *sign_in.id == *id) {
        let detail = format!("sign-in {id:?} not found");
        return Err(ApiError::new(StatusCode::NOT_FOUND, detail));
    }
    asked.needs_own_credentials()?;
    directory.sign_out(&asked.by(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
