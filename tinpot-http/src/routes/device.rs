//! `/api/auth/device`: programs that wait for a person to approve their sign-in.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinpot_access::{LoginAnswer, LoginRequest, NewLogin};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::accounts::{Asked, Visit};
use crate::model::{Time, json_response};
use crate::router::App;
use crate::submission::json_body;

/// The seconds after which a program asks again.
const INTERVAL: u64 = 3;

/// A program that waits.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceNew {
    /// The name of the machine that the program runs on.
    #[serde(default)]
    #[schema(required = false)]
    client: String,
    /// The days for which the token is valid, 30 by default.
    #[serde(default = "month")]
    #[schema(required = false, minimum = 1, maximum = 366)]
    days: u64,
    /// The scopes of the token; `all` by default, which makes no other tokens.
    #[serde(default)]
    #[schema(required = false)]
    scopes: Vec<String>,
}

fn month() -> u64 {
    30
}

/// The code that the program shows, and the secret that it keeps.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceCodes<'a> {
    /// The code that the person enters at `/device`.
    code: &'a str,
    /// The secret with which the program asks for its token.
    device: &'a str,
    expires_at: Time,
    /// The seconds after which the program asks again.
    interval_s: u64,
}

/// A program that asks for its token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceAsk {
    /// The secret of the program.
    device: String,
}

/// The token of the person who has agreed.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceToken<'a> {
    /// The id of the token.
    id: &'a str,
    secret: &'a str,
    /// The name of the person.
    user: &'a str,
}

/// A program that waits for the person who enters its code.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceView {
    code: String,
    /// The machine, as the program states it.
    client: String,
    /// The address from which the program asks.
    address: String,
    days: u64,
    /// The scopes of the token that it asks for.
    scopes: Vec<String>,
    expires_at: Time,
}

/// The decision of the person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceDecision {
    /// If true, the program is signed in as the person; otherwise, it is refused.
    agree: bool,
}

/// Creates a code with which a person signs a program in.
#[utoipa::path(
    post,
    path = "/api/auth/device",
    tag = "auth",
    request_body = DeviceNew,
    responses(
        (status = 201, description = "the codes", body = DeviceCodes),
        (status = 429, description = "Too many attempts: wait for the seconds in `Retry-After`."),
    ),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    visit: Visit,
    request: Request,
) -> Result<Response, ApiError> {
    let DeviceNew { client, days, scopes } = json_body(request, &app).await?;
    visit.admit()?;
    let directory = visit.accounts.directory();
    let mut new = NewLogin::new(client, visit.address).days(days);
    if !scopes.is_empty() {
        new = new.scopes(scopes);
    }
    let (secret, asked) = directory.request_login(new).await?;
    let codes = DeviceCodes {
        code: &asked.code,
        device: secret.expose(),
        expires_at: Time(asked.expires),
        interval_s: INTERVAL,
    };
    Ok(json_response(StatusCode::CREATED, &codes))
}

/// Returns the token for a program, once, after a person has agreed.
#[utoipa::path(
    post,
    path = "/api/auth/device/token",
    tag = "auth",
    request_body = DeviceAsk,
    responses(
        (status = 200, description = "the token", body = DeviceToken),
        (status = 202, description = "The person has not decided yet: ask again."),
        (status = 410, description = "A person has refused, or the code has expired."),
        (status = 429, description = "Too many attempts: wait for the seconds in `Retry-After`."),
    ),
)]
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    visit: Visit,
    request: Request,
) -> Result<Response, ApiError> {
    let DeviceAsk { device } = json_body(request, &app).await?;
    let directory = visit.accounts.directory().asked_from(visit.address.to_string());
    match directory.redeem_login(&device).await? {
        LoginAnswer::Agreed(secret, token) => {
            let user = directory.user_by_id(&token.principal).map(|user| user.name);
            let user = user.unwrap_or_default();
            let token = DeviceToken { id: &token.id, secret: secret.expose(), user: &user };
            Ok(json_response(StatusCode::OK, &token))
        }
        LoginAnswer::Pending => {
            Ok(json_response(StatusCode::ACCEPTED, &serde_json::json!({ "status": "pending" })))
        }
        _ => {
            // A caller with an unknown secret may be guessing.
            visit.admit()?;
            let detail = "code has been used, refused or has expired";
            Err(ApiError::new(StatusCode::GONE, detail))
        }
    }
}

/// The code in the path.
#[derive(Debug)]
pub(crate) struct PathCode(String);

#[derive(Deserialize)]
struct Code {
    code: String,
}

impl<S: Send + Sync> FromRequestParts<S> for PathCode {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<Code>::from_request_parts(parts, state).await;
        path.map(|Path(Code { code })| Self(code)).map_err(|_| missing())
    }
}

fn missing() -> ApiError {
    let detail = "code not found: no program waits with it; codes are valid for 10 minutes";
    ApiError::new(StatusCode::NOT_FOUND, detail)
}

/// Checks that the caller is a person at a browser, and counts the attempt: codes are short.
fn check(asked: &Asked) -> Result<(), ApiError> {
    asked.admit()?;
    if asked.has_token() {
        let detail = "token cannot sign programs in: use a browser that is signed in";
        return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(())
}

/// Returns the program that waits with a code.
#[utoipa::path(
    get,
    path = "/api/auth/device/{code}",
    tag = "auth",
    params(("code" = String, Path, description = "the code that the program shows")),
    responses(
        (status = 200, description = "the program", body = DeviceView),
        (status = 403, description = "The request has a token instead of a sign-in."),
        (status = 404, description = "Code not found."),
        (status = 429, description = "Too many attempts: wait for the seconds in `Retry-After`."),
    ),
)]
pub(crate) async fn show(asked: Asked, PathCode(code): PathCode) -> Result<Response, ApiError> {
    check(&asked)?;
    let found = asked.accounts.directory().login_request(&code).await?;
    let found = found.ok_or_else(missing)?;
    let LoginRequest { code, client, address, days, scopes, expires, .. } = found;
    let expires_at = Time(expires);
    let view = DeviceView { code: code.to_string(), client, address, days, scopes, expires_at };
    Ok(json_response(StatusCode::OK, &view))
}

/// Signs in the program with a code as the caller, or refuses it.
#[utoipa::path(
    post,
    path = "/api/auth/device/{code}",
    tag = "auth",
    operation_id = "decide_device",
    params(("code" = String, Path, description = "the code that the program shows")),
    request_body = DeviceDecision,
    responses(
        (status = 204, description = "The decision is recorded."),
        (status = 403, description = "The request has a token instead of a sign-in."),
        (status = 404, description = "Code not found."),
        (status = 429, description = "Too many attempts: wait for the seconds in `Retry-After`."),
    ),
)]
pub(crate) async fn decide(
    State(app): State<Arc<App>>,
    asked: Asked,
    PathCode(code): PathCode,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let DeviceDecision { agree } = json_body(request, &app).await?;
    check(&asked)?;
    asked.directory().login_request(&code).await?.ok_or_else(missing)?;
    asked.directory().decide_login(&asked.by(), asked.id(), &code, agree).await?;
    Ok(StatusCode::NO_CONTENT)
}
