//! Which of a few names was meant. Knows texts only.

/// The name that `written` was most likely meant to be, if one is near: at most a third of its characters differ. Of equally near ones
/// the first.
pub(super) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &'a str| {
        let longest = written.chars().count().max(name.chars().count());
        let distance = strsim::osa_distance(&written.to_lowercase(), name);
        (distance <= longest / 3).then_some((distance, name))
    };
    // Longer texts are no slip of a short name, and comparing takes the product of the lengths.
    let names = names.into_iter().filter(|name| written.len() <= 2 * name.len());
    names.filter_map(distance).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// `did you mean "editor"?`, or nothing.
pub(super) fn suggest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, names).map(|name| format!("did you mean {name:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let names = ["read", "write", "reveal-secret", "admin"];
        for (written, expected) in [
            ("wirte", Some("write")),
            ("READ", Some("read")),
            ("reveal_secret", Some("reveal-secret")),
            ("owner", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, names), expected, "{written}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), names), None);
    }
}
