//! How numbers and dates are written, by the languages a browser asks for. The words of the pages are English, and so are
//! the digits, in every language: they stand among addresses, versions and names that are read from left to right.
//!
//! A plain table and no library: the pages show few numbers, and the browser side must stay small.

/// Order and separators of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Date {
    /// 2026-11-21, which everybody can read.
    Iso,
    /// Day, month, year with this between them.
    Day(char),
    /// 11/21/2026
    Month,
    /// 2026/11/21
    Year,
}

/// The writing of one reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locale {
    decimal: char,
    group: Option<char>,
    date: Date,
}

/// A space that does not end a line, and a narrow one.
const SPACE: char = '\u{a0}';
const NARROW: char = '\u{202f}';

/// Whoever asks for nothing, or for a language the table does not have.
const NEUTRAL: Locale = Locale { decimal: '.', group: None, date: Date::Iso };

/// Languages, or languages with a region, and how they write. The first entry that is the tag, or its beginning, counts.
const TABLE: &[(&[&str], char, char, Date)] = &[
    (&["en-ca"], '.', ',', Date::Iso),
    (&["en-za"], ',', SPACE, Date::Year),
    (&["en-au", "en-gb", "en-ie", "en-in", "en-nz", "en-sg"], '.', ',', Date::Day('/')),
    (&["en"], '.', ',', Date::Month),
    (&["de-ch", "de-li"], '.', '’', Date::Day('.')),
    (&["de-at"], ',', SPACE, Date::Day('.')),
    (&["da", "de", "is", "ro", "tr"], ',', '.', Date::Day('.')),
    (&["bg", "cs", "et", "fi", "lv", "nb", "nn", "no", "pl", "ru", "sk", "uk"], ',', SPACE, Date::Day('.')),
    (&["hu", "lt", "sv"], ',', SPACE, Date::Iso),
    (&["fr-ca"], ',', SPACE, Date::Iso),
    (&["fr-ch"], ',', NARROW, Date::Day('.')),
    (&["fr"], ',', NARROW, Date::Day('/')),
    (&["es-mx", "es-us"], '.', ',', Date::Day('/')),
    (&["pt-pt"], ',', SPACE, Date::Day('/')),
    (&["el", "es", "id", "it", "pt", "vi"], ',', '.', Date::Day('/')),
    (&["nl"], ',', '.', Date::Day('-')),
    (&["ja", "zh"], '.', ',', Date::Year),
    (&["he"], '.', ',', Date::Day('.')),
    (&["ar", "hi", "th"], '.', ',', Date::Day('/')),
    (&["fa", "ko"], '.', ',', Date::Iso),
];

impl Default for Locale {
    fn default() -> Self {
        NEUTRAL
    }
}

impl Locale {
    /// That of the language a browser likes best among those the table has; `header` is its `Accept-Language`.
    #[must_use]
    pub fn of(header: &str) -> Self {
        let mut asked: Vec<(&str, u32)> = header.split(',').filter_map(asked).collect();
        // Stable: of those that are liked as much as each other, the first comes first.
        asked.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        asked.iter().find_map(|(tag, _)| known(tag)).unwrap_or(NEUTRAL)
    }

    /// That of a reader whose decimal mark is this one: all that the browser side must know.
    #[must_use]
    pub fn with_decimal(decimal: &str) -> Self {
        Self { decimal: decimal.chars().next().unwrap_or('.'), ..NEUTRAL }
    }

    /// The decimal mark.
    #[must_use]
    pub fn decimal(self) -> String {
        self.decimal.to_string()
    }

    /// Words in which numbers have a point, such as `3.2 s`, with this reader's mark. Not for versions or addresses.
    #[must_use]
    pub fn words(self, english: &str) -> String {
        english.replace('.', self.decimal.encode_utf8(&mut [0; 4]))
    }

    /// A whole number, in groups of three digits.
    #[must_use]
    pub fn whole(self, n: u64) -> String {
        let digits = n.to_string();
        let Some(group) = self.group.filter(|_| n >= 10_000) else { return digits };
        let mut out = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                out.push(group);
            }
            out.push(digit);
        }
        out
    }

    /// A day, from `YYYY-MM-DD`. What is no such day stays as it is.
    #[must_use]
    pub fn day(self, iso: &str) -> String {
        let parts: Vec<&str> = iso.split('-').collect();
        let &[year, month, day] = parts.as_slice() else { return iso.to_owned() };
        match self.date {
            Date::Iso => iso.to_owned(),
            Date::Day(mark) => format!("{day}{mark}{month}{mark}{year}"),
            Date::Month => format!("{month}/{day}/{year}"),
            Date::Year => format!("{year}/{month}/{day}"),
        }
    }
}

/// One language of the header and how much it is liked, in thousandths; `None` when it is not wanted at all.
fn asked(part: &str) -> Option<(&str, u32)> {
    let mut words = part.split(';').map(str::trim);
    let tag = words.next().filter(|tag| !tag.is_empty())?;
    let weight = match words.find_map(|word| word.strip_prefix("q=")) {
        None => 1000,
        Some(q) => thousandths(q)?,
    };
    (weight > 0).then_some((tag, weight))
}

/// `0.8` is 800.
fn thousandths(q: &str) -> Option<u32> {
    let (whole, part) = q.split_once('.').unwrap_or((q, ""));
    let part: u32 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    Some((whole.parse::<u32>().ok()?.min(1) * 1000 + part).min(1000))
}

fn known(tag: &str) -> Option<Locale> {
    let tag = tag.to_ascii_lowercase().replace('_', "-");
    let matches = |entry: &str| tag.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let (_, decimal, group, date) = TABLE.iter().find(|(tags, ..)| tags.iter().any(|entry| matches(entry)))?;
    Some(Locale { decimal: *decimal, group: Some(*group), date: *date })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates_follow_the_languages_that_are_asked_for() {
        for (header, small, large, day) in [
            ("de-DE,de;q=0.9,en;q=0.8", "3,2 s", "1.234.567", "21.11.2026"),
            ("en-GB", "3.2 s", "1,234,567", "21/11/2026"),
            ("en-US,en;q=0.5", "3.2 s", "1,234,567", "11/21/2026"),
            ("sv", "3,2 s", "1\u{a0}234\u{a0}567", "2026-11-21"),
            // Digits stay those of the page's words and addresses.
            ("ar-EG", "3.2 s", "1,234,567", "21/11/2026"),
            ("fa-IR", "3.2 s", "1,234,567", "2026-11-21"),
            ("", "3.2 s", "1234567", "2026-11-21"),
            ("tlh", "3.2 s", "1234567", "2026-11-21"),
        ] {
            let it = Locale::of(header);
            assert_eq!((it.words("3.2 s").as_str(), it.whole(1_234_567).as_str(), it.day("2026-11-21").as_str()), (small, large, day), "{header}");
            assert_eq!(Locale::with_decimal(&it.decimal()).words("3.2 s"), small, "{header}: the browser writes as the server does");
        }
    }

    #[test]
    fn the_best_liked_language_that_is_known_counts() {
        for (header, like) in [
            ("en-GB;q=0.3, sv;q=0.9", "sv"),
            ("tlh, de;q=0.1", "de"),
            ("de;q=0, sv;q=0.001", "sv"),
            ("*, fr;q=0.5", "fr"),
            ("DE_ch", "de-CH"),
            ("de;q=x, nl", "nl"),
            ("den", ""),
            (";;;q=,,\u{e9}-\u{e9};q=0.\u{e9}", ""),
        ] {
            assert_eq!(Locale::of(header), Locale::of(like), "{header}");
        }
    }

    #[test]
    fn what_is_no_day_stays_as_it_is() {
        assert_eq!(Locale::of("de").day("unknown"), "unknown");
        assert_eq!(Locale::of("de").whole(9999), "9999");
    }
}
