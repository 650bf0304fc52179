//! Prometheus' text format, read as strictly as it is written down: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::BTreeMap;

/// Labels, as they stand between the braces.
type Labels = BTreeMap<String, String>;

/// Metrics of one name.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) help: String,
    pub(crate) kind: String,
    /// Suffix of the name (`_bucket`, …), labels, value.
    pub(crate) samples: Vec<(String, Labels, f64)>,
}

/// All families by name.
#[derive(Debug, Default)]
pub(crate) struct Exposition(pub(crate) BTreeMap<String, Family>);

impl Exposition {
    /// Panics at whatever is not as it should be.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line must end");
        let (mut families, mut current) = (BTreeMap::<String, Family>::new(), String::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(is_name(name) && !help.trim().is_empty(), "{line}");
                let family = Family { help: help.to_owned(), ..Family::default() };
                assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes twice");
                name.clone_into(&mut current);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(name, current, "a TYPE follows its HELP: {line}");
                let family = families.get_mut(name).unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind) && family.kind.is_empty(), "{line}");
                kind.clone_into(&mut family.kind);
            } else {
                assert!(!line.starts_with('#'), "{line}");
                let (name, labels, value) = sample(line);
                let suffix = name.strip_prefix(current.as_str()).expect(line).to_owned();
                let family = families.get_mut(&current).unwrap();
                let allowed: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(allowed.contains(&suffix.as_str()), "{line} is not of {current}");
                assert!(family.samples.iter().all(|(s, l, _)| (s, l) != (&suffix, &labels)), "{line} comes twice");
                family.samples.push((suffix, labels, value));
            }
        }
        let exposition = Self(families);
        exposition.check();
        exposition
    }

    /// Names and values as Prometheus' conventions have them.
    fn check(&self) {
        for (name, family) in &self.0 {
            assert!(!family.samples.is_empty() && !family.kind.is_empty(), "{name} has nothing");
            assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name} is a {}", family.kind);
            assert!(!["_ms", "_milliseconds", "_minutes", "_kb", "_mb", "_percent"].iter().any(|unit| name.ends_with(unit)), "{name}: base units");
            if family.kind == "histogram" {
                family.check_histogram(name);
            }
            if family.kind == "counter" {
                assert!(family.samples.iter().all(|(.., value)| *value >= 0.0), "{name}");
            }
        }
    }

    /// The value of a series; `None` when it is not there.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (family, suffix) = self.find(name)?;
        family.samples.iter().find(|(s, l, _)| *s == suffix && *l == wanted).map(|(.., value)| *value)
    }

    /// The family of a name that may have a histogram's suffix, and that suffix.
    pub(crate) fn find(&self, name: &str) -> Option<(&Family, &'static str)> {
        let suffixes = ["_bucket", "_sum", "_count"].into_iter();
        let of_histogram = |suffix: &'static str| {
            let family = self.0.get(name.strip_suffix(suffix)?)?;
            (family.kind == "histogram").then_some((family, suffix))
        };
        self.0.get(name).map(|family| (family, "")).or_else(|| suffixes.into_iter().find_map(of_histogram))
    }
}

impl Family {
    fn check_histogram(&self, name: &str) {
        let sets = self.samples.iter().filter(|(suffix, ..)| suffix == "_count");
        for (_, labels, count) in sets {
            let without = |l: &Labels| l.iter().filter(|(n, _)| *n != "le").map(|(n, v)| (n.clone(), v.clone())).collect::<Labels>();
            let buckets: Vec<_> = self.samples.iter().filter(|(s, l, _)| s == "_bucket" && without(l) == *labels).collect();
            let bounds: Vec<f64> = buckets.iter().map(|(_, l, _)| l["le"].replace("+Inf", "inf").parse().unwrap()).collect();
            assert!(bounds.is_sorted() && bounds.last() == Some(&f64::INFINITY), "{name}: {bounds:?}");
            assert!(buckets.is_sorted_by(|a, b| a.2 <= b.2), "{name}: buckets count what is below, too");
            assert_eq!(buckets.last().map(|b| b.2.to_bits()), Some(count.to_bits()), "{name}");
            assert!(self.samples.iter().any(|(s, l, _)| s == "_sum" && l == labels), "{name}");
        }
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').expect(line)));
    assert!(is_name(name), "{line}");
    let mut found = Labels::new();
    let mut rest = labels;
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").expect(line);
        let end = (0..after.len()).find(|i| after.as_bytes()[*i] == b'"' && !after[..*i].ends_with('\\')).expect(line);
        assert!(is_name(label) && found.insert(label.to_owned(), after[..end].to_owned()).is_none(), "{line}");
        rest = after[end + 1..].strip_prefix(',').unwrap_or(&after[end + 1..]);
    }
    (name.to_owned(), found, value.replace("+Inf", "inf").parse().expect(line))
}
