//! Makes the message of a call from path, query and content of a request, and JSON of the message that answers it. Knows descriptors; no headers
//! and no connection.

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DynamicMessage, ReflectMessage};

use super::errors::invalid;
use super::parameters::{Source, decoded, set, set_query};
use super::routes::{ContentRule, Found};
use super::streams::requests;
use super::transcode::{json, message_of, method, unwritable, value_of};
use crate::api::error::ApiError;
use crate::api::rpc::Rpc;

/// Where a write has the id under which a repetition gets the first outcome.
const REQUEST_ID_PATHS: [&str; 2] = ["options.request_id", "request_id"];

/// What a request says, beside its headers.
pub struct Said {
    pub found: Found,
    pub query: Option<String>,
    pub content: Bytes,
    pub idempotency_key: Option<String>,
    /// Of a stream: after which event it goes on.
    pub last_event_id: Option<String>,
}

impl Said {
    /// The message of a call whose content is the message itself, encoded.
    pub fn encoded_message(self) -> Result<Bytes, ApiError> {
        refuse_query(self.query.as_deref().unwrap_or_default())?;
        match self.idempotency_key {
            Some(_) => Err(invalid("idempotency-key", "is for content in JSON: set `options.request_id`")),
            None => Ok(self.content),
        }
    }

    /// The message of the call, encoded.
    pub fn message(&self, rpc: Rpc) -> Result<Bytes, ApiError> {
        let input = method(rpc).input();
        let query = self.query.as_deref().unwrap_or_default();
        let mut message = DynamicMessage::new(input.clone());
        match &self.found {
            Found::Rpc(_) => {
                refuse_query(query)?;
                message = read(&input, &self.content)?;
            }
            Found::Route(route, captures) => {
                match &route.content {
                    ContentRule::Nothing => refuse_content(&self.content)?,
                    ContentRule::Message => {
                        refuse_query(query)?;
                        message = read(&input, &self.content)?;
                    }
                    ContentRule::Field(field) => {
                        if !self.content.is_empty()
                            && let Some(value) = value_of(field, &self.content)?
                        {
                            message.set_field(field, value);
                        }
                    }
                }
                for (field, value) in captures {
                    set(&mut message, field, &decoded(field, value)?, Source::Path)?;
                }
                if !matches!(route.content, ContentRule::Message) {
                    set_query(&mut message, query, &route.path_fields())?;
                }
            }
            Found::Watch => {
                refuse_content(&self.content)?;
                let request = requests::watch(query)?;
                let encoded = request.encode_to_vec();
                message = DynamicMessage::decode(input, &*encoded).map_err(|error| unwritable(&error))?;
            }
            Found::Description
            | Found::Console(_)
            | Found::Login(_)
            | Found::Document(..)
            | Found::Bundle(_)
            | Found::OtherMethods(_)
            | Found::Nothing => {
                unreachable!("it is no call of an RPC")
            }
        }
        if let Some(key) = &self.idempotency_key {
            set_request_id(&mut message, key)?;
        }
        let message = message.encode_to_vec().into();
        Ok(match &self.last_event_id {
            Some(id) => requests::resumed(rpc, message, id),
            None => message,
        })
    }
}

/// The JSON of the message that answers a call.
pub fn response(rpc: Rpc, message: Bytes) -> Result<Bytes, ApiError> {
    json(&method(rpc).output(), message)
}

/// Content that is empty is a message that sets nothing.
fn read(input: &prost_reflect::MessageDescriptor, content: &[u8]) -> Result<DynamicMessage, ApiError> {
    match content.is_empty() {
        true => Ok(DynamicMessage::new(input.clone())),
        false => message_of(input, content),
    }
}

fn refuse_content(content: &[u8]) -> Result<(), ApiError> {
    match content.is_empty() {
        true => Ok(()),
        false => Err(invalid("content", "must be empty: the parameters are in the query")),
    }
}

fn refuse_query(query: &str) -> Result<(), ApiError> {
    match query.is_empty() {
        true => Ok(()),
        false => Err(invalid("query", "must be empty: the parameters are in the content")),
    }
}

fn set_request_id(message: &mut DynamicMessage, key: &str) -> Result<(), ApiError> {
    let descriptor = message.descriptor();
    let path = REQUEST_ID_PATHS.into_iter().find(|path| {
        let first = path.split('.').next().unwrap_or(path);
        let field = descriptor.get_field_by_name(first);
        field.is_some_and(|field| match field.kind().as_message() {
            Some(within) => within.get_field_by_name("request_id").is_some(),
            None => *path == first,
        })
    });
    match path {
        Some(path) => set(message, path, key, Source::Path),
        None => Err(invalid("idempotency-key", "is for writes that have a request id: this call has none")),
    }
}
