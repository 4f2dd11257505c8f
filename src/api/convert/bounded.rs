//! Bounds lists in messages to the size that clients can receive, and counts the items that are left out. Knows the wire only.

use prost::Message;
use prost::encoding::{encoded_len_varint, key_len};

use crate::proto::v1;

/// Bytes that are left for the items of a message.
pub struct MessageSpace(usize);

impl MessageSpace {
    pub fn of(bytes: usize) -> MessageSpace {
        MessageSpace(bytes)
    }

    /// Takes the bytes of one more item, if there is space. Where one did not fit, no other does.
    pub fn takes(&mut self, item: &impl Message) -> bool {
        let bytes = item.encoded_len();
        // No repeated field here has a number above 15.
        self.takes_bytes(bytes + encoded_len_varint(bytes as u64) + key_len(15))
    }

    pub fn takes_bytes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Items until one does not fit, and how many more there are.
pub fn fitting_items<M: Message>(items: impl IntoIterator<Item = M>, bytes_max: usize) -> (Vec<M>, u64) {
    let mut space = MessageSpace::of(bytes_max);
    let (mut kept, mut omitted) = (vec![], 0);
    for item in items {
        match omitted == 0 && space.takes(&item) {
            true => kept.push(item),
            false => omitted += 1,
        }
    }
    (kept, omitted)
}

/// Leaves out the last layers of changes, so that those that stay have at most so many bytes.
pub fn cut_layers(changes: &mut [v1::ConfigChange], bytes_max: usize) {
    let mut space = MessageSpace::of(bytes_max);
    for change in changes {
        let kept = change.layers.iter().take_while(|layer| space.takes(*layer)).count();
        change.layers_omitted += (change.layers.len() - kept) as u64;
        change.layers.truncate(kept);
    }
}

/// Findings that fit, in their order, and how many more there are. Errors get space before the rest, and one is always told.
pub fn cut_findings(findings: Vec<v1::Finding>, bytes_max: usize) -> (Vec<v1::Finding>, u64) {
    let count = findings.len();
    let findings: Vec<v1::Finding> = findings.into_iter().map(shortened_finding).collect();
    let mut space = MessageSpace::of(bytes_max);
    let is_error = |finding: &v1::Finding| finding.severity() == v1::Severity::Error;
    let mut fits = vec![false; count];
    for errors in [true, false] {
        for (fits, finding) in fits.iter_mut().zip(&findings) {
            *fits |= is_error(finding) == errors && space.takes(finding);
        }
    }
    let kept = findings.into_iter().zip(fits).filter_map(|(finding, fits)| fits.then_some(finding));
    let kept: Vec<v1::Finding> = kept.collect();
    let omitted = (count - kept.len()) as u64;
    (kept, omitted)
}

/// A longer text, and a longer pointer, do not help anybody. Far less than the findings of a message.
const FINDING_TEXT_BYTES_MAX: usize = 16 << 10;

/// A finding whose texts have a bounded length. Instead of a place with a very long pointer it names one that holds it.
fn shortened_finding(mut finding: v1::Finding) -> v1::Finding {
    cut_pointer(&mut finding.pointer, FINDING_TEXT_BYTES_MAX);
    for text in [&mut finding.message, &mut finding.suggestion] {
        if text.len() > FINDING_TEXT_BYTES_MAX {
            let starts = text.char_indices().map(|(at, _)| at);
            let end = starts.take_while(|at| *at <= FINDING_TEXT_BYTES_MAX).last();
            text.truncate(end.unwrap_or(0));
            text.push_str("...");
        }
    }
    finding
}

/// Makes of a very long pointer that of a place that holds its place.
pub fn cut_pointer(pointer: &mut String, bytes_max: usize) {
    if pointer.len() > bytes_max {
        // A "/" within a name is written "~1".
        let end = pointer.as_bytes()[..bytes_max].iter().rposition(|byte| *byte == b'/');
        pointer.truncate(end.unwrap_or(0));
    }
}

/// The longest text in an error, which travels in header fields.
const TEXT_BYTES_MAX: usize = 512;

/// Without the middle of what is too long: its end often says where.
pub fn shortened(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let starts = || text.char_indices().map(|(at, _)| at);
    let head = starts().take_while(|at| *at <= TEXT_BYTES_MAX * 3 / 4).last().unwrap_or(0);
    let tail = starts().find(|at| text.len() - at < TEXT_BYTES_MAX / 4).unwrap_or(text.len());
    format!("{}...{}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_for_an_error_keeps_its_start_and_its_end() {
        assert_eq!(shortened(&"x".repeat(TEXT_BYTES_MAX)), "x".repeat(TEXT_BYTES_MAX));
        for middle in ["x", "ä", "😀"] {
            let short = shortened(&format!("start{}end", middle.repeat(10_000)));
            assert!(short.starts_with("start") && short.ends_with("end") && short.contains("..."));
            assert!(short.len() <= TEXT_BYTES_MAX + 3, "{}", short.len());
        }
    }

    #[test]
    fn errors_are_kept_before_warnings_and_long_texts_are_cut() {
        let finding = |severity: v1::Severity, bytes: usize| v1::Finding {
            severity: severity.into(),
            pointer: format!("/a/{}", "k".repeat(bytes)),
            message: "\u{e9}".repeat(bytes),
            ..Default::default()
        };
        let (warning, error) = (finding(v1::Severity::Warning, 100), finding(v1::Severity::Error, 100));
        let (kept, omitted) = cut_findings(vec![warning.clone(), error.clone(), error.clone()], 700);
        assert_eq!((kept, omitted), (vec![error.clone(), error.clone()], 1));
        let all = vec![warning, error];
        assert_eq!(cut_findings(all.clone(), 10_000), (all, 0));
        let (kept, omitted) = cut_findings(vec![finding(v1::Severity::Error, 500_000); 100], 1 << 20);
        assert!(kept.len() > 20 && kept.len() as u64 + omitted == 100, "{omitted}");
        assert_eq!((kept[0].pointer.as_str(), kept[0].message.len()), ("/a", FINDING_TEXT_BYTES_MAX + 3));
    }

    fn layer(bytes: usize) -> v1::LayerChange {
        v1::LayerChange { scope: "x".repeat(bytes), ..Default::default() }
    }

    #[test]
    fn items_end_where_one_does_not_fit() {
        let (kept, omitted) = fitting_items([layer(10), layer(100), layer(10)], 50);
        assert_eq!((kept, omitted), (vec![layer(10)], 2));
        assert_eq!(fitting_items([layer(10), layer(10)], 50), (vec![layer(10), layer(10)], 0));
        let parts = v1::ConfigChange { layers: vec![layer(10), layer(10)], ..Default::default() };
        let bytes = parts.encoded_len();
        assert_eq!(fitting_items([layer(10), layer(10)], bytes).1, 0);
        assert_eq!(fitting_items([layer(10), layer(10)], bytes - 1).1, 1);
    }

    #[test]
    fn layers_that_are_cut_are_counted_in_each_change() {
        let change = |bytes| v1::ConfigChange { layers: vec![layer(bytes); 2], ..Default::default() };
        let mut changes = [change(10), change(10)];
        cut_layers(&mut changes, 40);
        assert_eq!(changes.map(|change| (change.layers.len(), change.layers_omitted)), [(2, 0), (0, 2)]);
    }
}
