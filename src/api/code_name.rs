//! The names of status codes, for errors, metrics, logs and traces. Knows numbers.

/// The names in `google.rpc.Code`, by their numbers.
const CODE_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name in `google.rpc.Code` of a number, of which a call may also end by one that the server itself never uses. A number that is none is `UNKNOWN`.
pub fn code_name(number: i32) -> &'static str {
    let name = usize::try_from(number).ok().and_then(|number| CODE_NAMES.get(number));
    name.copied().unwrap_or("UNKNOWN")
}
