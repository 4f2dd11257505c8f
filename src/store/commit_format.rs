//! The formats in which commits are stored. Knows no bytes: `codec.rs`.

/// How the bytes of a commit are made, and so its hash. A journal keeps a commit in the format in which it was first written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitFormat {
    /// Nothing is kept of who made a commit but a name.
    WithoutAuthor = 1,
    /// The one that is written.
    #[default]
    WithAuthor = 2,
}

impl CommitFormat {
    pub const NEWEST_FIRST: [CommitFormat; 2] = [CommitFormat::WithAuthor, CommitFormat::WithoutAuthor];
}
