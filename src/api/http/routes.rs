//! The routes, made at the start: of each RPC its own path, and those that `google.api.http` annotations give it; and those of documents. Knows
//! descriptors; no request.

use std::sync::LazyLock;

use http::{Method, Request};
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value};

use super::bundle::BundleRequest;
use super::console::{self, ConsoleFile};
use super::documents::DocumentCall;
use super::login::LoginCall;
use super::strict::field;
use super::template::{Captures, Template};
use super::transcode::{POOL, method};
use crate::api::rpc::{Rpc, Signature, signature};

/// The extension of the options of a method that has its routes.
const ANNOTATION: &str = "google.api.http";

/// What is at a path.
#[derive(Debug)]
pub enum Found {
    /// A call of this RPC by its own path: all of the request is in the content.
    Rpc(Rpc),
    /// A call by an annotated route, with what the path says.
    Route(&'static Route, Captures),
    /// A document or a layer as such.
    Document(DocumentCall, Captures),
    /// All documents of a scope.
    Bundle(Captures),
    /// A watch by its query.
    Watch,
    /// The description of all routes.
    Description,
    /// A file of the web console, if the server has the console.
    Console(&'static ConsoleFile),
    /// A login or a logout.
    Login(LoginCall),
    /// The path takes these methods.
    OtherMethods(String),
    Nothing,
}

/// A route that an annotation gives to an RPC.
#[derive(Debug)]
pub struct Route {
    pub rpc: Rpc,
    method: Method,
    template: Template,
    pub content: ContentRule,
}

/// What the content of a request sets.
#[derive(Debug)]
pub enum ContentRule {
    /// There is no content: what the path does not set, the query does.
    Nothing,
    /// All fields that the path does not set.
    Message,
    /// One field. The rest is set by the query.
    Field(FieldDescriptor),
}

impl Found {
    /// The RPC that is called.
    pub fn rpc(&self) -> Option<Rpc> {
        match self {
            Found::Rpc(rpc) => Some(*rpc),
            Found::Route(route, _) => Some(route.rpc),
            Found::Document(call, _) => Some(call.rpc()),
            Found::Bundle(_) => Some(BundleRequest::RPC),
            Found::Watch => Some(signature::ConfigServiceWatch::RPC),
            Found::Description
            | Found::Console(_)
            | Found::Login(_)
            | Found::OtherMethods(_)
            | Found::Nothing => None,
        }
    }
}

impl Route {
    /// Of HTTP.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path, as the annotation writes it.
    pub fn path(&self) -> &str {
        self.template.text()
    }

    /// Whether a request has content.
    pub fn has_content(&self) -> bool {
        !matches!(self.content, ContentRule::Nothing)
    }

    /// The fields that the path sets.
    pub fn path_fields(&self) -> Vec<&str> {
        self.template.fields().collect()
    }
}

/// What is at a path without fields that no annotation has, for GET.
fn by_hand(path: &str) -> Option<Found> {
    match path {
        "/v1/watch" => Some(Found::Watch),
        "/openapi.json" => Some(Found::Description),
        _ => None,
    }
}

/// All annotated routes, those of one RPC after another.
pub fn annotated() -> Vec<Route> {
    Rpc::all().iter().flat_map(|rpc| routes_of(*rpc)).collect()
}

/// What a request finds: at a path that programs ask as well, a browser finds the page of the console.
pub fn find_for<B>(request: &Request<B>) -> Found {
    match console::find_page(request) {
        Some(file) => Found::Console(file),
        None => find(request.method(), request.uri().path()),
    }
}

/// What is at a path for a method. HEAD finds what GET does.
pub fn find(method: &Method, path: &str) -> Found {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    if let Some(rpc) = Rpc::of_path(path) {
        return if method == Method::POST { Found::Rpc(rpc) } else { Found::OtherMethods("POST".to_owned()) };
    }
    let mut others: Vec<&str> = vec![];
    match by_hand(path) {
        Some(found) if method == Method::GET => return found,
        Some(_) => others.push("GET"),
        None => {}
    }
    for (_, of, call) in ROUTES.logins.iter().filter(|(login, ..)| *login == path) {
        if of == method {
            return Found::Login(*call);
        }
        others.push(of.as_str());
    }
    for route in &ROUTES.annotated {
        if let Some(captures) = route.template.captures(path) {
            if route.method == method {
                return Found::Route(route, captures);
            }
            others.push(route.method.as_str());
        }
    }
    if let Some(captures) = ROUTES.bundle.captures(path) {
        match method == Method::GET {
            true => return Found::Bundle(captures),
            false => others.push("GET"),
        }
    }
    for (template, of, call) in &ROUTES.documents {
        if let Some(captures) = template.captures(path) {
            if of == method {
                return Found::Document(*call, captures);
            }
            others.push(of.as_str());
        }
    }
    match console::find(path) {
        Some(file) if method == Method::GET && others.is_empty() => return Found::Console(file),
        Some(_) => others.push("GET"),
        None => {}
    }
    if others.is_empty() {
        return Found::Nothing;
    }
    if others.contains(&"GET") {
        others.push("HEAD");
    }
    others.sort_unstable();
    others.dedup();
    Found::OtherMethods(others.join(", "))
}

/// All routes, in the order in which they are looked at.
struct Routes {
    annotated: Vec<Route>,
    documents: Vec<(Template, Method, DocumentCall)>,
    logins: Vec<(&'static str, Method, LoginCall)>,
    bundle: Template,
}

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let mut annotated = annotated();
    annotated.sort_by_key(|route| route.template.order());
    let documents = DocumentCall::ROUTES
        .map(|(path, method, call)| (Template::parse(path).expect("a template"), method, call));
    let bundle = Template::parse(BundleRequest::ROUTE).expect("a template");
    Routes { annotated, documents: documents.into(), logins: LoginCall::ROUTES.into(), bundle }
});

/// The routes of an RPC. A mistake in an annotation is one of the build: the tests make all routes.
fn routes_of(rpc: Rpc) -> Vec<Route> {
    let descriptor = method(rpc);
    let Some(extension) = POOL.all_extensions().find(|extension| extension.full_name() == ANNOTATION) else {
        return vec![];
    };
    let options = descriptor.options();
    if !options.has_extension(&extension) {
        return vec![];
    }
    let annotation = options.get_extension(&extension);
    let rule = annotation.as_message().expect("the annotation is a message");
    let mut rules = vec![rule.clone()];
    if let Some(Value::List(more)) =
        rule.get_field_by_name("additional_bindings").map(|list| list.into_owned())
    {
        rules.extend(more.iter().filter_map(|rule| rule.as_message().cloned()));
    }
    rules.iter().map(|rule| route(rpc, &descriptor, rule)).collect()
}

fn route(rpc: Rpc, descriptor: &MethodDescriptor, rule: &DynamicMessage) -> Route {
    let text = |name: &str| {
        rule.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let methods = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];
    let found = methods.into_iter().find_map(|method| {
        let path = text(&method.as_str().to_ascii_lowercase());
        (!path.is_empty()).then_some((method, path))
    });
    let (method, path) = found.unwrap_or_else(|| panic!("{}: the annotation has no path", rpc.path()));
    let template = Template::parse(&path).unwrap_or_else(|why| panic!("{}: {why}", rpc.path()));
    let input = descriptor.input();
    for name in template.fields() {
        assert!(has_field(&input, name), "{}: there is no field {name} in its request", rpc.path());
    }
    let content = match text("body").as_str() {
        "" => ContentRule::Nothing,
        "*" => ContentRule::Message,
        name => {
            let field = field(&input, name);
            ContentRule::Field(field.unwrap_or_else(|| panic!("{}: there is no field {name}", rpc.path())))
        }
    };
    Route { rpc, method, template, content }
}

/// Whether a message has a field at a path such as `change.namespace`.
fn has_field(message: &MessageDescriptor, path: &str) -> bool {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(field) = field(message, name) else { return false };
    match (rest, field.kind().as_message()) {
        (None, _) => true,
        (Some(rest), Some(within)) => has_field(within, rest),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rpc_is_at_its_own_path_for_post() {
        for rpc in Rpc::all() {
            assert_eq!(find(&Method::POST, rpc.path()).rpc(), Some(*rpc));
            assert!(matches!(find(&Method::GET, rpc.path()), Found::OtherMethods(allow) if allow == "POST"));
        }
        assert!(matches!(find(&Method::POST, "/confwatch.v1.ConfigService/Got"), Found::Nothing));
        assert!(matches!(find(&Method::GET, "/v1/nothing"), Found::Nothing));
    }

    #[test]
    fn every_rpc_with_one_answer_has_an_annotated_route() {
        for rpc in Rpc::all().iter().filter(|rpc| !rpc.is_stream()) {
            assert!(ROUTES.annotated.iter().any(|route| route.rpc == *rpc), "{}", rpc.path());
        }
    }

    #[test]
    fn a_path_is_a_route_and_else_says_what_it_takes() {
        let found = |method: &Method, path: &str| match find(method, path) {
            Found::Rpc(rpc) => rpc.path().to_owned(),
            Found::Route(route, captures) => format!("{} {captures:?}", route.rpc.name()),
            Found::Document(call, captures) => format!("{call:?} {captures:?}"),
            Found::Bundle(captures) => format!("Bundle {captures:?}"),
            Found::OtherMethods(allow) => allow,
            Found::Nothing | Found::Watch | Found::Description => String::new(),
            Found::Console(_) => "console".to_owned(),
            Found::Login(call) => format!("{call:?}"),
        };
        let config = "/v1/namespaces/a/configs/rules:b";
        let named = r#"[("namespace", "a"), ("config", "rules:b")]"#;
        assert_eq!(found(&Method::GET, config), format!("Read {named}"));
        assert_eq!(found(&Method::HEAD, config), format!("Read {named}"));
        assert_eq!(found(&Method::GET, &format!("{config}/document")), format!("Get {named}"));
        let of_layer = r#"[("namespace", "a"), ("config", "rules:b"), ("scope", "/x/y")]"#;
        assert_eq!(found(&Method::PUT, &format!("{config}/layers/x/y")), format!("ReplaceLayer {of_layer}"));
        assert_eq!(found(&Method::DELETE, config), format!("DeleteConfig {named}"));
        assert_eq!(found(&Method::POST, config), "DELETE, GET, HEAD");
        assert_eq!(found(&Method::HEAD, "/v1/bundles/a"), r#"Bundle [("namespace", "a")]"#);
        assert_eq!(found(&Method::PUT, "/v1/bundles/a"), "GET, HEAD");
        assert_eq!(found(&Method::POST, &format!("{config}/layers/x")), "DELETE, GET, HEAD, PATCH, PUT");
        assert_eq!(found(&Method::GET, "/v1/tokens:create"), "POST");
        assert_eq!(found(&Method::GET, "/login"), "Offer");
        assert_eq!(found(&Method::POST, "/login"), "LogIn");
        assert_eq!(found(&Method::PUT, "/login"), "GET, HEAD, POST");
        assert_eq!(found(&Method::GET, "/logout"), "POST");
        assert_eq!(found(&Method::GET, "/v1/namespaces/a"), "");
        assert_eq!(found(&Method::HEAD, "/ns/a/b"), "console");
        assert_eq!(found(&Method::POST, "/ns/a/b"), "GET, HEAD");
    }
}
