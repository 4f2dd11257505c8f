//! Advice that findings of several checks have in common.

/// What to do about a finding that depends on a secret.
pub(super) const NEEDS_REVEAL: &str = "have the change made by somebody with `reveal-secret` there";
