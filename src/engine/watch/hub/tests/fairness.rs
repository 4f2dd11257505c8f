//! A namespace with very many watched documents that change together, and others beside it.

use super::*;

const MANY: usize = 500;

fn at(config: usize, scope: usize) -> WatchTarget {
    WatchTarget { scope: Scope::parse(&format!("/s{scope}")).expect("a scope"), ..follow(config, 0) }
}

/// So many of these streams were woken and have yet to look.
fn woken(clients: &[Client]) -> usize {
    clients.iter().filter(|client| client.wakes() > 0).count()
}

#[test]
fn a_commit_does_not_wait_for_the_documents_of_a_commit_before_it_that_changed_very_many() {
    let mut world = World::with_cache(0);
    let mut many: Vec<_> = (0..MANY).map(|scope| world.subscribe(vec![at(0, scope)])).collect();
    let mut several = world.subscribe(vec![at(0, 1), at(1, 1)]);
    let mut other = world.subscribe(vec![follow(1, 0)]);
    many.iter_mut()
        .chain([&mut several, &mut other])
        .for_each(|client| drop(client.poll_until_asleep(&world)));
    world.commit(&[
        (0, key(LayerKind::Base, 0), Some(content(1))),
        (2, key(LayerKind::Base, 0), Some(content(1))),
    ]);
    world.advance();
    assert_eq!(woken(&many), 0, "their documents are made later");
    // Another commit comes before they are made.
    world.commit(&[(1, key(LayerKind::Base, 0), Some(content(2)))]);
    world.advance();
    assert_eq!(world.hub.revision(), Revision(2));
    assert!(other.wakes() > 0, "the update of the other config does not wait");
    assert!(matches!(other.poll(&world), Some(Event::Changed { revision: Revision(2), .. })));
    // A stream of both configs sees the newest state of both, and a stream that looks by itself sees no older one.
    assert_eq!(documents(&several.poll_until_asleep(&world)).len(), 2);
    assert!(matches!(many[7].poll(&world), Some(Event::Changed { revision: Revision(1), .. })));
    many[7].poll_until_asleep(&world);
    // Each turn makes one document.
    for made in 1..=MANY {
        assert!(world.hub.catch_up());
        assert!(woken(&many) <= made);
    }
    assert!(!world.hub.catch_up());
    assert!(many.iter().enumerate().all(|(at, client)| at == 7 || client.wakes() > 0));
    for client in &mut many {
        client.poll_until_asleep(&world);
        assert_eq!(client.held.len(), 1);
    }
}

#[test]
fn a_target_that_changes_back_before_its_document_is_made_tells_those_that_were_told_of_the_change() {
    let mut world = World::with_cache(0);
    world.commit(&[(0, key(LayerKind::Base, 0), Some(content(1)))]);
    world.advance();
    let mut clients: Vec<_> = (0..10).map(|scope| world.subscribe(vec![at(0, scope)])).collect();
    clients.iter_mut().for_each(|client| drop(client.poll_until_asleep(&world)));
    world.commit(&[(0, key(LayerKind::Base, 0), Some(content(2)))]);
    world.advance();
    clients[3].poll_until_asleep(&world);
    world.commit(&[(0, key(LayerKind::Base, 0), Some(content(1)))]);
    world.advance();
    while world.hub.catch_up() {}
    assert!(clients[3].wakes() > 0, "it holds what is no longer true");
    for client in &mut clients {
        client.poll_until_asleep(&world);
    }
}

#[test]
fn what_stays_as_it_was_wakes_nobody_also_if_it_is_made_later() {
    let mut world = World::with_cache(0);
    let over: Vec<_> = (0..10)
        .map(|scope| {
            let scope = at(0, scope).scope;
            (0, LayerKey { kind: LayerKind::Override, scope }, Some(content(1)))
        })
        .collect();
    world.commit(&over);
    world.advance();
    let mut clients: Vec<_> = (0..10).map(|scope| world.subscribe(vec![at(0, scope)])).collect();
    clients.iter_mut().for_each(|client| drop(client.poll_until_asleep(&world)));
    world.commit(&[(0, key(LayerKind::Base, 0), Some(content(2)))]);
    world.advance();
    while world.hub.catch_up() {}
    assert_eq!(woken(&clients), 0);
}
