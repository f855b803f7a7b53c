//! Formats of texts. Strict where a value cannot exist (February 30), and lenient where people and
//! programs write a value in several ways.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::upload::is_reference;

/// Returns true if a text has the format.
pub(super) type Check = fn(&str) -> bool;

/// The formats that are checked.
const FORMATS: [(&str, Check); 13] = [
    ("date", is_date),
    ("time", is_time),
    ("date-time", is_date_time),
    ("duration", is_duration),
    ("uuid", is_uuid),
    ("decimal", is_decimal),
    ("path", is_path),
    // The bytes themselves, or the text that stands for an upload.
    ("base64", |text| is_base64(text) || is_reference(text)),
    ("email", is_email),
    ("hostname", is_hostname),
    ("ipv4", |text| text.parse::<Ipv4Addr>().is_ok()),
    ("ipv6", |text| text.parse::<Ipv6Addr>().is_ok()),
    ("uri", is_uri),
];

/// Returns the check of a format, if it is one that is checked.
pub(super) fn check_of(format: &str) -> Option<Check> {
    FORMATS.iter().find(|(name, _)| *name == format).map(|(_, check)| *check)
}

/// Returns the description of a format.
pub(super) fn wanted(format: &str) -> &'static str {
    match format {
        "date" => "a date such as 2024-12-31",
        "time" => "a time such as 13:45:30",
        "date-time" => "a date and time such as 2024-12-31T13:45:30Z",
        "duration" => "a duration such as PT1H30M",
        "uuid" => "a UUID such as 123e4567-e89b-12d3-a456-426614174000",
        "decimal" => "a decimal number such as 12.50",
        "path" => "a path",
        "base64" => "base64",
        "email" => "an e-mail address",
        "hostname" => "a host name",
        "ipv4" => "an IPv4 address",
        "ipv6" => "an IPv6 address",
        "uri" => "a URI",
        _ => "text in its format",
    }
}

fn digits(text: &str) -> Option<u32> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// Returns true for two digits up to `max`.
fn two(text: &str, max: u32) -> bool {
    text.len() == 2 && digits(text).is_some_and(|number| number <= max)
}

/// Returns true for `YYYY-MM-DD` with an existing day, from the year 1 on.
pub(super) fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (digits(year), digits(month), digits(day)) else {
        return false;
    };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    year > 0 && (1..=days).contains(&day)
}

/// Returns true for `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`, with or without `Z` or an offset.
/// Leap seconds are refused, since most programs cannot represent them.
fn is_time(text: &str) -> bool {
    let (clock, zone) = match text.find(['Z', '+', '-']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    is_clock(clock) && is_zone(zone)
}

fn is_clock(text: &str) -> bool {
    let mut parts = text.split(':');
    let (Some(hour), Some(minute)) = (parts.next(), parts.next()) else { return false };
    let second = match parts.next() {
        None => true,
        Some(second) => match second.split_once('.') {
            None => two(second, 59),
            Some((second, fraction)) => {
                two(second, 59) && fraction.len() <= 6 && digits(fraction).is_some()
            }
        },
    };
    two(hour, 23) && two(minute, 59) && second && parts.next().is_none()
}

fn is_zone(text: &str) -> bool {
    if matches!(text, "" | "Z") {
        return true;
    }
    let offset = text.strip_prefix(['+', '-']).and_then(|offset| offset.split_once(':'));
    offset.is_some_and(|(hours, minutes)| two(hours, 23) && two(minutes, 59))
}

/// Returns true for a date and a time, separated by `T` or a space.
fn is_date_time(text: &str) -> bool {
    text.split_once(['T', ' ']).is_some_and(|(date, time)| is_date(date) && is_time(time))
}

/// Returns true for ISO 8601: `P3W`, `P1DT12H`, `PT0.5S`, with an optional minus in front. Years and
/// months are refused, since their length varies.
fn is_duration(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let Some(text) = text.strip_prefix('P') else { return false };
    let (days, times) = match text.split_once('T') {
        Some((days, times)) => (days, Some(times)),
        None => (text, None),
    };
    let whole = |days: &str| parts_in_order(days, "WD");
    match times {
        Some(times) => !times.is_empty() && whole(days) && parts_in_order(times, "HMS"),
        None => !days.is_empty() && whole(days),
    }
}

/// Returns true for numbers that each have one of the units behind them, in the order of the units
/// and each at most once. The last number may have a fraction.
fn parts_in_order(mut text: &str, mut units: &str) -> bool {
    while !text.is_empty() {
        let Some(end) = text.find(|c: char| c.is_ascii_uppercase()) else { return false };
        let (number, rest) = text.split_at(end);
        let unit = &rest[..1];
        text = &rest[1..];
        let Some(at) = units.find(unit) else { return false };
        units = &units[at + 1..];
        let fits = match number.split_once('.') {
            Some((whole, fraction)) => {
                text.is_empty() && digits(whole).is_some() && digits(fraction).is_some()
            }
            None => digits(number).is_some(),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Returns true for 32 hexadecimal digits with four hyphens between them.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// Returns true for `-12.50` and `1e3`, and false for `NaN` and `Infinity`.
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let all_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        digits.len() <= 6 && all_digits(digits)
    });
    all_digits(whole) && all_digits(fraction) && exponent
}

fn is_path(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

/// Returns true for base64 of RFC 4648, with padding and without line ends.
fn is_base64(text: &str) -> bool {
    let data = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - data.len() <= 2
        && data.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// Returns true for a mail address of RFC 5321: no comments, no line ends, at most 254 bytes.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let local_fits = if quoted {
        !local[1..local.len() - 1].contains(['"', '\\']) && !local.contains(char::is_control)
    } else {
        local.split('.').all(|atom| {
            !atom.is_empty()
                && atom.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c))
        })
    };
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let domain_fits = match literal {
        Some(address) => match address.strip_prefix("IPv6:") {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => address.parse::<Ipv4Addr>().is_ok(),
        },
        None => is_domain(domain),
    };
    text.len() <= 254 && local.len() <= 64 && local_fits && domain_fits
}

/// Returns true for a host name of RFC 1123, without a dot at its end.
fn is_hostname(text: &str) -> bool {
    text.is_ascii() && is_domain(text)
}

/// Returns true for labels of 1 to 63 letters, digits and hyphens, separated by dots. Letters may be
/// of any script.
fn is_domain(text: &str) -> bool {
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text.len() <= 253 && text.split('.').all(label_fits)
}

/// Returns true for an absolute URI of RFC 3986: a scheme, a colon, and valid characters.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (hierarchy, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match hierarchy.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", hierarchy),
    };
    scheme_fits
        && is_authority(authority)
        && has_only(path, ":@/")
        && has_only(query, ":@/?")
        && has_only(fragment, ":@/?")
}

/// Returns true for `user@host:port`, where the host may be an IPv6 address in brackets.
fn is_authority(text: &str) -> bool {
    let (user, place) = text.rsplit_once('@').unwrap_or(("", text));
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            ("", port)
        }
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port_fits = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    has_only(user, ":") && has_only(host, "") && port_fits
}

/// Returns true if the text has only unreserved characters, sub-delimiters, percent-encoded bytes
/// and those of `more`.
fn has_only(text: &str, more: &str) -> bool {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let fits = if c == '%' {
            let digits = (rest.next(), rest.next());
            matches!(digits, (Some(a), Some(b)) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
        } else {
            c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c) || more.contains(c)
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::FORMATS;

    #[test]
    fn formats_accept_valid_texts_only() {
        let rows: [(&str, &[&str], &[&str]); 11] = [
            (
                "date",
                &["2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"],
                &[
                    "2023-02-29",
                    "1900-02-29",
                    "2024-02-30",
                    "2024-04-31",
                    "2024-13-01",
                    "2024-00-01",
                    "2024-01-00",
                    "0000-01-01",
                    "2024-1-1",
                    "20240101",
                    "2024-01-01T00:00",
                    "",
                    "+024-01-01",
                    "2024-01-01 ",
                ],
            ),
            (
                "time",
                &[
                    "00:00",
                    "23:59:59",
                    "13:45:30.123456",
                    "13:45Z",
                    "13:45:30+05:30",
                    "13:45:30.5-08:00",
                ],
                &[
                    "24:00",
                    "12:60",
                    "12:00:60",
                    "12",
                    "1:00",
                    "12:00:00.",
                    "12:00+5",
                    "12:00+05:60",
                    "12:00:00:00",
                    "",
                ],
            ),
            (
                "date-time",
                &["2024-12-31T23:59:59Z", "2024-12-31T10:00", "2024-12-31 10:00:00.5+01:00"],
                &[
                    "2024-02-30T10:00:00Z",
                    "2024-12-31",
                    "2024-12-31T",
                    "T10:00",
                    "2024-12-31T25:00",
                    "tomorrow",
                ],
            ),
            (
                "duration",
                &["PT1H30M", "P1D", "P3W", "P1DT12H", "PT0.5S", "-PT5M", "PT36H", "P1W2DT3H4M5.6S"],
                &[
                    "", "P", "PT", "1H", "P1H", "PT1D", "P1DT", "PT1M1H", "PT1.5H1M", "P1Y", "P1M",
                    "PT-1H", "PTH", "PT1", "PT1ä",
                ],
            ),
            (
                "uuid",
                &["123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"],
                &[
                    "",
                    "123e4567-e89b-12d3-a456-42661417400",
                    "123e4567e89b12d3a456426614174000",
                    "{123e4567-e89b-12d3-a456-426614174000}",
                    "urn:uuid:123e4567-e89b-12d3-a456-426614174000",
                    "x23e4567-e89b-12d3-a456-426614174000",
                ],
            ),
            (
                "decimal",
                &["0", "-12.50", "+1", "1e3", "1.5E-10", "123456789012345678901234567890.1"],
                &[
                    "",
                    ".",
                    "-",
                    "1,5",
                    "NaN",
                    "Infinity",
                    "1e",
                    "1e1234567",
                    ".5",
                    "5.",
                    "0x10",
                    "1 ",
                    "١",
                ],
            ),
            ("path", &["/tmp/x", "relative", "with space"], &["", "nul\0byte"]),
            (
                "base64",
                &[
                    "",
                    "YQ==",
                    "YWI=",
                    "YWJj",
                    "+/+/",
                    "upload:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                ],
                &["upload:12", "YQ", "YQ=", "Y===", "====", "YW=j", "YQ==\n", "_-_-"],
            ),
            (
                "email",
                &["a@b.org", "a.b+c@example.org", "\"a b\"@x.org", "a@[127.0.0.1]", "ä@ö.org"],
                &[
                    "",
                    "a",
                    "@b.org",
                    "a@",
                    ".a@b.org",
                    "a..b@c.org",
                    "a b@c.org",
                    "a@b..c",
                    "a@-b.org",
                ],
            ),
            (
                "hostname",
                &["a", "example.org", "a-b.c", "1.2.3.4"],
                &["", ".", "a.", "-a", "a-", "a_b", "ä.org", "a b"],
            ),
            (
                "uri",
                &[
                    "https://example.org/a?b=c#d",
                    "mailto:a@b.org",
                    "http://user:pw@[::1]:8080/",
                    "urn:a:b",
                    "file:///tmp/%C3%A4",
                ],
                &[
                    "",
                    "example.org",
                    "/a",
                    "1a:b",
                    "http://a b",
                    "http://[::1",
                    "http://a/%zz",
                    "http://a/{b}",
                    "http://a:x/",
                    "http://ä.org",
                ],
            ),
        ];
        for (name, good, bad) in rows {
            let (_, check) = FORMATS.iter().find(|(other, _)| *other == name).expect(name);
            good.iter().for_each(|text| assert!(check(text), "{name}: {text:?}"));
            bad.iter().for_each(|text| assert!(!check(text), "{name}: {text:?}"));
        }
    }
}
