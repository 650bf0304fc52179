//! Reads the server's log: `2026-11-21 18:36:00 0 [Note] words`, its times in UTC as it was started.

use crate::model::log::{LogEntry, LogLevel};
use time::{PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// The hour has a space before it where it has one digit.
const TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour padding:space]:[minute]:[second]");
/// How long such a time is.
const LENGTH: usize = 19;

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
    let (when, rest) = line.split_at_checked(LENGTH)?;
    let at = PrimitiveDateTime::parse(when, TIME).ok()?.assume_utc();
    // The session's number says nothing to anybody.
    let (_, rest) = rest.trim_start().split_once(' ')?;
    let (mark, words) = rest.strip_prefix('[')?.split_once("] ")?;
    let level = match mark {
        "Warning" => LogLevel::Warning,
        "ERROR" => LogLevel::Error,
        _ => LogLevel::Info,
    };
    Some(LogEntry { at: Some(at), level, by: String::new(), text: words.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "the end of a line that was cut
2026-11-21 18:36:00 0 [Note] InnoDB: Using io_uring
2026-11-21  1:47:13 0 [Note] /usr/sbin/mariadbd: ready for connections.
Version: '10.11.19-MariaDB'  port: 3306
2026-11-21 18:36:02 12 [Warning] Access denied for user 'x'@'127.0.0.1'
2026-11-21 18:36:03 0 [ERROR] Aborting

";

    #[test]
    fn lines_become_entries_with_what_belongs_to_them() {
        let entries = entries(LOG);
        let said: Vec<_> = entries.iter().map(|e| (e.level, e.text.as_str())).collect();
        assert_eq!(
            said,
            [
                (LogLevel::Info, "InnoDB: Using io_uring"),
                (LogLevel::Info, "/usr/sbin/mariadbd: ready for connections.\nVersion: '10.11.19-MariaDB'  port: 3306"),
                (LogLevel::Warning, "Access denied for user 'x'@'127.0.0.1'"),
                (LogLevel::Error, "Aborting"),
            ]
        );
        assert_eq!(entries[1].at.unwrap().unix_timestamp(), 1_795_225_633);
        assert!(super::entries("").is_empty());
    }

    #[test]
    fn what_is_no_such_line_is_shown_as_it_is() {
        let entries = entries("mariadbd: unknown variable 'x'\nmore");
        assert_eq!((entries.len(), entries[0].at, entries[0].text.lines().count()), (1, None, 2));
    }
}
