//! Between the messages of the wire and the values of the model: here and nowhere else.

pub mod backup;
pub mod batch;
pub mod bounded;
pub mod expected;
pub mod request;
pub mod response;
