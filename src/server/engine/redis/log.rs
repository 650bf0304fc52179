//! Reads the server's log: `4711:M 21 Nov 2026 18:36:00.123 * words`, its times in UTC as it was started.

use crate::model::log::{LogEntry, LogLevel};
use time::{OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[day] [month repr:short case_sensitive:false] [year] [hour]:[minute]:[second].[subsecond digits:3]");
/// Beginnings of what the server says with a warning's mark though it is none: its coming and going.
const ROUTINE: [&str; 8] = [
    "oO0OoO0OoO0Oo Redis is starting",
    "Redis version=",
    "Configuration loaded",
    "Server initialized",
    "User requested shutdown",
    "Redis is now ready to exit",
    "Received SIGTERM",
    "Received SIGINT",
];
/// Beginnings of what says that something failed.
const FAILURES: [&str; 12] = [
    "Fatal",
    "FATAL",
    "Failed",
    "Error",
    "Can't",
    "Could not",
    "Bad file format",
    "Background saving error",
    "Background AOF rewrite terminated",
    "Write error",
    "Out Of Memory",
    "=== REDIS BUG REPORT",
];

/// The entries of a piece of the log, oldest first. Its first line may be the end of one that was cut: lines before the
/// first that has a time are left out where such a line follows.
pub(super) fn entries(text: &str) -> Vec<LogEntry> {
    let mut entries: Vec<LogEntry> = Vec::new();
    let whole = text.lines().position(|line| entry(line).is_some()).unwrap_or(0);
    for line in text.lines().skip(whole).filter(|line| !line.trim().is_empty()) {
        match (entry(line), entries.last_mut()) {
            (Some(entry), _) => entries.push(entry),
            (None, Some(last)) => last.text.extend(["\n", line]),
            (None, None) => entries.push(LogEntry { at: None, level: LogLevel::Info, by: String::new(), text: line.to_owned() }),
        }
    }
    entries
}

fn entry(line: &str) -> Option<LogEntry> {
    let (pid, rest) = line.split_once(':')?;
    pid.parse::<u32>().ok()?;
    if let Some(rest) = rest.strip_prefix("signal-handler (") {
        let (seconds, words) = rest.split_once(") ")?;
        let at = OffsetDateTime::from_unix_timestamp(seconds.parse().ok()?).ok()?;
        return Some(LogEntry { at: Some(at), level: level('#', words), by: String::new(), text: words.to_owned() });
    }
    let (role, rest) = rest.split_once(' ')?;
    let mark = rest.match_indices(' ').nth(3)?.0;
    let (when, rest) = (rest.get(..mark)?, rest.get(mark + 1..)?);
    let at = PrimitiveDateTime::parse(when, TIME).ok()?.assume_utc();
    let (sign, words) = rest.split_once(' ')?;
    let level = level(sign.chars().next()?, words);
    Some(LogEntry { at: Some(at), level, by: if role == "C" { "background".to_owned() } else { String::new() }, text: words.to_owned() })
}

fn level(sign: char, words: &str) -> LogLevel {
    let begins = |beginnings: &[&str]| beginnings.iter().any(|b| words.starts_with(b));
    match sign {
        _ if begins(&FAILURES) => LogLevel::Error,
        '#' if !begins(&ROUTINE) => LogLevel::Warning,
        _ => LogLevel::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "the end of a line that was cut
10:C 21 Nov 2026 18:36:00.123 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo
10:M 01 Nov 2026 18:36:00.500 * Ready to accept connections
10:M 21 Nov 2026 18:36:01.000 # WARNING Memory overcommit must be enabled!
10:M 21 Nov 2026 18:36:02.000 # Can't save in background: fork: Cannot allocate memory
11:C 21 Nov 2026 18:36:03.000 * DB saved on disk
10:signal-handler (1795286164) Received SIGTERM scheduling shutdown...

------ STACK TRACE ------
EIP:
";

    #[test]
    fn lines_become_entries_with_what_belongs_to_them() {
        let entries = entries(LOG);
        let said: Vec<_> = entries.iter().map(|e| (e.level, e.by.as_str(), e.text.as_str())).collect();
        assert_eq!(
            said,
            [
                (LogLevel::Info, "background", "oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo"),
                (LogLevel::Info, "", "Ready to accept connections"),
                (LogLevel::Warning, "", "WARNING Memory overcommit must be enabled!"),
                (LogLevel::Error, "", "Can't save in background: fork: Cannot allocate memory"),
                (LogLevel::Info, "background", "DB saved on disk"),
                (LogLevel::Info, "", "Received SIGTERM scheduling shutdown...\n------ STACK TRACE ------\nEIP:"),
            ]
        );
        assert_eq!(entries[0].at.unwrap().unix_timestamp_nanos(), 1_795_286_160_123_000_000);
        assert_eq!(entries[5].at.unwrap().unix_timestamp(), 1_795_286_164);
        assert!(super::entries("").is_empty());
    }

    #[test]
    fn what_is_no_such_line_is_shown_as_it_is() {
        let entries = entries("*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line 2");
        assert_eq!((entries.len(), entries[0].at, entries[0].text.lines().count()), (1, None, 2));
    }
}
