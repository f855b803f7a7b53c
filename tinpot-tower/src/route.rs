//! The routes, and the paths that lead to them.

use std::borrow::Cow;

use axum::http::{Method, Uri};
use percent_encoding::percent_decode_str;

/// The endpoint that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Health,
    Ready,
    AuthOptions,
    SignUp,
    Login,
    Bootstrap,
    Me,
    Tokens,
    Runners,
    Apps,
    /// `/api/v1/apps/`, without a name.
    NoApp,
    App(&'a str),
    Versions(&'a str),
    AppRuns(&'a str),
    /// Something unknown below an app.
    BelowApp,
    Runs,
    Summary,
    Run(&'a str),
    Cancel(&'a str),
    Logs(&'a str),
    Runner(RunnerRoute<'a>),
    Unknown,
}

/// The endpoint that a request of a runner asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunnerRoute<'a> {
    Register,
    Lease,
    Start(&'a str),
    Heartbeat(&'a str),
    Logs(&'a str),
    Result(&'a str),
    Artifact(&'a str),
}

/// The path of a request, in a form in which every path has one spelling.
#[derive(Debug)]
pub(crate) struct CleanPath(String);

impl CleanPath {
    /// Takes the path of a request: without empty, `.` and `..` segments, and decoded. Clients with a
    /// slash at the end of their server's URL send two.
    pub(crate) fn of(uri: &Uri) -> Self {
        let raw = uri.path();
        let mut segments: Vec<Cow<'_, str>> = Vec::new();
        for segment in raw.split('/') {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                _ => segments.push(percent_decode_str(segment).decode_utf8_lossy()),
            }
        }
        let mut path = String::with_capacity(raw.len());
        for segment in &segments {
            path.push('/');
            path.push_str(segment);
        }
        if raw.ends_with('/') || path.is_empty() {
            path.push('/');
        }
        Self(path)
    }

    /// Returns the route, or `None` for a path of another API.
    pub(crate) fn route(&self, method: &Method) -> Option<Route<'_>> {
        match self.0.as_str() {
            "/health" => return Some(Route::Health),
            "/ready" => return Some(Route::Ready),
            "/api/v1" | "/api/v1/" => return Some(Route::Unknown),
            _ => {}
        }
        let path = self.0.strip_prefix("/api/v1/")?;
        Some(match path {
            "auth/options" => Route::AuthOptions,
            "teams/signup" => Route::SignUp,
            "teams/login" => Route::Login,
            "bootstrap/team" => Route::Bootstrap,
            "me" => Route::Me,
            "tokens" => Route::Tokens,
            "admin/runners" => Route::Runners,
            "runners/register" => Route::Runner(RunnerRoute::Register),
            "apps" => Route::Apps,
            "runs" => Route::Runs,
            "runs/summary" => Route::Summary,
            "runs/lease" => Route::Runner(RunnerRoute::Lease),
            _ => match (path.strip_prefix("apps/"), path.strip_prefix("runs/")) {
                (Some(path), _) => below_apps(path),
                (_, Some(path)) => below_runs(path, method),
                _ => Route::Unknown,
            },
        })
    }
}

fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn below_apps(path: &str) -> Route<'_> {
    let path = without_slash(path);
    match path.split_once('/') {
        None if path.is_empty() => Route::NoApp,
        None => Route::App(path),
        Some((app, "versions")) => Route::Versions(app),
        Some((app, "runs")) => Route::AppRuns(app),
        Some(_) => Route::BelowApp,
    }
}

fn below_runs<'a>(path: &'a str, method: &Method) -> Route<'a> {
    let path = without_slash(path);
    let Some((id, what)) = path.split_once('/') else {
        return if path.is_empty() { Route::Unknown } else { Route::Run(path) };
    };
    match what {
        "cancel" => Route::Cancel(id),
        // Of a runner that writes, or of a team that reads.
        "logs" if *method == Method::POST => Route::Runner(RunnerRoute::Logs(id)),
        "logs" => Route::Logs(id),
        "start" => Route::Runner(RunnerRoute::Start(id)),
        "heartbeat" => Route::Runner(RunnerRoute::Heartbeat(id)),
        "result" => Route::Runner(RunnerRoute::Result(id)),
        "artifact" => Route::Runner(RunnerRoute::Artifact(id)),
        _ => Route::Unknown,
    }
}

/// The methods of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Methods {
    Get,
    Post,
    GetOrPost,
}

impl Methods {
    pub(crate) fn has(self, method: &Method) -> bool {
        let is_get = matches!(*method, Method::GET | Method::HEAD);
        let is_post = *method == Method::POST;
        match self {
            Methods::Get => is_get,
            Methods::Post => is_post,
            Methods::GetOrPost => is_get || is_post,
        }
    }
}

impl Route<'_> {
    pub(crate) fn methods(self) -> Methods {
        match self {
            Route::SignUp | Route::Login | Route::Bootstrap | Route::Tokens | Route::Cancel(_) => {
                Methods::Post
            }
            Route::Apps | Route::Versions(_) | Route::AppRuns(_) => Methods::GetOrPost,
            Route::Runner(RunnerRoute::Artifact(_)) => Methods::Get,
            Route::Runner(_) => Methods::Post,
            _ => Methods::Get,
        }
    }

    /// Returns the path in labels of metrics, as MiniTower writes it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Route::Health => "/health",
            Route::Ready => "/ready",
            Route::AuthOptions => "/api/v1/auth/options",
            Route::SignUp => "/api/v1/teams/signup",
            Route::Login => "/api/v1/teams/login",
            Route::Bootstrap => "/api/v1/bootstrap/team",
            Route::Me => "/api/v1/me",
            Route::Tokens => "/api/v1/tokens",
            Route::Runners => "/api/v1/admin/runners",
            Route::Apps => "/api/v1/apps",
            Route::App(_) => "/api/v1/apps/{app}",
            Route::Versions(_) => "/api/v1/apps/{app}/versions",
            Route::AppRuns(_) => "/api/v1/apps/{app}/runs",
            Route::Runs => "/api/v1/runs",
            Route::Summary | Route::Run(_) => "/api/v1/runs/{run}",
            Route::Cancel(_) => "/api/v1/runs/{run}/cancel",
            Route::Logs(_) => "/api/v1/runs/{run}/logs",
            Route::Runner(route) => match route {
                RunnerRoute::Register => "/api/v1/runners/register",
                RunnerRoute::Lease => "/api/v1/runs/{run}",
                RunnerRoute::Start(_) => "/api/v1/runs/{run}/start",
                RunnerRoute::Heartbeat(_) => "/api/v1/runs/{run}/heartbeat",
                RunnerRoute::Logs(_) => "/api/v1/runs/{run}/logs",
                RunnerRoute::Result(_) => "/api/v1/runs/{run}/result",
                RunnerRoute::Artifact(_) => "/api/v1/runs/{run}/artifact",
            },
            Route::NoApp | Route::BelowApp | Route::Unknown => "unmatched",
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Uri};

    use super::{CleanPath, Route, RunnerRoute};

    #[test]
    fn paths_have_one_spelling() {
        let is = |path: &'static str, route: Option<Route<'_>>| {
            let clean = CleanPath::of(&Uri::from_static(path));
            assert_eq!(clean.route(&Method::GET), route, "{path}");
        };
        is("/health", Some(Route::Health));
        is("/api/v1/runs/7/logs", Some(Route::Logs("7")));
        is("//api/v1/./runs/8/../7/logs/", Some(Route::Logs("7")));
        is("/api/v1/runs/summary", Some(Route::Summary));
        // The slash makes it the id of a run, which it is not.
        is("/api/v1/runs/summary/", Some(Route::Run("summary")));
        is("/api/v1/runs/", Some(Route::Unknown));
        is("/api/v1/apps/", Some(Route::NoApp));
        is("/api/v1/apps/hello/", Some(Route::App("hello")));
        is("/api/v1/apps/hello/versions", Some(Route::Versions("hello")));
        is("/api/v1/apps/hello/other", Some(Route::BelowApp));
        is("/api/v1/me/", Some(Route::Unknown));
        is("/api/v1", Some(Route::Unknown));
        is("/api/v2/me", None);
        is("/", None);
        let clean = CleanPath::of(&Uri::from_static("/api/v1/runs/7/logs"));
        let of_runner = Route::Runner(RunnerRoute::Logs("7"));
        assert_eq!(clean.route(&Method::POST), Some(of_runner));
    }
}
