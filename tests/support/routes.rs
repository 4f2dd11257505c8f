//! The routes of HTTP that the proto files give to RPCs. Knows descriptors.

use std::fmt::Write;

use confwatch::proto::v1::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage, Value};

/// A route of an RPC.
pub struct Route {
    pub rpc: MethodDescriptor,
    /// Of HTTP, in upper case.
    pub method: String,
    /// The template, such as `/v1/backups/{id}`.
    pub path: String,
    /// The field that the body of a request has; `*` for all that are not in the path.
    pub body: String,
    /// It is there besides the first route of the RPC.
    pub is_additional: bool,
}

/// The routes of all RPCs, in the order of the services and RPCs.
pub fn routes() -> Vec<Route> {
    rpcs().into_iter().flat_map(routes_of).collect()
}

/// Every RPC of the contract.
pub fn rpcs() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build wrote it");
    let services = pool.services().filter(|service| service.package_name() == "confwatch.v1");
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// The routes of an RPC, the first one first.
pub fn routes_of(rpc: MethodDescriptor) -> Vec<Route> {
    let http = rpc.parent_pool().get_extension_by_name("google.api.http").expect("it is imported");
    let options = rpc.options();
    if !options.has_extension(&http) {
        return vec![];
    }
    let first = options.get_extension(&http);
    let first = first.as_message().expect("an HttpRule");
    let additional = first.get_field_by_name("additional_bindings").expect("a field");
    let additional = additional.as_list().expect("a list").iter().filter_map(Value::as_message);
    let mut routes = vec![route(&rpc, first, false)];
    routes.extend(additional.map(|rule| route(&rpc, rule, true)));
    routes
}

fn route(rpc: &MethodDescriptor, rule: &DynamicMessage, is_additional: bool) -> Route {
    let text = |field| rule.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned));
    let pattern = rule.descriptor().oneofs().next().expect("the oneof `pattern`");
    let set = pattern.fields().find(|field| rule.has_field(field)).expect("a pattern is set");
    Route {
        rpc: rpc.clone(),
        method: set.name().to_uppercase(),
        path: text(set.name()).expect("the template is a text"),
        body: text("body").expect("a text"),
        is_additional,
    }
}

impl Route {
    /// Such as `ConfigService.Get`.
    pub fn rpc_name(&self) -> String {
        format!("{}.{}", self.rpc.parent_service().name(), self.rpc.name())
    }

    /// The segments of the template, without the empty one before the first `/`.
    pub fn segments(&self) -> Vec<&str> {
        self.path.split('/').skip(1).collect()
    }

    /// The fields in the path, such as `change.namespace`.
    pub fn variables(&self) -> Vec<&str> {
        self.segments().into_iter().filter_map(variable).collect()
    }
}

/// The field of a segment such as `{id}`.
pub fn variable(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// The table of all routes, as Markdown.
pub fn table() -> String {
    let mut table = "| route | RPC | |\n| --- | --- | --- |\n".to_owned();
    for rpc in rpcs() {
        let routes = routes_of(rpc.clone());
        if routes.is_empty() {
            continue;
        }
        let paths: Vec<String> =
            routes.iter().map(|route| format!("`{} {}`", route.method, route.path)).collect();
        let service = rpc.parent_service();
        let link =
            format!("[{}.{}](contract.md#{})", service.name(), rpc.name(), service.name().to_lowercase());
        writeln!(table, "| {} | {link} | {} |", paths.join("<br>"), first_sentence(&comment(&rpc)))
            .expect("a string takes everything");
    }
    table
}

fn comment(rpc: &MethodDescriptor) -> String {
    let file = rpc.parent_file();
    let info = file.file_descriptor_proto().source_code_info.as_ref().expect("comments are kept");
    let location = info.location.iter().find(|location| location.path == rpc.path());
    let comment = location.map(|location| location.leading_comments()).unwrap_or_default();
    comment.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn first_sentence(comment: &str) -> &str {
    let end = comment.find(". ").unwrap_or(comment.len());
    comment[..end].trim_end_matches('.')
}
