//! The comments of the proto files, as Markdown. Knows source locations.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

/// The comments of all files, by the place in the file.
pub struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub fn of(pool: &DescriptorPool) -> Comments {
        let mut comments = HashMap::new();
        for file in pool.files() {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            for location in info.iter().flat_map(|info| &info.location) {
                let comment = markdown(location.leading_comments());
                if !comment.is_empty() {
                    comments.insert((file.name().to_owned(), location.path.clone()), comment);
                }
            }
        }
        Comments(comments)
    }

    /// The comment of a part of a file; empty if it has none.
    pub fn at(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.0.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }
}

/// A comment without the space that follows `//`. Lines of a paragraph are joined, since viewers of the document keep line ends.
fn markdown(comment: &str) -> String {
    let mut text = String::with_capacity(comment.len());
    for line in comment.trim_end().lines() {
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        let is_new = line.is_empty() || line.starts_with([' ', '-', '|']);
        match text.chars().last() {
            None => {}
            Some(last) if last == '\n' || is_new => text.push('\n'),
            Some(_) => text.push(' '),
        }
        text.push_str(line);
    }
    text
}

/// The first sentence of a comment, without its full stop.
pub fn summary(comment: &str) -> &str {
    let line = comment.lines().next().unwrap_or_default();
    let end = line.find(". ").unwrap_or(line.len());
    line[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_paragraph_are_joined_and_lists_are_kept() {
        let comment = " One\n two.\n\n Three:\n - a\n   b\n - c\n";
        assert_eq!(markdown(comment), "One two.\n\nThree:\n- a\n  b\n- c");
        assert_eq!(markdown(""), "");
    }

    #[test]
    fn a_summary_is_the_first_sentence() {
        assert_eq!(summary("Reads it. Then more."), "Reads it");
        assert_eq!(summary("Reads version 1.2 of it.\n\nMore."), "Reads version 1.2 of it");
        assert_eq!(summary(""), "");
    }
}
