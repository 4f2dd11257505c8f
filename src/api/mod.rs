//! The gRPC services over the engine. Knows engine, model and the wire; never a store, a socket or a process.
