//! Reads OpenMetrics text as strictly as it is specified. Knows no metric.

use std::collections::{BTreeMap, BTreeSet};

/// Labels, sorted by name.
pub type Labels = BTreeMap<String, String>;

/// What a scrape says.
#[derive(Debug, Default)]
pub struct Scrape {
    /// Name and type.
    pub families: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Scrape {
    /// Panics at the first line that is wrong.
    #[track_caller]
    pub fn read(text: &str) -> Scrape {
        let lines = text.strip_suffix("# EOF\n").expect("it ends with EOF");
        let mut scrape = Scrape::default();
        let (mut family, mut told) = (String::new(), BTreeSet::new());
        for line in lines.lines() {
            if let Some(metadata) = line.strip_prefix("# ") {
                let mut words = metadata.splitn(3, ' ');
                let mut word = || words.next().unwrap_or_else(|| panic!("too short: {line}"));
                let (kind, name, rest) = (word(), word(), word());
                assert!(is_name(name), "{line}");
                if family != name {
                    (family, told) = (name.to_owned(), BTreeSet::new());
                    assert!(!scrape.families.contains_key(name), "a family stands together: {line}");
                }
                assert!(told.insert(kind.to_owned()), "told twice: {line}");
                match kind {
                    "HELP" => assert!(!rest.is_empty(), "{line}"),
                    "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                    "TYPE" => _ = scrape.families.insert(family.clone(), rest.to_owned()),
                    _ => panic!("no such metadata: {line}"),
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            let (name, labels) = match series.split_once('{') {
                None => (series, Labels::new()),
                Some((name, labels)) => (name, labels_of(labels, line)),
            };
            let kind = scrape.families.get(&family).unwrap_or_else(|| panic!("no type before {line}"));
            let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("not of {family}: {line}"));
            let suffixes: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                "histogram" => &["_sum", "_count", "_bucket"],
                _ => panic!("{kind} of {line}"),
            };
            assert!(suffixes.contains(&suffix), "{line}");
            assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(value.is_finite() && (value >= 0.0 || kind == "gauge"), "{line}");
            let before = scrape.samples.insert((name.to_owned(), labels), value);
            assert_eq!(before, None, "twice: {line}");
        }
        scrape.check_histograms();
        scrape
    }

    fn check_histograms(&self) {
        let mut buckets: BTreeMap<(&str, Labels), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), count) in &self.samples {
            if let Some(family) = name.strip_suffix("_bucket") {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect("a bucket has a bound");
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a number") };
                buckets.entry((family, labels)).or_default().push((bound, *count));
            }
        }
        for ((family, labels), mut buckets) in buckets {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by_key(|bucket| bucket.1), "{family} {labels:?}: {buckets:?}");
            let (bound, all) = buckets.last().expect("it was pushed");
            assert_eq!(*bound, f64::INFINITY, "{family} {labels:?}");
            assert_eq!(self.samples.get(&(format!("{family}_count"), labels)), Some(all), "{family}");
        }
    }

    /// The value of a series; `None`: there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.samples.get(&(name.to_owned(), labels.collect())).copied()
    }
}

fn is_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// What follows the brace that opens them.
fn labels_of(mut text: &str, line: &str) -> Labels {
    let mut labels = Labels::new();
    loop {
        let (name, rest) = text.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        assert!(is_name(name), "{line}");
        let (mut value, mut chars) = (String::new(), rest.char_indices());
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("a value without an end: {line}")) {
                (at, '"') => break at,
                (_, '\\') => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('"' | '\\'))) => value.push(c),
                    _ => panic!("no such escape: {line}"),
                },
                (_, c) => value.push(c),
            }
        };
        assert_eq!(labels.insert(name.to_owned(), value), None, "twice: {line}");
        match &rest[end + 1..] {
            "}" => return labels,
            more => text = more.strip_prefix(',').unwrap_or_else(|| panic!("no comma: {line}")),
        }
    }
}
