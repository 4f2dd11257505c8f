//! What makes a document or a change acceptable. Knows the model only.
