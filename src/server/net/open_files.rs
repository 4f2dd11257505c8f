//! How many files the process may have open, connections among them. Knows no connection.

/// What a server has open besides connections: its store, its log, its own sockets.
const FILES_OF_OURS: u64 = 256;

/// Takes as many as the administrator allows, where most shells and service managers start with fewer, and says so if that is
/// less than the connections there may be.
pub(in crate::server) fn allow(connections_max: usize) {
    let allowed = raise();
    let wanted = u64::try_from(connections_max).unwrap_or(u64::MAX).saturating_add(FILES_OF_OURS);
    if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "the process may not have as many files open as there may be connections: raise its limit (ulimit -Hn, \
             LimitNOFILE), or lower --connections-max"
        );
    }
}

/// Raises the limit that holds to the one up to which it may be raised. Returns what holds then.
fn raise() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the first call writes to `limit` alone, and the second reads from it.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return u64::MAX;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
            return raised.rlim_cur;
        }
    }
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_can_be_had_than_what_was_raised() {
        assert_eq!(raise(), raise());
    }
}
