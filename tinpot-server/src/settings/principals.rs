//! The limits of each user and program.

use tinpot_core::ProtocolConfig;
use tinpot_http::PrincipalLimits;

/// The limits of each user and program. They apply neither to the only user of `tinpot dev` nor to
/// clients of a server without authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct PrincipalSettings {
    /// The maximum number of requests of each user or program per second; 0 for no limit.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_RATE",
            value_name = "NUMBER",
            default_value_t = PrincipalSettings::default().limit_rate
        )
    )]
    pub limit_rate: u32,
    /// The maximum number of requests of each user or program in a burst.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_BURST",
            value_name = "NUMBER",
            value_parser = clap::value_parser!(u32).range(1..),
            default_value_t = PrincipalSettings::default().limit_burst
        )
    )]
    pub limit_burst: u32,
    /// The maximum number of concurrent requests of each user or program.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_CONCURRENT",
            value_name = "NUMBER",
            value_parser = clap::value_parser!(u32).range(1..),
            default_value_t = PrincipalSettings::default().limit_concurrent
        )
    )]
    pub limit_concurrent: u32,
    /// The maximum number of open streams of each user or program.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_STREAMS",
            value_name = "NUMBER",
            value_parser = clap::value_parser!(u32).range(1..),
            default_value_t = PrincipalSettings::default().limit_streams
        )
    )]
    pub limit_streams: u32,
    /// The maximum number of concurrent log searches of each user or program.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_SEARCHES",
            value_name = "NUMBER",
            value_parser = clap::value_parser!(u32).range(1..),
            default_value_t = PrincipalSettings::default().limit_searches
        )
    )]
    pub limit_searches: u32,
    /// The maximum number of requests of each user or program that wait for the end of an
    /// execution.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_WAITING",
            value_name = "NUMBER",
            value_parser = clap::value_parser!(u32).range(1..),
            default_value_t = PrincipalSettings::default().limit_waiting
        )
    )]
    pub limit_waiting: u32,
    /// The maximum number of unfinished executions of each user or program.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_UNFINISHED",
            value_name = "NUMBER",
            default_value_t = PrincipalSettings::default().limit_unfinished
        )
    )]
    pub limit_unfinished: u64,
    /// The maximum total size of the parameters of the unfinished executions of each user or
    /// program, in bytes or like 1G.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_UNFINISHED_SIZE",
            value_name = "SIZE",
            value_parser = super::value::size,
            default_value = "4G"
        )
    )]
    pub limit_unfinished_size: u64,
}

impl Default for PrincipalSettings {
    fn default() -> Self {
        let (limits, config) = (PrincipalLimits::default(), ProtocolConfig::default());
        Self {
            limit_rate: limits.requests_per_second,
            limit_burst: limits.burst,
            limit_concurrent: limits.concurrent,
            limit_streams: limits.streams,
            limit_searches: limits.searches,
            limit_waiting: limits.waiting,
            limit_unfinished: config.max_unfinished_of_caller as u64,
            limit_unfinished_size: config.max_unfinished_bytes_of_caller,
        }
    }
}

impl PrincipalSettings {
    /// Returns the limits of requests.
    pub fn limits(&self) -> PrincipalLimits {
        PrincipalLimits::default()
            .requests_per_second(self.limit_rate)
            .burst(self.limit_burst)
            .concurrent(self.limit_concurrent)
            .streams(self.limit_streams)
            .searches(self.limit_searches)
            .waiting(self.limit_waiting)
    }

    /// Sets the limits of executions in a configuration.
    pub(crate) fn limit(&self, config: ProtocolConfig) -> ProtocolConfig {
        let executions = usize::try_from(self.limit_unfinished).unwrap_or(usize::MAX);
        config
            .max_unfinished_of_caller(executions)
            .max_unfinished_bytes_of_caller(self.limit_unfinished_size)
    }
}
