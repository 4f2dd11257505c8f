//! The door of the server: health and reflection from the first moment on, the services of configuration while it is open. Knows no
//! call of them, only their names.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::Request;
use tonic::body::Body;
use tonic::service::Routes;

use crate::api::answer::{Answer, Refuse};
use crate::api::call_errors::{Unreadable, store_not_open};
use crate::api::grpc::status::refusal;
use crate::api::grpc::{self, is_grpc, passed_on};
use crate::api::http::{self as json, ErrorForm, Found};
use crate::api::request_body::RequestBody;
use crate::api::rpc::{Rpc, is_of_service};

/// When to try again at a closed door: a store is open within a second, unless it is very large.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How the paths of health and reflection begin.
const STANDARD: &str = "/grpc.";

/// Passes calls on to those who answer them. Clones share the door.
#[derive(Clone)]
pub(super) struct Front {
    always: Routes,
    services: Arc<ArcSwapOption<Services>>,
}

/// The services of configuration, by each transport.
struct Services {
    grpc: grpc::Calls,
    json: json::Calls,
}

/// What a request calls, and by which transport.
pub(super) enum Called {
    /// `None`: no RPC of the contract.
    Grpc(Option<Rpc>),
    Json(Found, ErrorForm),
}

impl Called {
    /// The content type decides, once.
    pub(super) fn of<B>(request: &Request<B>) -> Called {
        match is_grpc(request.headers()) {
            true => Called::Grpc(Rpc::of_path(request.uri().path())),
            false => Called::Json(json::find_for(request), ErrorForm::of(request.headers())),
        }
    }

    pub(super) fn rpc(&self) -> Option<Rpc> {
        match self {
            Called::Grpc(rpc) => *rpc,
            Called::Json(found, _) => found.rpc(),
        }
    }

    /// Makes the response that has nothing but an error.
    pub(super) fn refuse(&self) -> Refuse {
        match self {
            Called::Grpc(_) => refusal,
            Called::Json(_, form) => form.refuse(),
        }
    }

    /// Whether a call is answered to everybody, whoever they are.
    pub(super) fn is_open_to_all(&self, path: &str) -> bool {
        matches!(self, Called::Grpc(None)) && !is_of_service(path)
    }

    /// Whether requests of a call have no end of their own: those of reflection are a stream.
    pub(super) fn is_open_ended(&self, path: &str) -> bool {
        matches!(self, Called::Grpc(None)) && path.starts_with("/grpc.reflection.")
    }
}

impl Front {
    /// `always` is served whether the door is open or not. It is not yet.
    pub(super) fn new(always: Routes) -> Front {
        Front { always: always.prepare(), services: Arc::default() }
    }

    pub(super) fn open(&self, grpc: grpc::Calls, json: json::Calls) {
        self.services.store(Some(Arc::new(Services { grpc, json })));
    }

    /// Calls that come later are refused, and nothing is kept of what answered them.
    pub(super) fn close(&self) {
        self.services.store(None);
    }

    /// Answers a call: the one way in.
    pub(super) fn call<B: RequestBody>(&self, called: Called, request: Request<B>) -> Answer {
        if called.is_open_to_all(request.uri().path()) {
            if !request.uri().path().starts_with(STANDARD) {
                return Answer::Now(refusal(&Unreadable::UnknownMethod.into()));
            }
            return passed_on(self.always.clone(), request.map(Body::new));
        }
        match (&*self.services.load(), called) {
            (Some(services), Called::Grpc(rpc)) => services.grpc.call(rpc, request),
            (Some(services), Called::Json(found, form)) => services.json.call(found, form, request),
            (None, called) => Answer::Now(called.refuse()(&store_not_open(RETRY_AFTER))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::*;
    use crate::api;

    async fn status_of(front: &Front, path: &str) -> Code {
        let request =
            Request::post(path).header("content-type", "application/grpc").body(Body::empty()).unwrap();
        let response = front.call(Called::of(&request), request).response().await;
        Status::from_header_map(response.headers()).unwrap().code()
    }

    #[tokio::test]
    async fn services_are_unavailable_unless_the_door_is_open() {
        let front = Front::new(Routes::default());
        let path = "/confwatch.v1.ConfigService/Nothing";
        assert_eq!(status_of(&front, path).await, Code::Unavailable);
        let store = Arc::new(crate::store::MemoryStore::new(crate::model::Epoch(1)));
        let engine = crate::engine::Engine::open(store, crate::engine::Options::default()).unwrap();
        let (guard, recorder) = (crate::api::guard::Guard::off(), crate::audit::Recorder::none());
        let (grpc, json) = api::calls(
            engine,
            guard,
            recorder,
            Arc::new(api::ServerReport::default),
            &json::BrowserSettings::default(),
        );
        front.open(grpc, json);
        assert_eq!(status_of(&front, path).await, Code::Unimplemented);
        front.close();
        assert_eq!(status_of(&front, path).await, Code::Unavailable);
    }

    #[tokio::test]
    async fn other_services_are_answered_behind_a_closed_door() {
        let front = Front::new(Routes::default());
        for path in ["/grpc.health.v1.Health/Check", "/confwatch.v1.ConfigServiceX/Get", "/"] {
            assert_eq!(status_of(&front, path).await, Code::Unimplemented, "{path}");
        }
    }
}
