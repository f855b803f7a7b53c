//! The MQTT gateway: actions for any MQTT client.

use std::path::PathBuf;
use std::time::Duration;

use tinpot_core::{DEFAULT_TEAM, Error, ErrorKind, Names, Result};

use super::{Auth, BrokerSettings, trimmed};

mod logins;

pub(crate) use self::logins::PlainLogin;

/// The name of the principal of a server without authentication.
const ANONYMOUS: &str = "anonymous";

/// The MQTT gateway: actions for any MQTT client. It is off without `mqtt_clients`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct GatewaySettings {
    /// The users as whom MQTT clients run actions, separated by commas: PREFIX=USER lets each client
    /// that may publish below the topic PREFIX/ act as a user or program. With --teams, the user is
    /// TEAM/USER; without authentication, it is `anonymous`. Other topics are ignored.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_MQTT_CLIENTS",
            value_name = "PREFIX=USER",
            value_delimiter = ',',
            value_parser = super::value::gateway_client
        )
    )]
    pub mqtt_clients: Vec<String>,
    /// The actions that MQTT clients may offer, separated by commas: PREFIX=NAME, where each * in
    /// NAME stands for any characters. The prefix is one of --mqtt-clients.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_MQTT_ACTIONS",
            value_name = "PREFIX=NAME",
            value_delimiter = ',',
            value_parser = super::value::gateway_actions
        )
    )]
    pub mqtt_actions: Vec<String>,
    /// The time after which an action that an MQTT client offers times out without an answer,
    /// unless
    /// its announcement has a timeout.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_MQTT_ACTION_TIMEOUT",
            value_name = "SECONDS",
            value_parser = super::value::day_in_seconds,
            default_value = "60"
        )
    )]
    pub mqtt_action_timeout: Duration,
    /// The prefixes of topics, separated by commas, to which MQTT clients may have answers sent,
    /// besides their own prefix.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_MQTT_ANSWERS", value_name = "PREFIX", value_delimiter = ',')
    )]
    pub mqtt_answers: Vec<String>,
    /// The file with the logins of MQTT clients at the embedded broker: each line is
    /// PREFIX=NAME:PASSWORD, where the prefix is one of --mqtt-clients. A login reaches the topics of
    /// its prefix only.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_MQTT_USERS_FILE", value_name = "FILE"))]
    pub mqtt_users_file: Option<PathBuf>,
    /// The maximum number of triggers below each prefix per second; the burst is twice as many.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_MQTT_RATE",
            value_name = "NUMBER",
            value_parser = clap::value_parser!(u32).range(1..=100_000),
            default_value_t = GatewaySettings::default().mqtt_rate
        )
    )]
    pub mqtt_rate: u32,
    /// Announce each action to Home Assistant as a button. PREFIX is its discovery prefix.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_MQTT_HOME_ASSISTANT",
            value_name = "PREFIX",
            num_args = 0..=1,
            default_missing_value = "homeassistant"
        )
    )]
    pub mqtt_home_assistant: Option<String>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            mqtt_clients: Vec::new(),
            mqtt_actions: Vec::new(),
            mqtt_action_timeout: Duration::from_secs(60),
            mqtt_answers: Vec::new(),
            mqtt_users_file: None,
            mqtt_rate: 50,
            mqtt_home_assistant: None,
        }
    }
}

/// The principal of the clients below a prefix, and the actions that they may offer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatewayClient {
    pub(crate) prefix: String,
    pub(crate) team: String,
    /// The user or program; `None` for the anonymous caller.
    pub(crate) user: Option<String>,
    pub(crate) offers: Names,
}

impl GatewaySettings {
    /// Returns the prefixes to which answers may go.
    pub(crate) fn answers(&self) -> Vec<String> {
        trimmed(&self.mqtt_answers)
    }

    /// Returns the discovery prefix of Home Assistant.
    pub(crate) fn home_assistant(&self) -> Option<&str> {
        self.mqtt_home_assistant.as_deref().map(str::trim).filter(|prefix| !prefix.is_empty())
    }

    /// Reads the logins of clients at the embedded broker. `other` is the user of the broker, if it
    /// has one.
    ///
    /// # Errors
    /// `InvalidInput` if the file cannot be read, or a line does not count.
    pub(crate) fn logins(
        &self,
        clients: &[GatewayClient],
        other: Option<&str>,
    ) -> Result<Vec<PlainLogin>> {
        match &self.mqtt_users_file {
            Some(path) => logins::read(path, clients, other),
            None => Ok(Vec::new()),
        }
    }

    /// Returns the rules.
    ///
    /// # Errors
    /// `InvalidInput` if they do not fit together, or do not fit the authentication or the broker.
    pub(crate) fn clients(
        &self,
        auth: Auth,
        broker: &BrokerSettings,
        embeds_broker: bool,
    ) -> Result<Vec<GatewayClient>> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidInput, message);
        let mut clients = Vec::new();
        for one in trimmed(&self.mqtt_clients) {
            let (prefix, user) = one.split_once('=').ok_or_else(|| {
                invalid(format!(
                    "--mqtt-clients (TINPOT_MQTT_CLIENTS) must be PREFIX=USER (got {one:?})"
                ))
            })?;
            let (prefix, user) = (prefix.trim(), user.trim());
            if auth.is_none() != (user == ANONYMOUS) {
                let remedy = match auth.is_none() {
                    true => format!(
                        "there are no users without authentication: write {prefix}={ANONYMOUS}, or \
                         add --auth (TINPOT_AUTH)"
                    ),
                    false => format!("name a user or program in place of {ANONYMOUS}"),
                };
                return Err(invalid(format!(
                    "--mqtt-clients (TINPOT_MQTT_CLIENTS) {one}: {remedy}"
                )));
            }
            let (team, name) = user.split_once('/').unwrap_or((DEFAULT_TEAM, user));
            clients.push(GatewayClient {
                prefix: prefix.to_owned(),
                team: team.to_owned(),
                user: Some(name.to_owned()).filter(|_| user != ANONYMOUS),
                offers: Names::none(),
            });
        }
        let mut names: Vec<Vec<String>> = vec![Vec::new(); clients.len()];
        for one in trimmed(&self.mqtt_actions) {
            let wrong =
                |why: &str| invalid(format!("--mqtt-actions (TINPOT_MQTT_ACTIONS) {one}: {why}"));
            let (prefix, name) =
                one.split_once('=').ok_or_else(|| wrong("must be PREFIX=NAME, such as home=*"))?;
            let at = clients.iter().position(|client| client.prefix == prefix.trim());
            let at = at.ok_or_else(|| wrong("the prefix must be one of --mqtt-clients"))?;
            if clients[at].team != DEFAULT_TEAM {
                let why = "clients can offer actions to the default team only, and the user of this \
                           prefix is of another";
                return Err(wrong(why));
            }
            names[at].push(name.trim().to_owned());
        }
        for (client, names) in clients.iter_mut().zip(names) {
            client.offers = Names::of(names);
        }
        if clients.is_empty() {
            let others = !self.answers().is_empty() || self.home_assistant().is_some();
            if others {
                return Err(invalid(
                    "--mqtt-answers and --mqtt-home-assistant belong to the MQTT gateway: add \
                     --mqtt-clients (TINPOT_MQTT_CLIENTS)"
                        .to_owned(),
                ));
            }
            if self.mqtt_users_file.is_some() {
                return Err(invalid(
                    "--mqtt-users-file (TINPOT_MQTT_USERS_FILE) belongs to the MQTT gateway: add \
                     --mqtt-clients (TINPOT_MQTT_CLIENTS)"
                        .to_owned(),
                ));
            }
            return Ok(clients);
        }
        let why = match (embeds_broker, self.mqtt_users_file.is_some()) {
            (true, false) => {
                "--mqtt-clients (TINPOT_MQTT_CLIENTS) with --embedded-broker needs the logins of the \
                 clients: name a file with lines PREFIX=NAME:PASSWORD by --mqtt-users-file \
                 (TINPOT_MQTT_USERS_FILE)"
            }
            (true, true) if !self.answers().is_empty() || self.home_assistant().is_some() => {
                "--mqtt-answers and --mqtt-home-assistant need a broker of its own, such as \
                 mosquitto: the logins of the embedded one reach the topics of one prefix only"
            }
            (false, true) => {
                "--mqtt-users-file (TINPOT_MQTT_USERS_FILE) applies to the embedded broker only: add \
                 --embedded-broker, or add the users to your broker"
            }
            (false, false) if broker.is_none() => {
                "--mqtt-clients (TINPOT_MQTT_CLIENTS) needs a broker: name it with --broker \
                 (MQTT_BROKER), or add --embedded-broker"
            }
            _ => return Ok(clients),
        };
        Err(invalid(why.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use tinpot_core::Names;

    use super::{Auth, BrokerSettings, GatewaySettings};

    fn settings(clients: &[&str], actions: &[&str]) -> GatewaySettings {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        GatewaySettings {
            mqtt_clients: owned(clients),
            mqtt_actions: owned(actions),
            ..GatewaySettings::default()
        }
    }

    #[test]
    fn rules_name_a_user_and_the_actions_of_its_clients() {
        let settings =
            settings(&["home=ada", " line/3 = sales/robot", ""], &["home=w-*", "home=dig"]);
        let clients = settings.clients(Auth::USERS, &BrokerSettings::default(), false);
        let clients = clients.expect("rules");
        assert_eq!(clients[0].offers, Names::of(["w-*", "dig"]));
        assert_eq!((&*clients[0].team, clients[0].user.as_deref()), ("default", Some("ada")));
        assert_eq!((&*clients[1].team, clients[1].user.as_deref()), ("sales", Some("robot")));
        assert_eq!((&*clients[1].prefix, &clients[1].offers), ("line/3", &Names::none()));
        let off = GatewaySettings::default();
        assert!(off.clients(Auth::NONE, &BrokerSettings::default(), true).expect("off").is_empty());
    }

    #[test]
    fn rules_that_do_not_fit_are_refused() {
        let url = BrokerSettings::NONE.to_owned();
        let none = BrokerSettings { url, ..BrokerSettings::default() };
        let broker = BrokerSettings::default();
        for (clients, actions, auth, broker, embeds, why) in [
            (&["home"][..], &[][..], Auth::USERS, &broker, false, "must be PREFIX=USER"),
            (&["home=ada"], &[], Auth::NONE, &broker, false, "write home=anonymous"),
            (&["home=anonymous"], &[], Auth::USERS, &broker, false, "name a user or program"),
            (&["home=ada"], &["office=*"], Auth::USERS, &broker, false, "one of --mqtt-clients"),
            (&[], &["office=*"], Auth::USERS, &broker, false, "one of --mqtt-clients"),
            (&["home=b/ada"], &["home=*"], Auth::USERS, &broker, false, "the default team only"),
            (&["home=ada"], &[], Auth::USERS, &broker, true, "by --mqtt-users-file"),
            (&["home=ada"], &[], Auth::USERS, &none, false, "needs a broker"),
        ] {
            let error = settings(clients, actions).clients(auth, broker, embeds);
            let error = error.expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
        let mqtt_home_assistant = Some("homeassistant".to_owned());
        let alone = GatewaySettings { mqtt_home_assistant, ..GatewaySettings::default() };
        let error = alone.clients(Auth::USERS, &broker, false).expect_err("refused").to_string();
        assert!(error.contains("add --mqtt-clients"), "{error}");
        // Those of the embedded broker.
        let with_users = |clients: &[&str]| {
            let mqtt_users_file = Some("users".into());
            GatewaySettings { mqtt_users_file, ..settings(clients, &[]) }
        };
        let clients = |settings: &GatewaySettings, embeds| {
            let clients = settings.clients(Auth::USERS, &broker, embeds);
            clients.map_err(|error| error.to_string())
        };
        assert!(clients(&with_users(&["home=ada"]), true).is_ok());
        let mut elsewhere = with_users(&["home=ada"]);
        elsewhere.mqtt_answers = vec!["nodered".to_owned()];
        for (settings, embeds, why) in [
            (&with_users(&["home=ada"]), false, "the embedded broker only"),
            (&with_users(&[]), true, "add --mqtt-clients"),
            (&elsewhere, true, "a broker of its own"),
        ] {
            let error = clients(settings, embeds).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
