//! Log events as lines of JSON: `time`, `level`, `msg`, the fields of the event and those of the
//! spans around it, and `target`.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The names that are not those of fields.
const OWN: [&str; 4] = ["time", "level", "msg", "target"];

/// The format of the lines.
#[derive(Debug)]
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let text = extensions.get::<FormattedFields<N>>().map(|fields| fields.fields.as_str());
            if let Some(Ok(of_span)) = text.map(serde_json::from_str::<Map<String, Value>>) {
                of_span.into_iter().for_each(|(name, value)| fields.set(&name, value));
            }
        }
        event.record(&mut fields);
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let level = event.metadata().level().as_str();
        // In this order, which that of a map is not.
        let first = [("time", time.as_str()), ("level", level), ("msg", &fields.message)];
        writer.write_char('{')?;
        for (name, text) in first {
            write!(writer, "\"{name}\":{},", Value::from(text))?;
        }
        for (name, value) in &fields.fields {
            write!(writer, "{}:{value},", Value::from(name.as_str()))?;
        }
        writeln!(writer, "\"target\":{}}}", Value::from(event.metadata().target()))
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    fields: Map<String, Value>,
}

impl Fields {
    fn set(&mut self, name: &str, value: Value) {
        if name == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else if OWN.contains(&name) {
            self.fields.insert(format!("{name}_"), value);
        } else {
            self.fields.insert(name.to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), Value::from(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), Value::from(value));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::fmt::format::JsonFields;

    use super::JsonLines;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_with_its_fields_and_those_of_its_spans() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("attempt", action = "de\"ploy", attempt = 2).entered();
            tracing::warn!(worker = %"w-1", level = 7, "first\nsecond");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("{\"time\":\"20") && text.ends_with("}\n"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        let expected = [
            ("level", Value::from("WARN")),
            ("msg", Value::from("first\nsecond")),
            ("action", Value::from("de\"ploy")),
            ("attempt", Value::from(2)),
            ("worker", Value::from("w-1")),
            ("level_", Value::from(7)),
        ];
        for (name, value) in expected {
            assert_eq!(line[name], value, "{name}: {text}");
        }
    }
}
