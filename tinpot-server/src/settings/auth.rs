//! The authentication of callers.

use std::fmt;
use std::str::FromStr;

/// The ways in which the API identifies its callers. All except [`NONE`](Self::NONE) also admit API
/// tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    users: bool,
    proxy: bool,
    oidc: bool,
}

impl Auth {
    /// No authentication: every client that can reach the port may do everything.
    pub const NONE: Self = Self { users: false, proxy: false, oidc: false };
    /// The users in the file of the store, with their passwords.
    pub const USERS: Self = Self { users: true, ..Self::NONE };
    /// The people whom a reverse proxy in front has signed in.
    pub const PROXY: Self = Self { proxy: true, ..Self::NONE };
    /// The people whom an identity provider signs in with OpenID Connect.
    pub const OIDC: Self = Self { oidc: true, ..Self::NONE };

    /// The names of all ways, as in the setting.
    const NAMES: [(&str, Self); 3] =
        [("users", Self::USERS), ("proxy", Self::PROXY), ("oidc", Self::OIDC)];

    /// Returns the ways of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            users: self.users || other.users,
            proxy: self.proxy || other.proxy,
            oidc: self.oidc || other.oidc,
        }
    }

    /// Returns true if all of the others are among these.
    pub fn has(self, others: Self) -> bool {
        self.and(others) == self
    }

    /// Returns true if callers are not identified.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl FromStr for Auth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // An environment variable that is set to nothing counts as not set.
        if matches!(text.trim(), "" | "none") {
            return Ok(Self::NONE);
        }
        text.split(',').try_fold(Self::NONE, |all, name| {
            let mut known = Self::NAMES.iter();
            let found = known.find(|(known, _)| *known == name.trim());
            let (_, one) = found
                .ok_or("must be users, proxy, oidc, several of them like users,oidc, or none")?;
            Ok(all.and(*one))
        })
    }
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().filter(|(_, one)| self.has(*one)).map(|(name, _)| *name);
        let named: Vec<&str> = named.collect();
        f.write_str(if named.is_empty() { "none".to_owned() } else { named.join(",") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Auth;

    #[test]
    fn means_are_combined_and_shown_as_they_are_given() {
        for (text, auth, shown) in [
            ("", Auth::NONE, "none"),
            ("none", Auth::NONE, "none"),
            ("users", Auth::USERS, "users"),
            ("oidc, users", Auth::USERS.and(Auth::OIDC), "users,oidc"),
            ("proxy", Auth::PROXY, "proxy"),
        ] {
            assert_eq!(text.parse::<Auth>(), Ok(auth), "{text:?}");
            assert_eq!(auth.to_string(), shown);
        }
        for wrong in ["user", "users,none", "users,", ","] {
            wrong.parse::<Auth>().expect_err(wrong);
        }
        assert!(!Auth::USERS.has(Auth::PROXY) && Auth::USERS.has(Auth::NONE));
    }
}
