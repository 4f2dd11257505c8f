//! Whatever happens when: the hub against what a model says that each reader should hold.

use proptest::prelude::*;

use super::*;

impl World {
    /// Lets the hub look at what was committed, while other things happen: after it made the documents, and before streams of several see the state that they
    /// were marked for.
    fn advance_while(&mut self, clients: &mut Vec<Client>, steps: Vec<Step>, polled: Vec<usize>) {
        let (state, changed) = (self.newest(), self.take_untold());
        let told = self.hub.make_documents(&state, &changed);
        steps.into_iter().for_each(|step| step.take(self, clients));
        // Without the lock: a poll does not take it, and a failed one would poison it.
        let woken = self.hub.mark(&self.hub.table(), &state, &changed, told);
        polled.into_iter().for_each(|at| Step::Poll(at).take(self, clients));
        self.hub.move_on(self.hub.table(), state, woken);
    }
}

/// Something that happens. Numbers name clients, where there are any.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(usize, LayerKey, Option<Content>)>),
    Advance,
    /// Makes so many of the documents that were left for later.
    CatchUp(usize),
    /// Steps while it makes documents, and clients that are polled while it marks.
    AdvanceWhile(Vec<Step>, Vec<usize>),
    Subscribe(Vec<(Option<usize>, usize, usize)>, bool),
    Poll(usize),
    /// From now on a client may see what one of `visibilities` may.
    SeeAs(usize, usize),
    RequestProgress(usize),
    /// A client loses its stream, and opens another one from where it is.
    Resume(usize),
    Drop(usize),
}

impl Step {
    fn take(self, world: &mut World, clients: &mut Vec<Client>) {
        match self {
            Step::Commit(changes) => drop(world.commit(&changes)),
            Step::Advance => world.advance(),
            Step::CatchUp(count) => (0..count).for_each(|_| _ = world.hub.catch_up()),
            Step::AdvanceWhile(steps, polled) => world.advance_while(clients, steps, polled),
            Step::Subscribe(targets, holds) => {
                let targets = targets_of(world, targets, holds);
                clients.push(world.subscribe(targets));
            }
            Step::Poll(at) if !clients.is_empty() => {
                let at = at % clients.len();
                clients[at].poll(world);
            }
            Step::SeeAs(at, visibility) if !clients.is_empty() => {
                let at = at % clients.len();
                clients[at].next_visibility = Some(visibilities()[visibility].clone());
                clients[at].poll(world);
            }
            Step::Resume(at) if !clients.is_empty() => {
                let at = at % clients.len();
                clients[at].resume(world);
            }
            Step::RequestProgress(at) if !clients.is_empty() => {
                let at = at % clients.len();
                let watch_id = clients[at].stream.watch_id();
                world.hub.request_progress(&watch_id, "test", world.newest().revision).expect("it is open");
            }
            Step::Drop(at) if !clients.is_empty() => {
                clients.swap_remove(at % clients.len());
            }
            Step::Poll(_) | Step::SeeAs(..) | Step::Resume(_) | Step::RequestProgress(_) | Step::Drop(_) => {}
        }
    }
}

/// A step that is taken at once.
fn plain_step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![3 => Just(LayerKind::Base), 1 => Just(LayerKind::Override)];
    let content = prop_oneof![4 => (0_u8..5).prop_map(|number| Some(content(number))), 1 => Just(None)];
    let change = (0..CONFIGS.len(), (kind, 0..SCOPES.len()), content)
        .prop_map(|(config, (kind, scope), content)| (config, key(kind, scope), content));
    let defaults = prop_oneof![3 => (0_u8..5).prop_map(|number| Some(schema(number))), 1 => Just(None)];
    let governing = (0..CONFIGS.len(), defaults).prop_map(|(config, schema)| {
        Step::Commit(vec![(CONFIGS.len() + config, key(LayerKind::Base, 0), schema)])
    });
    let config = prop_oneof![3 => (0..CONFIGS.len()).prop_map(Some), 1 => Just(None)];
    let targets = prop::collection::vec((config, 0..SCOPES.len(), 0..VIEWS.len()), 1..5);
    prop_oneof![
        6 => prop::collection::vec(change, 1..4).prop_map(Step::Commit),
        1 => governing,
        2 => (targets, any::<bool>()).prop_map(|(targets, holds)| Step::Subscribe(targets, holds)),
        6 => any::<usize>().prop_map(Step::Poll),
        1 => (any::<usize>(), 0..visibilities().len()).prop_map(|(at, visibility)| Step::SeeAs(at, visibility)),
        1 => any::<usize>().prop_map(Step::RequestProgress),
        1 => any::<usize>().prop_map(Step::Resume),
        1 => any::<usize>().prop_map(Step::Drop),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let steps = prop::collection::vec(plain_step(), 0..6);
    let polled = prop::collection::vec(any::<usize>(), 0..6);
    prop_oneof![
        18 => plain_step(),
        2 => Just(Step::Advance),
        2 => (1_usize..9).prop_map(Step::CatchUp),
        3 => (steps, polled).prop_map(|(steps, polled)| Step::AdvanceWhile(steps, polled)),
    ]
}

/// Targets of which no two are one, as what was said of which could not be told; `holds`: the client holds what there was at the newest revision, known to the hub or not.
fn targets_of(
    world: &World,
    mut targets: Vec<(Option<usize>, usize, usize)>,
    holds: bool,
) -> Vec<WatchTarget> {
    targets.sort_unstable();
    targets.dedup();
    let all: Vec<_> = targets.iter().filter(|target| target.0.is_none()).copied().collect();
    targets.retain(|(config, scope, view)| config.is_none() || !all.contains(&(None, *scope, *view)));
    let newest = world.newest().revision;
    let held = |config: usize, target: &WatchTarget| {
        world.resolved(newest, &exact(id(config), target)).filter(|_| holds)
    };
    let targets = targets.into_iter().map(|(config, scope, view)| {
        let mut target = WatchTarget { view: VIEWS[view], ..follow(config.unwrap_or(0), scope) };
        target.selector = match config {
            Some(config) => WatchSelector::Config(id(config), held(config, &target)),
            None => {
                let configs = (0..CONFIGS.len()).filter_map(|at| Some((id(at).config, held(at, &target)?)));
                WatchSelector::Namespace(id(0).namespace, configs.collect::<Held>())
            }
        };
        target
    });
    targets.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happens when: a message leaves its reader with exactly what there was at its revision; who is asleep has
    /// been told everything that the hub knows; in the end everyone has the last state; and nothing is left of who has gone.
    #[test]
    fn every_reader_holds_the_state_of_the_revision_it_was_told(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let mut clients: Vec<Client> = vec![];
        for step in steps {
            step.take(&mut world, &mut clients);
            let reached = world.hub.revision();
            let waits = |client: &Client| match client.targets.as_slice() {
                [WatchTarget { selector: WatchSelector::Config(id, _), scope, view, .. }] => world
                    .hub
                    .backlog()
                    .has(|target| target.id == *id && target.scope == *scope && target.view == *view),
                [..] => false,
            };
            let asleep = clients.iter().filter(|client| client.asleep && client.wakes() == 0);
            for client in asleep.filter(|client| !waits(client)) {
                // A stream of one target may have been told of a state that the hub is yet to reach.
                let reached = reached.max(client.revision);
                prop_assert_eq!(client.names(), world.expected(reached, &client.targets, &client.visibility), "a lost wake-up");
            }
        }
        world.advance();
        let last = world.newest().revision;
        while world.hub.catch_up() {}
        for client in &mut clients {
            if client.asleep && client.wakes() == 0 && client.next_visibility.is_none() {
                prop_assert_eq!(client.names(), world.expected(last, &client.targets, &client.visibility), "a lost wake-up");
            }
            client.poll_until_asleep(&world);
            prop_assert_eq!(client.names(), world.expected(last, &client.targets, &client.visibility));
            world.hub.request_progress(&client.stream.watch_id(), "test", last).expect("it is open");
            client.poll_until_asleep(&world);
            prop_assert_eq!(client.revision, last);
        }
        drop(clients);
        prop_assert_eq!((world.hub.watcher_count(), world.hub.target_count()), (0, 0));
        prop_assert!(world.hub.progress_waiters().is_empty());
    }
}
