use crate::engine::commit::request_ids::*;

fn request(id: &str) -> Request {
    Request { id: id.into(), fingerprint: Digest::of(b"a") }
}

fn namespaces(names: &[&str]) -> Vec<Namespace> {
    names.iter().map(|name| Namespace::parse(name).expect("a name")).collect()
}

fn remember_of(requests: &mut Requests, caller: &str, of: &[&str], id: &str, revision: u64, time: i64) {
    let owner = Owner { caller, namespaces: &namespaces(of) };
    requests.remember(owner, &request(id), First::Commit(Revision(revision)), Timestamp(time));
}

fn remember(requests: &mut Requests, id: &str, revision: u64, time: i64) {
    remember_of(requests, "alice", &["shop"], id, revision, time);
}

/// What the first one came to, or that it was another request.
fn first_of(requests: &Requests, caller: &str, of: &[&str], request: &Request) -> Option<Result<u64, u64>> {
    match requests.first(Owner { caller, namespaces: &namespaces(of) }, request, || None) {
        Ok(first) => first.map(|first| Ok(first.revision().0)),
        Err(Reused(revision)) => Some(Err(revision.0)),
    }
}

fn knows(requests: &Requests, id: &str) -> bool {
    matches!(first_of(requests, "alice", &["shop"], &request(id)), Some(Ok(_)))
}

#[test]
fn requests_are_known_for_a_day() {
    let mut requests = Requests::new(10);
    let day = REQUEST_WINDOW.as_micros() as i64;
    remember(&mut requests, "a", 1, 0);
    remember(&mut requests, "b", 2, day);
    assert!(knows(&requests, "a"));
    remember(&mut requests, "c", 3, day + 1);
    assert!(!knows(&requests, "a") && knows(&requests, "b"));
    let other = Request { id: "b".into(), fingerprint: Digest::of(b"b") };
    assert_eq!(first_of(&requests, "alice", &["shop"], &other), Some(Err(2)));
}

#[test]
fn an_id_belongs_to_its_caller_and_to_the_namespaces_of_its_request() {
    let mut requests = Requests::new(10);
    remember_of(&mut requests, "alice", &["pay", "shop"], "a", 1, 0);
    let of = |caller, of: &[&str]| first_of(&requests, caller, of, &request("a"));
    assert_eq!(of("alice", &["pay", "shop"]), Some(Ok(1)));
    // The journal knows only those that the request changed.
    assert_eq!(of("alice", &["idle", "shop"]), Some(Ok(1)));
    assert_eq!(of("bob", &["pay", "shop"]), None);
    assert_eq!(of("alice", &["idle"]), None);
}

#[test]
fn a_caller_with_too_many_ids_gets_no_new_one_and_forgets_none_and_others_do_not_notice() {
    let mut requests = Requests::new(2);
    remember(&mut requests, "a", 1, 0);
    assert!(requests.check_room("alice", Timestamp(1)).is_ok());
    remember(&mut requests, "b", 2, 1);
    let full = requests.check_room("alice", Timestamp(2));
    assert!(matches!(full, Err(Error::LimitReached { limit_name: Limit::RequestIds, limit: 2, .. })));
    assert!(requests.check_room("bob", Timestamp(2)).is_ok());
    assert!(knows(&requests, "a") && knows(&requests, "b"));
    let day = REQUEST_WINDOW.as_micros() as i64;
    assert!(requests.check_room("alice", Timestamp(day + 1)).is_ok());
    assert!(!knows(&requests, "a") && knows(&requests, "b"));
}

#[test]
fn what_did_not_come_about_is_forgotten_and_can_be_asked_again() {
    let mut requests = Requests::new(10);
    for (revision, id) in [(1, "a"), (2, "b"), (3, "c")] {
        remember(&mut requests, id, revision, 0);
    }
    requests.forget_after(Revision(1));
    assert!(knows(&requests, "a") && !knows(&requests, "b") && !knows(&requests, "c"));
    remember(&mut requests, "c", 2, 0);
    requests.forget_after(Revision(2));
    assert!(knows(&requests, "a") && knows(&requests, "c"));
    let day = REQUEST_WINDOW.as_micros() as i64;
    requests.forget_old(Timestamp(2 * day));
    assert_eq!((requests.count, requests.callers.len()), (0, 0));
}

/// 59 KiB of writes without an effect once pinned 824 MiB of documents.
#[test]
fn what_is_remembered_of_a_request_is_small() {
    assert!(size_of::<Nothing>() + size_of::<KnownRequest>() + size_of::<RequestKey>() <= 320);
}
