//! JSON over HTTP/1.1 and HTTP/2: requests to calls of the table of services, and replies to responses, transcoded by the descriptors of the
//! contract. Knows paths, headers and JSON; never what a call does, and no RPC by its name.

mod browser;
mod bundle;
mod connect;
mod console;
mod content;
mod cookies;
mod cors;
mod dispatch;
mod documents;
mod encoding;
mod error_form;
mod errors;
mod etag;
mod facts;
mod headers;
mod login;
mod openapi;
mod parameters;
pub mod problem;
mod request;
mod request_content;
mod routes;
pub mod streams;
mod strict;
mod template;
mod transcode;

pub use dispatch::{BrowserSettings, Calls};
pub use error_form::ErrorForm;
pub use errors::http2_required;
pub use routes::{Found, find_for};
