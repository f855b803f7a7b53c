//! People whom other systems sign in.

use std::path::PathBuf;

use tinpot_access::{Oidc, OidcConfig, Secret};
use tinpot_core::{Error, ErrorKind, Result};
use tinpot_http::{AddressRange, CertificatePrincipal, ProxyUsers, PublicUrl};

use super::{Auth, read_password};

/// The proxy in front of the server, and the identity of people whom other systems sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct SignInSettings {
    /// The addresses of reverse proxies in front of the server, separated by commas, like 10.0.0.5
    /// or 10.1.0.0/16. Their headers X-Forwarded-For, -Host and -Proto are trusted, as are those of
    /// programs on this machine. With --auth proxy, they also name the user.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_PROXY_FROM",
            value_name = "CIDR",
            value_delimiter = ',',
            value_parser = super::value::address_range
        )
    )]
    pub proxy_from: Vec<String>,
    /// The file with the secret that the proxy sends in the header Tinpot-Proxy-Secret, for --auth
    /// proxy.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_PROXY_SECRET_FILE", value_name = "FILE"))]
    pub proxy_secret_file: Option<PathBuf>,
    /// The header in which the proxy names the user; Remote-User by default.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_PROXY_USER_HEADER", value_name = "NAME"))]
    pub proxy_user_header: Option<String>,
    /// The header in which the proxy names the groups of the user, separated by commas, like
    /// Remote-Groups. The proxy must set or remove this header in every request. Without this
    /// setting, groups are ignored.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_PROXY_GROUPS_HEADER", value_name = "NAME")
    )]
    pub proxy_groups_header: Option<String>,
    /// The issuer URL of the identity provider that signs people in, exactly as the provider states
    /// it, for --auth oidc.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_OIDC_ISSUER", value_name = "URL"))]
    pub oidc_issuer: Option<String>,
    /// The client id of this server at the identity provider.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_OIDC_CLIENT_ID", value_name = "ID"))]
    pub oidc_client_id: Option<String>,
    /// The file with the client secret of this server at the identity provider; without one, the
    /// server is a public client.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_OIDC_CLIENT_SECRET_FILE", value_name = "FILE")
    )]
    pub oidc_client_secret_file: Option<PathBuf>,
    /// The scopes to ask the identity provider for, separated by blanks; `openid profile email` by
    /// default. Some providers need another scope for groups.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_OIDC_SCOPES", value_name = "SCOPES"))]
    pub oidc_scopes: Option<String>,
    /// The claim of the identity provider with the groups of the user; `groups` by default. Dots
    /// select nested fields, as in realm_access.roles.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_OIDC_GROUPS_CLAIM", value_name = "NAME"))]
    pub oidc_groups_claim: Option<String>,
    /// The group of the identity provider that a person must be in to sign in. Members of the group
    /// of the admins can sign in as well. Without this setting, every person that the provider
    /// knows can sign in.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_OIDC_REQUIRE_GROUP", value_name = "GROUP")
    )]
    pub oidc_require_group: Option<String>,
    /// The users that are known by the certificates of their connections, separated by commas: URI=USER,
    /// with a URI that is a subject alternative name of the certificate, or sha256:FINGERPRINT=USER.
    /// With --teams, the user is TEAM/USER. Needs --client-ca and --auth.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_CLIENT_PRINCIPALS",
            value_name = "CERTIFICATE=USER",
            value_delimiter = ',',
            value_parser = super::value::certificate_principal
        )
    )]
    pub client_principals: Vec<String>,
    /// The group of the proxy or the identity provider whose members are admins of the server.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_ADMIN_GROUP", value_name = "GROUP"))]
    pub admin_group: Option<String>,
}

/// Returns the value of a setting. An environment variable that is set to nothing counts as not set.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

impl SignInSettings {
    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// `InvalidInput` if they do not.
    pub(crate) fn check(&self, auth: Auth, public: Option<&PublicUrl>) -> Result<()> {
        self.ranges()?;
        self.proxy_users(auth)?;
        self.oidc(auth, public)?;
        if self.admin_group().is_some() && !auth.has(Auth::OIDC) && !auth.has(Auth::PROXY) {
            return Err(invalid(
                "--admin-group is a group of an identity provider or of a proxy that signs people \
                 in: add oidc or proxy to --auth (TINPOT_AUTH), or leave out --admin-group \
                 (TINPOT_ADMIN_GROUP)",
            ));
        }
        Ok(())
    }

    /// Returns the identity provider that signs people in; `None` if there is none. `public` is the
    /// URL of this server.
    ///
    /// # Errors
    /// `InvalidInput` if settings are missing or wrong, or the secret cannot be read.
    pub fn oidc(&self, auth: Auth, public: Option<&PublicUrl>) -> Result<Option<Oidc>> {
        let file = self.oidc_client_secret_file.as_ref();
        let file = file.filter(|file| !file.as_os_str().is_empty());
        let (issuer, client) = (given(&self.oidc_issuer), given(&self.oidc_client_id));
        if !auth.has(Auth::OIDC) {
            let group = given(&self.oidc_require_group);
            let any = issuer.or(client).or(group).is_some() || file.is_some();
            return match any {
                true => Err(invalid(
                    "--oidc-issuer, --oidc-client-id, --oidc-client-secret-file and \
                     --oidc-require-group are for an identity provider: add oidc to --auth \
                     (TINPOT_AUTH)",
                )),
                false => Ok(None),
            };
        }
        let (Some(issuer), Some(client), Some(public)) = (issuer, client, public) else {
            return Err(invalid(
                "--auth oidc (TINPOT_AUTH) needs the URL of the identity provider in --oidc-issuer \
                 (TINPOT_OIDC_ISSUER), the id of this server there in --oidc-client-id \
                 (TINPOT_OIDC_CLIENT_ID), and the URL of this server in --public-url \
                 (TINPOT_PUBLIC_URL)",
            ));
        };
        let mut config = OidcConfig::new(issuer, client, format!("{public}/auth/oidc/callback"));
        if let Some(file) = file {
            let setting = "--oidc-client-secret-file, TINPOT_OIDC_CLIENT_SECRET_FILE";
            config = config.client_secret(Secret::new(read_password(file, setting)?));
        }
        if let Some(scopes) = given(&self.oidc_scopes) {
            config = config.scopes(scopes);
        }
        if let Some(claim) = given(&self.oidc_groups_claim) {
            config = config.groups_claim(claim);
        }
        if let Some(group) = self.admin_group() {
            config = config.admin_group(group);
        }
        if let Some(group) = given(&self.oidc_require_group) {
            config = config.required_group(group);
        }
        Oidc::new(config).map(Some)
    }

    pub(crate) fn admin_group(&self) -> Option<&str> {
        given(&self.admin_group)
    }

    /// Returns the users that are known by certificates.
    ///
    /// # Errors
    /// `InvalidInput` for a text that is none.
    pub fn certificate_principals(&self) -> Result<Vec<CertificatePrincipal>> {
        let all = super::trimmed(&self.client_principals);
        let parsed = all.iter().map(|one| one.parse());
        parsed
            .collect::<Result<_>>()
            .map_err(|e| e.with_context("--client-principals (TINPOT_CLIENT_PRINCIPALS)"))
    }

    /// Returns the addresses of the proxies.
    ///
    /// # Errors
    /// `InvalidInput` for a text that is not an address.
    pub fn ranges(&self) -> Result<Vec<AddressRange>> {
        let all = super::trimmed(&self.proxy_from);
        let parsed = all.iter().map(|range| range.parse());
        parsed
            .collect::<Result<_>>()
            .map_err(|e| e.with_context("--proxy-from (TINPOT_PROXY_FROM)"))
    }

    /// Returns the proxies that sign people in; `None` if they do not.
    ///
    /// # Errors
    /// `InvalidInput` if settings are missing or wrong, or the secret cannot be read.
    pub fn proxy_users(&self, auth: Auth) -> Result<Option<ProxyUsers>> {
        let file = self.proxy_secret_file.as_ref().filter(|file| !file.as_os_str().is_empty());
        let (user, groups) = (given(&self.proxy_user_header), given(&self.proxy_groups_header));
        if !auth.has(Auth::PROXY) {
            return match file.is_some() || user.is_some() || groups.is_some() {
                true => Err(invalid(
                    "--proxy-secret-file, --proxy-user-header and --proxy-groups-header are for a \
                     proxy that signs people in: add proxy to --auth (TINPOT_AUTH)",
                )),
                false => Ok(None),
            };
        }
        let ranges = self.ranges()?;
        let (Some(file), false) = (file, ranges.is_empty()) else {
            return Err(invalid(
                "--auth proxy (TINPOT_AUTH) needs the addresses of the proxy in --proxy-from \
                 (TINPOT_PROXY_FROM), and the secret that it sends in the file that \
                 --proxy-secret-file (TINPOT_PROXY_SECRET_FILE) names",
            ));
        };
        let setting = "--proxy-secret-file, TINPOT_PROXY_SECRET_FILE";
        let secret = Secret::new(read_password(file, setting)?);
        let mut users = ProxyUsers::new(ranges, secret)?;
        if let Some(name) = user {
            users = users.user_header(name)?;
        }
        if let Some(name) = groups {
            users = users.groups_header(name)?;
        }
        if let Some(group) = self.admin_group() {
            users = users.admin_group(group);
        }
        Ok(Some(users))
    }
}
