//! Times, sizes and durations as words.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// "just now", "5 min ago", "3 h ago", "2 days ago": so many seconds ago.
#[must_use]
pub fn relative(seconds: i64) -> String {
    match seconds {
        s if s < 0 => "in a moment".to_owned(),
        0..=9 => "just now".to_owned(),
        s @ 10..=59 => format!("{s} s ago"),
        s @ 60..=3599 => format!("{} min ago", s / 60),
        s @ 3600..=86_399 => format!("{} h ago", s / 3600),
        s @ 86_400..=172_799 => format!("{} day ago", s / 86_400),
        s => format!("{} days ago", s / 86_400),
    }
}

/// Exact time in UTC, for `title` and `datetime`.
#[must_use]
pub fn exact(then: OffsetDateTime) -> String {
    then.replace_nanosecond(0).unwrap_or(then).to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

/// "2026-11-21 18:36:00.123" in UTC, for lines of a log.
#[must_use]
pub fn clock(then: OffsetDateTime) -> String {
    let utc = then.to_offset(time::UtcOffset::UTC);
    format!("{} {:02}:{:02}:{:02}.{:03}", utc.date(), utc.hour(), utc.minute(), utc.second(), utc.millisecond())
}

/// "412 ms", "3.2 s", "2 min 5 s".
#[must_use]
pub fn duration(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms} ms"),
        1000..=59_999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// "512 MB", "4 GB": RAM as flavors name it.
#[must_use]
pub fn ram(mb: u64) -> String {
    if mb >= 1024 && mb.is_multiple_of(1024) { format!("{} GB", mb / 1024) } else { format!("{mb} MB") }
}

/// "23.4 MB", "1.2 GB": bytes as people read them, powers of 1024.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut whole = n;
    let mut tenth = 0;
    while whole >= 1024 && unit < UNITS.len() - 1 {
        tenth = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{tenth} {}", UNITS[unit]) }
}

/// "1 node", "3 nodes".
#[must_use]
pub fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KB");
        assert_eq!(bytes(5 * 1024 * 1024 * 1024), "5.0 GB");
        assert_eq!(ram(512), "512 MB");
        assert_eq!(ram(16384), "16 GB");
        assert_eq!(duration(412), "412 ms");
        assert_eq!(duration(3250), "3.2 s");
        assert_eq!(duration(125_000), "2 min 5 s");
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(40);
        assert_eq!(relative(5 * 60), "5 min ago");
        assert_eq!(relative(2 * 86_400), "2 days ago");
        assert_eq!(exact(now), "1970-02-10T00:00:00Z");
        assert_eq!(clock(now + Duration::milliseconds(61_042)), "1970-02-10 00:01:01.042");
    }
}
