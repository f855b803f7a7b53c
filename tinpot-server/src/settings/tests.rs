//! Settings without a command line and with an empty one are the same.

#[cfg(feature = "clap")]
#[test]
fn an_empty_command_line_gives_the_defaults() {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn parsed<T: Args + FromArgMatches>() -> T {
        let command = T::augment_args(Command::new("test"));
        // Variables of the environment that the tests run in do not count.
        let command = command.mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
        let matches = command.try_get_matches_from(["test"]).expect("an empty command line");
        T::from_arg_matches(&matches).expect("settings")
    }

    assert_eq!(parsed::<HttpSettings>(), HttpSettings::default());
    assert_eq!(parsed::<PageSettings>(), PageSettings::default());
    assert_eq!(parsed::<BrokerSettings>(), BrokerSettings::default());
    assert_eq!(parsed::<GatewaySettings>(), GatewaySettings::default());
    assert_eq!(parsed::<StoreSettings>(), StoreSettings::default());
    assert_eq!(parsed::<ProtocolSettings>(), ProtocolSettings::default());
    assert_eq!(parsed::<WorkerProtocolSettings>(), WorkerProtocolSettings::default());
    assert_eq!(parsed::<ActionsSettings>(), ActionsSettings::default());
    #[cfg(feature = "otel")]
    assert_eq!(parsed::<TraceSettings>(), TraceSettings::default());
    assert_eq!(parsed::<SelectionSettings>(), SelectionSettings::default());
}
