//! Verbs of permissions, and sets of verbs. Knows no roles.

use std::fmt;

/// The verb of a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verb {
    /// Read and watch documents, with their history.
    Read,
    /// Change or delete base layers.
    Write,
    /// Bring back an older version.
    Rollback,
    /// Change, delete or end override layers.
    Override,
    /// Ask what a change would do.
    Validate,
    /// Name versions, and remove such names.
    Tag,
    /// Change what governs configs: schemas, rules and settings.
    Schema,
    /// See secret values as they are.
    RevealSecret,
    /// Take a copy of the whole store.
    Backup,
    /// Read the audit log.
    Audit,
    /// Change policies and tokens, and read them.
    Admin,
}

/// A set of verbs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct VerbSet(u16);

impl Verb {
    pub const ALL: [Verb; 11] = [
        Verb::Read,
        Verb::Write,
        Verb::Rollback,
        Verb::Override,
        Verb::Validate,
        Verb::Tag,
        Verb::Schema,
        Verb::RevealSecret,
        Verb::Backup,
        Verb::Audit,
        Verb::Admin,
    ];

    pub fn parse(text: &str) -> Option<Verb> {
        Verb::ALL.into_iter().find(|verb| verb.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Read => "read",
            Verb::Write => "write",
            Verb::Rollback => "rollback",
            Verb::Override => "override",
            Verb::Validate => "validate",
            Verb::Tag => "tag",
            Verb::Schema => "schema",
            Verb::RevealSecret => "reveal-secret",
            Verb::Backup => "backup",
            Verb::Audit => "audit",
            Verb::Admin => "admin",
        }
    }

    /// Whether a call with the verb changes the history.
    pub fn changes(self) -> bool {
        match self {
            Verb::Write | Verb::Rollback | Verb::Override | Verb::Tag | Verb::Schema | Verb::Admin => true,
            Verb::Read | Verb::Validate | Verb::RevealSecret | Verb::Backup | Verb::Audit => false,
        }
    }
}

impl VerbSet {
    pub const ALL: VerbSet = VerbSet((1 << Verb::ALL.len()) - 1);

    pub const fn of(verbs: &[Verb]) -> VerbSet {
        let (mut set, mut at) = (0, 0);
        while at < verbs.len() {
            set |= 1 << verbs[at] as u8;
            at += 1;
        }
        VerbSet(set)
    }

    pub fn contains(self, verb: Verb) -> bool {
        self.0 & (1 << verb as u8) != 0
    }

    pub fn union(self, other: VerbSet) -> VerbSet {
        VerbSet(self.0 | other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| self.contains(*verb))
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for VerbSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
