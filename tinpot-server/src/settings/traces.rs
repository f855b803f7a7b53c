//! The export of traces, by the variables of OpenTelemetry.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use tinpot_core::{Error, ErrorKind, Result, Sampling};
use tinpot_otel::{SpanExporter, pairs};

/// The path of a collector for traces.
const PATH: &str = "/v1/traces";

/// The export of traces.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct TraceSettings {
    /// Export traces to the OpenTelemetry collector at this URL, like http://127.0.0.1:4318, by
    /// OTLP/HTTP with JSON; spans go to its path /v1/traces.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")
    )]
    pub otlp_endpoint: Option<String>,
    /// Export traces to exactly this URL, whose path is that for traces.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL")
    )]
    pub otlp_traces_endpoint: Option<String>,
    /// The headers of requests to the collector, like api-key=VALUE, separated by commas. On the
    /// command line they are refused.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "OTEL_EXPORTER_OTLP_HEADERS",
            value_name = "NAME=VALUE",
            hide_env_values = true
        )
    )]
    pub otlp_headers: Option<OtlpHeaders>,
    /// The name of this program in traces; tinpot-coordinator, tinpot-worker, tinpot-tower or
    /// tinpot-dev by default.
    #[cfg_attr(feature = "clap", arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME"))]
    pub otel_service_name: Option<String>,
    /// The traces to export: always_on, always_off, traceidratio, or one of these with the prefix
    /// parentbased_, which follows the decision of the submitter, if there is one;
    /// parentbased_always_on by default.
    #[cfg_attr(feature = "clap", arg(long, env = "OTEL_TRACES_SAMPLER", value_name = "NAME"))]
    pub otel_traces_sampler: Option<String>,
    /// The share of the traces that traceidratio exports, from 0 to 1; 1 by default.
    #[cfg_attr(feature = "clap", arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "SHARE"))]
    pub otel_traces_sampler_arg: Option<String>,
}

/// Headers as text, which may have credentials. Its `Debug` form leaves out the text.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpHeaders(String);

impl FromStr for OtlpHeaders {
    // A text that is malformed is an error of the start, which does not repeat it.
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for OtlpHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpHeaders").finish_non_exhaustive()
    }
}

/// Returns a value, unless it is empty: a variable that is set to nothing counts as not set.
fn given(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|text| !text.is_empty())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

impl TraceSettings {
    /// Starts the export, unless the settings name no collector or turn it off. `program` is the name
    /// of the service by default, and `variable` returns further variables of OpenTelemetry.
    ///
    /// # Errors
    /// `InvalidInput` for a value that cannot be used.
    pub(crate) fn start(
        &self,
        program: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<(SpanExporter, Sampling)>> {
        let is_off = |name: &str, off: &str| {
            given(variable(name).as_deref()).is_some_and(|value| value.eq_ignore_ascii_case(off))
        };
        let Some(url) = self.url() else { return Ok(None) };
        if is_off("OTEL_SDK_DISABLED", "true") || is_off("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        for name in ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] {
            if is_off(name, "grpc") {
                tracing::warn!(
                    "{name} is grpc, and traces are exported by HTTP: name the collector's port for \
                     HTTP, which is 4318 in most cases"
                );
            }
        }
        let sampling = self.sampling()?;
        let mut builder = SpanExporter::builder(url).service(program);
        if let Some(text) = given(variable("OTEL_RESOURCE_ATTRIBUTES").as_deref()) {
            let attributes = pairs(text).map_err(|e| e.with_context("OTEL_RESOURCE_ATTRIBUTES"))?;
            builder = attributes
                .into_iter()
                .fold(builder, |builder, (name, value)| builder.attribute(name, value));
        }
        if let Some(name) = given(self.otel_service_name.as_deref()) {
            builder = builder.service(name);
        }
        let headers = self.otlp_headers.as_ref().map_or("", |headers| &headers.0);
        let headers = pairs(headers).map_err(|e| e.with_context("OTEL_EXPORTER_OTLP_HEADERS"))?;
        let builder =
            headers.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value));
        Ok(Some((builder.start()?, sampling)))
    }

    /// Returns the URL for traces.
    fn url(&self) -> Option<String> {
        if let Some(url) = given(self.otlp_traces_endpoint.as_deref()) {
            return Some(url.to_owned());
        }
        let base = given(self.otlp_endpoint.as_deref())?;
        Some(format!("{}{PATH}", base.trim_end_matches('/')))
    }

    fn sampling(&self) -> Result<Sampling> {
        let name = given(self.otel_traces_sampler.as_deref()).unwrap_or("parentbased_always_on");
        let own = name.strip_prefix("parentbased_").unwrap_or(name);
        let sampling = match own {
            "always_on" => Sampling::always(),
            "always_off" => Sampling::never(),
            "traceidratio" => {
                let text = given(self.otel_traces_sampler_arg.as_deref()).unwrap_or("1");
                let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
                Sampling::share(share.ok_or_else(|| {
                    invalid(format!(
                        "--otel-traces-sampler-arg (OTEL_TRACES_SAMPLER_ARG) must be from 0 to 1 \
                         (got {text:?})"
                    ))
                })?)
            }
            _ => {
                return Err(invalid(format!(
                    "--otel-traces-sampler (OTEL_TRACES_SAMPLER) must be always_on, always_off or \
                     traceidratio, or one of these with the prefix parentbased_ (got {name:?})"
                )));
            }
        };
        Ok(if own == name { sampling } else { sampling.parent_based() })
    }
}

#[cfg(test)]
mod tests {
    use tinpot_core::Sampling;

    use super::TraceSettings;

    #[test]
    fn the_variables_mean_what_opentelemetry_says() {
        let url = |endpoint: Option<&str>, traces: Option<&str>| {
            let (otlp_endpoint, otlp_traces_endpoint) =
                (endpoint.map(Into::into), traces.map(Into::into));
            TraceSettings { otlp_endpoint, otlp_traces_endpoint, ..TraceSettings::default() }.url()
        };
        assert_eq!(url(None, None), None);
        assert_eq!(url(Some(""), Some(" ")), None);
        let below = |base| url(Some(base), None).expect("a URL");
        assert_eq!(below("http://host:4318"), "http://host:4318/v1/traces");
        assert_eq!(below("http://host/otlp/"), "http://host/otlp/v1/traces");
        assert_eq!(url(Some("http://a"), Some("http://b/")).as_deref(), Some("http://b/"));

        let sampling = |name: &str, share: &str| {
            TraceSettings {
                otel_traces_sampler: Some(name.to_owned()),
                otel_traces_sampler_arg: Some(share.to_owned()),
                ..TraceSettings::default()
            }
            .sampling()
            .map_err(|error| error.to_string())
        };
        for (name, share, expected) in [
            ("", "", Sampling::always().parent_based()),
            ("always_on", "0.5", Sampling::always()),
            ("parentbased_always_off", "", Sampling::never().parent_based()),
            ("traceidratio", "0.25", Sampling::share(0.25)),
            ("parentbased_traceidratio", "", Sampling::always().parent_based()),
        ] {
            assert_eq!(sampling(name, share), Ok(expected), "{name}");
        }
        for (name, share, named) in [
            ("jaeger_remote", "", "always_on, always_off or traceidratio"),
            ("traceidratio", "2", "from 0 to 1 (got \"2\")"),
            ("traceidratio", "NaN", "from 0 to 1"),
        ] {
            let error = sampling(name, share).expect_err(name);
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_export_can_be_turned_off() {
        let settings = TraceSettings {
            otlp_endpoint: Some("http://127.0.0.1:9".to_owned()),
            ..TraceSettings::default()
        };
        let starts = |name: &'static str, value: &'static str| {
            let variable = move |asked: &str| (asked == name).then(|| value.to_owned());
            settings.start("test", variable).expect("settings").is_some()
        };
        assert!(starts("OTEL_SDK_DISABLED", "false"));
        assert!(!starts("OTEL_SDK_DISABLED", "TRUE"));
        assert!(!starts("OTEL_TRACES_EXPORTER", "none"));
        assert!(starts("OTEL_TRACES_EXPORTER", "otlp"));
    }
}
