//! Who watches, as the hub lists it: what every client holds, in pages, and in little memory.

use super::*;
use crate::engine::check::workers::Cancelled;
use crate::engine::watch::{Holds, Insight, SubscriberFilter, SubscriberInfo, SubscriberQuery};

fn query(config: Option<usize>, after: u64, limit: usize) -> SubscriberQuery {
    SubscriberQuery {
        namespace: id(0).namespace,
        config: config.map(|at| id(at).config),
        scope: Scope::global(),
        after,
        limit,
        filter: SubscriberFilter::default(),
        viewer: visibility(),
    }
}

fn list(world: &World, query: &SubscriberQuery) -> Vec<SubscriberInfo> {
    let insights = |_: Option<&ConfigName>, _: &Scope| Some(Insight::Callers);
    world.hub.subscribers(query, &insights, &Cancelled::default()).expect("it is not cancelled")
}

impl Client {
    fn number(&self) -> u64 {
        self.stream.watch_id().parse().expect("a number")
    }

    /// What the hub says that the client holds.
    pub(super) fn listed(&self, world: &World) -> BTreeMap<String, Digest> {
        let mut listed = BTreeMap::new();
        for config in 0..CONFIGS.len() {
            let found = list(world, &query(Some(config), self.number() - 1, 1));
            let found = found.into_iter().filter(|found| found.id == self.number());
            for target in found.flat_map(|found| found.targets) {
                let (id, secrets) = (id(config), Secrets::Revealed);
                let of = Target { id, scope: target.scope, view: target.view, secrets };
                match target.holds {
                    Holds::Document(digest) => drop(listed.insert(name(&of), digest)),
                    Holds::Absent => {}
                    Holds::Nothing | Holds::Withheld | Holds::Configs(_) => {
                        panic!("the client was sent a snapshot")
                    }
                }
            }
        }
        listed
    }
}

#[test]
fn pages_have_every_stream_once_with_its_targets_in_the_order_of_its_request() {
    let mut world = World::new();
    world.commit(&[(0, key(LayerKind::Base, 0), Some(content(1)))]);
    world.commit(&[(1, key(LayerKind::Base, 0), Some(content(1)))]);
    world.advance();
    let targets = |at: usize| match at % 4 {
        0 => vec![follow(0, 1)],
        1 => vec![follow(1, 2), follow(0, 0)],
        2 => vec![star(1)],
        _ => vec![follow(2, 0), star(0)],
    };
    let mut clients: Vec<_> = (0..40).map(|at| world.subscribe(targets(at))).collect();
    let followed = |found: &SubscriberInfo| -> Vec<Option<String>> {
        found.targets.iter().map(|target| target.config.as_ref().map(ToString::to_string)).collect()
    };
    let some = |name: &str| Some(name.to_owned());
    let check = |config: Option<usize>, of: [Vec<Option<String>>; 4]| {
        let (mut all, mut after) = (vec![], 0);
        loop {
            let page = list(&world, &query(config, after, 7));
            assert!(page.len() <= 7);
            let Some(last) = page.last() else { break };
            after = last.id;
            all.extend(page);
        }
        let expected =
            (0..).zip(&clients).map(|(at, client): (usize, _)| (client.number(), of[at % 4].clone()));
        let expected: Vec<_> = expected.filter(|(_, targets)| !targets.is_empty()).collect();
        assert_eq!(all.iter().map(|found| (found.id, followed(found))).collect::<Vec<_>>(), expected);
    };
    check(None, [vec![some("a")], vec![some("b"), some("a")], vec![None], vec![some("c"), None]]);
    check(Some(0), [vec![some("a")], vec![some("a")], vec![None], vec![None]]);
    check(Some(2), [vec![], vec![], vec![None], vec![some("c"), None]]);
    let holds = |at: usize| list(&world, &query(None, clients[at].number() - 1, 1)).remove(0);
    assert_eq!((holds(0).targets[0].holds, holds(0).revision), (Holds::Nothing, Revision::ZERO));
    clients.iter_mut().for_each(|client| drop(client.poll_until_asleep(&world)));
    let holds = |at: usize| list(&world, &query(None, clients[at].number() - 1, 1)).remove(0);
    assert!(matches!(holds(0).targets[0].holds, Holds::Document(_)));
    assert_eq!((holds(2).targets[0].holds, holds(2).revision), (Holds::Configs(2), Revision(2)));
    assert_eq!(holds(3).targets[0].holds, Holds::Absent);
    assert!(list(&world, &query(None, 0, 0)).is_empty());
    drop(clients);
    assert!(list(&world, &query(None, 0, 7)).is_empty());
}

/// Pages beside very many streams: on one target, on a target each, and on the namespace.
#[test]
#[ignore = "takes long, and measures"]
fn a_page_of_very_many_streams_takes_less_than_100_ms() {
    const STREAMS: usize = 100_000;
    let mut world = World::with(1 << 20, STREAMS);
    world.commit(&[(0, key(LayerKind::Base, 0), Some(content(1)))]);
    world.advance();
    type Targets = fn(usize) -> WatchTarget;
    let kinds: [(&str, Targets); 3] = [
        ("one target", |_| follow(0, 1)),
        ("a target each", |at| WatchTarget { scope: scope_of(at), ..follow(0, 1) }),
        ("the namespace", |_| star(1)),
    ];
    for (name, target) in kinds {
        let streams: Vec<_> =
            (0..STREAMS).map(|at| world.open(vec![target(at)], visibility(), None)).collect();
        let last = streams.last().expect("there are some").watch_id().parse::<u64>().expect("a number");
        let behind = SubscriberFilter { only_behind: true, ..Default::default() };
        let nobody = SubscriberFilter { client_id: "nobody".into(), ..Default::default() };
        for (page, after, filter) in [
            ("first page", 0, SubscriberFilter::default()),
            ("last page", last - 500, SubscriberFilter::default()),
            ("behind", 0, behind),
            ("nobody", 0, nobody),
        ] {
            let begun = std::time::Instant::now();
            let found = list(&world, &SubscriberQuery { filter, ..query(None, after, 1000) });
            println!("{name}, {page}: {} streams in {:?}", found.len(), begun.elapsed());
        }
        drop(streams);
    }
}

fn scope_of(at: usize) -> Scope {
    Scope::parse(&format!("/p/{at}")).expect("a scope")
}

#[test]
fn a_stream_that_follows_one_config_takes_little_memory_for_who_it_is() {
    let world = World::new();
    let labels = [("version", "1.2.3"), ("zone", "eu-central-1a"), ("team", "checkout")];
    let client = |at: usize| WatchClient {
        client_id: format!("checkout-7d9f8b6c5-{at:05}"),
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        address: Some([10, 0, 0, 1].into()),
        library: "confwatch/1.0 tonic/0.14".to_owned(),
    };
    let streams: Vec<_> = (0..1000)
        .map(|at| {
            let options = WatchOptions {
                targets: vec![follow(0, 1)],
                client: client(at),
                resume_token: None,
                progress_interval: Duration::from_secs(PROGRESS_SECONDS),
                visibility: visibility(),
            };
            world.hub.subscribe(options, Timestamp(5)).expect("there is room")
        })
        .collect();
    let listed = list(&world, &query(None, 0, 1000));
    assert_eq!(listed.len(), streams.len());
    for (at, found) in listed.iter().enumerate() {
        assert_eq!((&found.client, found.caller.actor(), found.since), (&client(at), "test", Timestamp(5)));
        assert_eq!(found.blocked_for, None);
    }
    // All streams of the fleet have the same labels, which are kept once.
    let table = world.hub.table();
    assert_eq!(table.labels.len(), 1);
    let heap: usize = table.subscribers().map(|subscriber| subscriber.identity.heap_bytes()).sum();
    let counts = 2 * size_of::<usize>();
    let each = size_of::<Subscriber>() + counts + heap.div_ceil(streams.len());
    let stream = size_of::<Subscription>();
    assert!(each <= 272, "{each} bytes in the hub for each stream");
    assert!(stream <= 72, "{stream} bytes in each stream");
}
