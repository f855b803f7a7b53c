//! Requests in the JSON form of OTLP: `ExportTraceServiceRequest` of `opentelemetry-proto`, with ids in
//! hexadecimal and 64-bit integers as text.

use serde::Serialize;

use crate::span::{Span, Value};

/// The `code` of the status of an error.
const ERROR: u8 = 2;
/// The name and the version of what makes the spans.
const SCOPE: Scope = Scope { name: "tinpot", version: env!("CARGO_PKG_VERSION") };

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<SpanJson<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<StatusJson<'a>>,
}

#[derive(Serialize)]
struct StatusJson<'a> {
    code: u8,
    message: &'a str,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'a str,
    value: AnyValue<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum AnyValue<'a> {
    StringValue(&'a str),
    IntValue(String),
}

impl<'a> From<&'a Span> for SpanJson<'a> {
    fn from(span: &'a Span) -> Self {
        let context = span.place.context;
        let value = |value: &'a Value| match value {
            Value::Text(text) => AnyValue::StringValue(text),
            Value::Number(number) => AnyValue::IntValue(number.to_string()),
        };
        let attributes = span.attributes.iter();
        Self {
            trace_id: format!("{:032x}", context.trace_id()),
            span_id: id(context.span_id()),
            parent_span_id: span.place.parent.map(id),
            name: &span.name,
            kind: span.kind as u8,
            start_time_unix_nano: nanos(span.start.as_micros()),
            end_time_unix_nano: nanos(span.end.as_micros()),
            attributes: attributes.map(|(key, of)| Attribute { key, value: value(of) }).collect(),
            status: span.error.as_deref().map(|message| StatusJson { code: ERROR, message }),
        }
    }
}

fn id(span: u64) -> String {
    format!("{span:016x}")
}

fn nanos(micros: u64) -> String {
    (u128::from(micros) * 1_000).to_string()
}

/// Returns the body of a request with these spans of this resource.
pub(crate) fn request(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let attributes = resource.iter();
    let attributes = attributes
        .map(|(key, value)| Attribute { key, value: AnyValue::StringValue(value) })
        .collect();
    let spans = spans.iter().map(SpanJson::from).collect();
    let scope_spans = [ScopeSpans { scope: SCOPE, spans }];
    let request = Request {
        resource_spans: [ResourceSpans { resource: Resource { attributes }, scope_spans }],
    };
    // Texts and numbers only, so this never fails.
    serde_json::to_vec(&request).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tinpot_core::{Sampling, Timestamp};

    use super::request;
    use crate::span::{Kind, Span};

    #[test]
    fn a_request_has_the_form_of_otlp() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
        let place = Sampling::always().of_request(parent);
        let mut span = Span::new(place, Kind::Server, "POST /x".to_owned())
            .times(Timestamp(1_700_000_000_000_001), Timestamp(5))
            .text("http.route", "/x")
            .number("http.response.status_code", 500);
        span.error = Some("a \"quoted\" message".to_owned());
        let resource = [("service.name".to_owned(), "tinpot".to_owned())];
        let text = String::from_utf8(request(&resource, &[span])).expect("UTF-8");
        let id = format!("{:016x}", place.context.span_id());
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"tinpot"}}}}]}},"scopeSpans":[{{"scope":{{"name":"tinpot","version":"{version}"}},"spans":[{{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"{id}","parentSpanId":"00f067aa0ba902b7","name":"POST /x","kind":2,"startTimeUnixNano":"1700000000000001000","endTimeUnixNano":"1700000000000001000","attributes":[{{"key":"http.route","value":{{"stringValue":"/x"}}}},{{"key":"http.response.status_code","value":{{"intValue":"500"}}}}],"status":{{"code":2,"message":"a \"quoted\" message"}}}}]}}]}}]}}"#
        );
        assert_eq!(text, expected);
    }
}
