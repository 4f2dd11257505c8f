//! That the page on operations has every metric, as it is.

use crate::api::guard::rates::RateLimits;
use crate::server::telemetry::metrics::*;

#[test]
fn the_page_on_operations_has_every_metric_in_order() {
    let calls = Arc::new(Calls::new(&[]).unwrap());
    let connections = Arc::new(Connections::new(1, 1));
    let requests = Arc::new(Requests::new(std::time::Duration::ZERO, 1, 1));
    let unread = UnreadResponses::new(1);
    let in_progress = RequestsInProgress::new(1, std::time::Duration::ZERO);
    let rates = Arc::new(Rates::new(RateLimits::UNLIMITED));
    let metrics = Metrics::new(
        calls,
        connections,
        requests,
        (unread, in_progress),
        rates,
        ("/nowhere".into(), SystemTime::UNIX_EPOCH),
        Supervisor::default(),
    );
    let text = metrics.text().unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let registered = types.map(|(family, kind)| match kind {
        "counter" => (format!("{family}_total"), kind),
        "info" => (format!("{family}_info"), kind),
        _ => (family.to_owned(), kind),
    });

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once("\n## Metrics\n").expect("a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (kind, _) = rest.split_once(" | ")?;
        Some((name.split('{').next().unwrap_or(name).to_owned(), kind))
    });
    assert_eq!(registered.collect::<Vec<_>>(), rows.collect::<Vec<_>>());
}
