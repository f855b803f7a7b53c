//! Times for people: the local time of this machine, or UTC.
//!
//! Programs get the times of the API, which are UTC.

mod moment;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

pub(crate) use self::moment::{Moment, since, until};

/// The time zone in which times are shown.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    zone: TimeZone,
}

impl Clock {
    /// Returns the clock of UTC, or of this machine: that of `TZ`, otherwise of the system.
    pub(crate) fn new(utc: bool) -> Self {
        Self { zone: if utc { TimeZone::UTC } else { local() } }
    }

    /// Returns a time of the API to the second; UTC has a `Z`.
    pub(crate) fn short(&self, time: &str) -> String {
        self.form(time, "%Y-%m-%d %H:%M:%S", "")
    }

    /// Returns a time of the API in few characters: the time of today, the day and time of this
    /// year, or the date.
    pub(crate) fn brief(&self, time: &str) -> String {
        let now = Timestamp::now().to_zoned(self.zone.clone());
        let form = match time.parse::<Timestamp>().map(|time| time.to_zoned(self.zone.clone())) {
            Ok(time) if time.date() == now.date() => "%H:%M:%S",
            Ok(time) if time.year() == now.year() => "%m-%d %H:%M",
            _ => return self.form(time, "%Y-%m-%d", ""),
        };
        self.form(time, form, "")
    }

    /// Returns a time of the API to the second, with the offset from UTC.
    pub(crate) fn full(&self, time: &str) -> String {
        self.form(time, "%Y-%m-%d %H:%M:%S", " %:z")
    }

    /// Returns a time of the API to the millisecond, with the offset from UTC.
    pub(crate) fn precise(&self, time: &str) -> String {
        self.form(time, "%Y-%m-%dT%H:%M:%S%.3f", "%:z")
    }

    /// Returns a time in a form; a text that is no time stays as it is.
    fn form(&self, time: &str, form: &str, offset: &str) -> String {
        let Ok(time) = time.parse::<Timestamp>() else { return time.to_owned() };
        let time = Zoned::new(time, self.zone.clone());
        let offset = if self.zone == TimeZone::UTC { "Z" } else { offset };
        time.strftime(&format!("{form}{offset}")).to_string()
    }
}

/// Returns the time zone of this machine; UTC if it has none.
fn local() -> TimeZone {
    match TimeZone::try_system() {
        // A zone without a name for "no offset" is UTC too, and is shown as such.
        Ok(zone) if matches!(zone.iana_name(), Some("UTC" | "Etc/UTC" | "Etc/Unknown")) => {
            TimeZone::UTC
        }
        Ok(zone) => zone,
        Err(_) => TimeZone::UTC,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};

    use super::Clock;

    #[test]
    fn a_time_is_local_and_says_so_where_it_may_be_copied() {
        let clock = Clock { zone: TimeZone::fixed(Offset::constant(2)) };
        let time = "2026-12-24T23:00:00.123456Z";
        assert_eq!(clock.short(time), "2026-12-25 01:00:00");
        assert_eq!(clock.full(time), "2026-12-25 01:00:00 +02:00");
        assert_eq!(clock.precise(time), "2026-12-25T01:00:00.123+02:00");
        let clock = Clock::new(true);
        assert_eq!(clock.short(time), "2026-12-24 23:00:00Z");
        assert_eq!(clock.full(time), "2026-12-24 23:00:00Z");
        assert_eq!(clock.precise(time), "2026-12-24T23:00:00.123Z");
        assert_eq!(clock.short("soon"), "soon");
        assert_eq!(clock.brief("2020-12-24T23:00:00Z"), "2020-12-24Z");
        assert_eq!(clock.brief(&jiff::Timestamp::now().to_string()).len(), "23:00:00Z".len());
    }
}
