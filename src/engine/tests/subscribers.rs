//! Who watches, as the engine lists it for operators.

use tokio_stream::StreamExt;

use super::*;
use crate::engine::watch::{Holds, Insight, SubscriberFilter, WatchClient, WatchSelector, WatchTarget};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_is_listed_with_its_client_and_the_digest_it_was_last_sent() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |options| options.clock = Arc::new(|| Timestamp(7)));
    let client = WatchClient {
        client_id: "pod-1".to_owned(),
        labels: BTreeMap::from([("version".to_owned(), "2".to_owned())]),
        address: Some([192, 0, 2, 1].into()),
        library: "tonic".to_owned(),
    };
    let target = WatchTarget {
        selector: WatchSelector::Config(id(0), None),
        scope: scope(1),
        view: View::Effective,
        format: crate::model::text::Format::Json,
    };
    let options = WatchOptions {
        targets: vec![target],
        client: client.clone(),
        resume_token: None,
        progress_interval: Duration::from_secs(60),
        visibility: everything(),
    };
    let mut stream = engine.watch(options).await.expect("it opens");
    let query = SubscriberQuery {
        namespace: id(0).namespace,
        config: Some(id(0).config),
        scope: Scope::global(),
        after: 0,
        limit: 10,
        filter: SubscriberFilter::default(),
        viewer: everything(),
    };
    let list = |query: &SubscriberQuery| {
        let insights = |_: Option<&ConfigName>, _: &Scope| Some(Insight::Callers);
        engine.subscribers(query, &insights, &Cancelled::default()).expect("it is not cancelled")
    };
    let listed = || list(&query);
    let found = listed().remove(0);
    assert_eq!((found.client, found.caller.actor(), found.since), (client, "test", Timestamp(7)));
    assert_eq!((found.id.to_string(), found.targets[0].holds), (stream.watch_id(), Holds::Nothing));
    stream.next().await.expect("it goes on").expect("a snapshot");
    assert_eq!(listed()[0].targets[0].holds, Holds::Absent);
    for number in 1..4 {
        let change = put(0, 0, LayerKind::Base, &json!({ "a": number }));
        let revision = write_changes(&engine, vec![change]).await.expect("it is written").revision;
        stream.next().await.expect("it goes on").expect("an update");
        let target = Target { id: id(0), scope: scope(1), view: View::Effective, secrets: Secrets::Revealed };
        let document =
            engine.document(&engine.state(), &target, &At::Latest, "test").await.expect("it is there");
        let found = listed().remove(0);
        assert_eq!((found.targets[0].holds, found.revision), (Holds::Document(document.digest), revision));
    }
    let elsewhere = SubscriberQuery { config: Some(id(1).config), ..query.clone() };
    assert!(list(&elsewhere).is_empty());
    drop(stream);
    assert!(listed().is_empty());
    engine.close().await;
}
