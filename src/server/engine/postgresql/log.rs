//! Reads the server's log, which is written as `log_line_prefix` of the configuration says.

use crate::model::log::{LogEntry, LogLevel};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// What a line says about the one before it.
const DETAILS: [&str; 6] = ["DETAIL", "HINT", "QUERY", "CONTEXT", "STATEMENT", "LOCATION"];

/// The entries of a piece of the log, oldest first. Its first line may be the end of one that was cut: lines before the
/// first that has a time are left out where such a line follows.
pub(super) fn entries(text: &str) -> Vec<LogEntry> {
    let mut entries: Vec<LogEntry> = Vec::new();
    let whole = text.lines().position(|line| time_of(line).is_some()).unwrap_or(0);
    for line in text.lines().skip(whole).filter(|line| !line.is_empty()) {
        let Some((at, said)) = time_of(line) else {
            match entries.last_mut() {
                Some(last) => last.text.extend(["\n", line.trim_start_matches('\t')]),
                None => entries.push(LogEntry { at: None, level: LogLevel::Info, by: String::new(), text: line.to_owned() }),
            }
            continue;
        };
        let (by, severity, words) = parts(said);
        match entries.last_mut() {
            Some(last) if DETAILS.contains(&severity) => last.text.extend(["\n", severity, ": ", words]),
            _ => entries.push(LogEntry { at: Some(at), level: level(severity), by: by.to_owned(), text: words.to_owned() }),
        }
    }
    entries
}

/// `2026-11-21 18:36:00.123 UTC [4711] user@database LOG:  …`: when, and what follows the process.
fn time_of(line: &str) -> Option<(OffsetDateTime, &str)> {
    let (when, rest) = line.split_once(" UTC [")?;
    let (_, said) = rest.split_once("] ")?;
    Some((OffsetDateTime::parse(&format!("{}Z", when.replacen(' ', "T", 1)), &Rfc3339).ok()?, said))
}

/// Who was connected, the severity, the words. A name may have spaces: the severity is the word before the first mark.
fn parts(said: &str) -> (&str, &str, &str) {
    let Some((before, words)) = said.split_once(":  ") else { return ("", "", said) };
    let (by, severity) = before.rsplit_once(' ').unwrap_or(("", before));
    (by, severity, words)
}

fn level(severity: &str) -> LogLevel {
    match severity {
        "WARNING" => LogLevel::Warning,
        "ERROR" | "FATAL" | "PANIC" => LogLevel::Error,
        _ => LogLevel::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "the end of a line that was cut
2026-11-21 18:36:00.123 UTC [10] LOG:  database system is ready to accept connections
2026-11-21 18:36:01.000 UTC [11] app@orders ERROR:  relation \"t\" does not exist at character 15
2026-11-21 18:36:01.000 UTC [11] app@orders STATEMENT:  select *
\tfrom t
2026-11-21 18:36:02.000 UTC [12] WARNING:  something:  odd
2026-11-21 18:36:02.500 UTC [13] a b@c FATAL:  no
";

    #[test]
    fn lines_become_entries_with_what_belongs_to_them() {
        let entries = entries(LOG);
        let said: Vec<_> = entries.iter().map(|e| (e.level, e.by.as_str(), e.text.as_str())).collect();
        assert_eq!(
            said,
            [
                (LogLevel::Info, "", "database system is ready to accept connections"),
                (LogLevel::Error, "app@orders", "relation \"t\" does not exist at character 15\nSTATEMENT: select *\nfrom t"),
                (LogLevel::Warning, "", "something:  odd"),
                (LogLevel::Error, "a b@c", "no"),
            ]
        );
        assert_eq!(entries[0].at.unwrap().unix_timestamp_nanos(), 1_795_286_160_123_000_000);
        assert!(super::entries("").is_empty());
    }

    #[test]
    fn what_is_no_such_line_is_shown_as_it_is() {
        let entries = entries("postgres: could not find a configuration\nand more");
        assert_eq!((entries.len(), entries[0].at, entries[0].text.as_str()), (1, None, "postgres: could not find a configuration\nand more"));
    }
}
