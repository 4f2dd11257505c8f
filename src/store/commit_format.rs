//! The formats in which commits are stored. Knows no bytes: `codec.rs`.

/// How the bytes of a commit are made, and so its hash. A journal keeps a commit in the format in which it was first written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitFormat {
    /// Nothing is kept of who made a commit but a name.
    WithoutAuthor = 1,
    WithAuthor = 2,
    /// The one that is written. What a commit changed of a namespace is a part of its own, which can be forgotten: the hash stays.
    #[default]
    InParts = 3,
}

impl CommitFormat {
    pub const NEWEST_FIRST: [CommitFormat; 3] =
        [CommitFormat::InParts, CommitFormat::WithAuthor, CommitFormat::WithoutAuthor];
}
