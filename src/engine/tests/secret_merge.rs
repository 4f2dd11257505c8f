//! Layers with secrets, merged: each secret is one value, however a document is made, and whoever reads it.

use serde_json::Map;

use super::*;
use crate::engine::read::documents::Documents;
use crate::model::Pointer;
use crate::model::merge::fold;
use crate::secret::MASK;

type Written = (usize, LayerKind, Value);

/// Layers in the order in which they are written, with secrets among their values.
fn layers() -> impl Strategy<Value = Vec<Written>> {
    let kind = prop_oneof![3 => Just(LayerKind::Base), 1 => Just(LayerKind::Override)];
    let layer = (0..4usize, kind, similar_object(), prop::collection::vec(any::<bool>(), 32));
    let layer = layer.prop_map(|(at, kind, mut value, chosen)| {
        let mut chosen = chosen.into_iter();
        let members = value.as_object_mut().expect("it is an object").values_mut();
        members.for_each(|member| mark_some(member, &mut chosen));
        (at, kind, value)
    });
    prop::collection::vec(layer, 1..8)
}

fn mark_some(value: &mut Value, chosen: &mut impl Iterator<Item = bool>) {
    if !value.is_null() && chosen.next() == Some(true) {
        *value = json!({ "$secret": value });
        return;
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| mark_some(member, chosen)),
        Value::Array(items) => items.iter_mut().for_each(|item| mark_some(item, chosen)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A text in the place of each secret, from which `opened` makes the value again.
fn closed(resolved: &Resolved) -> Value {
    let mut layer = resolved.content.to_value();
    for place in resolved.secrets.revealed() {
        let value = layer.pointer_mut(&place.to_string()).expect("it is there");
        *value = format!("secret {value}").into();
    }
    layer
}

/// What `closed` has closed, by what is made of the value.
fn opened(value: &Value, by: &dyn Fn(Value) -> Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix("secret ") {
            Some(secret) => by(serde_json::from_str(secret).expect("JSON")),
            None => value.clone(),
        },
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), opened(value, by))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| opened(item, by)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

async fn found(engine: &Engine, at: usize, view: View, secrets: Secrets) -> Option<Arc<Resolved>> {
    let target = Target { id: id(0), scope: scope(at), view, secrets };
    match engine.document(&engine.state(), &target, &At::Latest, "test").await {
        Ok(resolved) => Some(resolved),
        Err(Error::NotFound(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The document that is put together from what Explain says of each of its values.
async fn explained(engine: &Engine, at: usize, view: View, secrets: Secrets) -> Value {
    let target = Target { id: id(0), scope: scope(at), view, secrets };
    let explained = engine
        .explain(
            &engine.state(),
            &target,
            &At::Latest,
            (Pointer::root(), 1 << 20),
            visibility(secrets),
            |it| it,
        )
        .await
        .expect("it is explained");
    let mut document = Value::Object(Map::new());
    for origin in explained.origins.expect("there is room") {
        let Some(value) = origin.value else { continue };
        let mut place = &mut document;
        for token in origin.pointer.tokens() {
            if !place.is_object() {
                *place = json!({});
            }
            place = place.as_object_mut().expect("made above").entry(token).or_insert(Value::Null);
        }
        *place = value;
    }
    document
}

async fn compare_views(engine: &Engine, at: usize, view: View, kinds: &[LayerKind]) {
    let path = SCOPES[at];
    let around = (0..SCOPES.len()).filter(|above| scope(*above).contains(&scope(at))).collect::<Vec<_>>();
    let (mut expected, mut hidden) = (json!({}), json!({}));
    let mut count = 0;
    for kind in kinds {
        for above in &around {
            let view = View::Layer(*kind);
            let Some(layer) = found(engine, *above, view, Secrets::Revealed).await else { continue };
            expected = merge_by_the_letter(expected, &closed(&layer));
            let layer = found(engine, *above, view, Secrets::Hidden).await.expect("it is there as well");
            hidden = merge_by_the_letter(hidden, &layer.content.to_value());
            count += 1;
        }
    }
    let revealed = found(engine, at, view, Secrets::Revealed).await;
    assert_eq!(revealed.is_some(), count > 0, "{path}");
    let Some(revealed) = revealed else { return };
    let (revealed, as_is) = (revealed.content.to_value(), opened(&expected, &|secret| secret));
    // No object of a document has a null, also in a secret.
    let as_is = fold([&as_is]);
    assert_eq!(revealed, as_is, "{path}");
    let seen = found(engine, at, view, Secrets::Hidden).await.expect("it is there as well");
    assert_eq!(seen.content.to_value(), hidden, "{path}: a fingerprint is that of one layer");
    for place in seen.secrets.hidden() {
        let text = place.find(&hidden).and_then(Value::as_str).unwrap_or_default();
        assert!(text.starts_with("***:"), "{path}: {place} in {hidden}");
    }
    for (secrets, document) in [(Secrets::Revealed, &as_is), (Secrets::Hidden, &hidden)] {
        assert_eq!(explained(engine, at, view, secrets).await, *document, "{path}: {secrets:?}");
    }
    if view == View::Effective {
        let state = engine.state();
        let config = state.config(&id(0)).expect("it is there");
        let document = Documents::of(config, &engine.key_store).effective(&scope(at)).expect("it is there");
        assert_eq!(*document, as_is, "{path}");
        let nothing = |_: &LayerKey| Value::Null;
        let mut masked = Documents::masked(config, &engine.key_store, &nothing);
        let document = masked.effective(&scope(at)).expect("it is there");
        assert_eq!(*document, opened(&expected, &|_| MASK.into()), "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_secret_is_one_value_in_every_view(layers in layers()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
            let engine = Engine::open(store, Options::default()).expect("an empty store");
            for (at, kind, value) in &layers {
                write_changes(&engine, vec![put(0, *at, *kind, value)]).await.expect("it is written");
            }
            for at in 0..SCOPES.len() {
                compare_views(&engine, at, View::Effective, &[LayerKind::Base, LayerKind::Override]).await;
                compare_views(&engine, at, View::Base, &[LayerKind::Base]).await;
            }
            engine.close().await;
        });
    }
}
