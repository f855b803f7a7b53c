//! The place that a command works on: the file of a store, or a server.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::{AnyStore, Global, StoreFile};
use crate::client::{Client, encoded};
use crate::exit::{CliError, Code};
use crate::token::OF_DEV;
use crate::{profile, suggest};

/// The place that a command works on.
pub(super) enum Place {
    Store(StoreFile),
    Server(Server),
}

/// A server to which the user has signed in.
pub(super) struct Server(Client);

/// A user, as a server lists it.
#[derive(Deserialize)]
pub(super) struct UserView {
    pub(super) id: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
struct UserList {
    users: Vec<UserView>,
}

impl Place {
    /// Returns the place that a command works on: the store that it names, else the server that the
    /// options name or that the user has signed in to, else the store in this directory.
    ///
    /// # Errors
    /// `NotAuthorised` if the options name a server, and there is no token for it.
    pub(super) fn of(global: &Global, store: &AnyStore) -> Result<Self, CliError> {
        if store.store.is_some() {
            return Ok(Self::Store(store.file()));
        }
        let server = profile::server(global)?;
        // The token of `tinpot dev` works without a sign-in, even if a user does not think of it.
        let is_signed_in = server.token_source().is_some_and(|source| source != OF_DEV);
        if is_signed_in || server.is_named() {
            if server.token_source().is_none() {
                let message = format!(
                    "not signed in to {}: run \"tinpot login {}\", or name the file of a store with \
                     --store",
                    server.url, server.url
                );
                return Err(CliError::new(Code::NotAuthorised, message));
            }
            return Ok(Self::Server(Server(server.client()?)));
        }
        Ok(Self::Store(store.file()))
    }
}

impl Server {
    /// Sends a GET request.
    pub(super) fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        Ok(self.0.read(path)?)
    }

    /// Sends a request with a body, and returns the JSON of the answer.
    pub(super) fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, CliError> {
        let text = self.0.send(method, path, &body.to_string())?;
        match text.is_empty() {
            true => Ok(Value::Null),
            false => Ok(self.0.parse(&text)?),
        }
    }

    /// Sends a request for something of this kind, by its name or id.
    pub(super) fn remove(&self, kind: &str, name: &str) -> Result<(), CliError> {
        Ok(self.0.delete(&format!("/api/{kind}/{}", encoded(name))).map(drop)?)
    }

    /// Returns the user with this name.
    pub(super) fn user(&self, name: &str) -> Result<UserView, CliError> {
        let UserList { mut users } = self.read("/api/users")?;
        match users.iter().position(|user| user.name == name) {
            Some(place) => Ok(users.swap_remove(place)),
            None => {
                let known = users.iter().map(|user| &*user.name);
                let message = format!("no user {name:?}{}", suggest::or_list(name, known));
                Err(CliError::new(Code::NotFound, message))
            }
        }
    }
}

/// Returns the error for an answer that has an unexpected form.
pub(super) fn unreadable(error: serde_json::Error) -> CliError {
    CliError::new(Code::Unreachable, format!("the answer of the server cannot be read: {error}"))
}
