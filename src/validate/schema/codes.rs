//! The codes of what this module finds. They are stable: clients may act on them. Knows no messages.

/// Each code with the keywords that it is about, or with when it is found.
pub const CODES: &[(&str, &str)] = &[
    // A document that violates its schema.
    ("SCHEMA_TYPE", "type"),
    ("SCHEMA_ENUM", "enum"),
    ("SCHEMA_CONST", "const"),
    ("SCHEMA_REQUIRED", "required, dependentRequired, dependencies; at the object that lacks the property"),
    ("SCHEMA_ADDITIONAL_PROPERTY", "additionalProperties, unevaluatedProperties; at the property itself"),
    ("SCHEMA_PROPERTY_NAME", "propertyNames; at the property itself"),
    ("SCHEMA_PROPERTY_COUNT", "minProperties, maxProperties"),
    ("SCHEMA_ADDITIONAL_ITEM", "additionalItems, unevaluatedItems; at the array"),
    ("SCHEMA_ITEM_COUNT", "minItems, maxItems"),
    ("SCHEMA_UNIQUE_ITEMS", "uniqueItems"),
    ("SCHEMA_CONTAINS", "contains, minContains, maxContains"),
    ("SCHEMA_RANGE", "minimum, maximum, exclusiveMinimum, exclusiveMaximum"),
    ("SCHEMA_MULTIPLE_OF", "multipleOf"),
    ("SCHEMA_LENGTH", "minLength, maxLength"),
    ("SCHEMA_PATTERN", "pattern"),
    ("SCHEMA_FORMAT", "format"),
    ("SCHEMA_CONTENT", "contentEncoding, contentMediaType"),
    ("SCHEMA_ANY_OF", "anyOf, where it is not clear which alternative was meant"),
    (
        "SCHEMA_ONE_OF",
        "oneOf, where none matches and it is not clear which was meant, or where several match",
    ),
    ("SCHEMA_NOT", "not"),
    ("SCHEMA_FALSE", "a schema that is false"),
    ("SCHEMA_VIOLATION", "any keyword, in a document that is too large to say more"),
    ("SCHEMA_TOO_COSTLY", "checking could take too long"),
    (
        "SCHEMA_DEFAULT",
        "default: does not satisfy its subschema; or the defaults are too many to be filled in",
    ),
    ("DEPRECATED", "x-deprecated, deprecated; a warning at each value"),
    // A schema that cannot be used.
    ("SCHEMA_INVALID", "the schema violates the meta-schema of its draft"),
    ("SCHEMA_DRAFT", "$schema names no draft that is known"),
    ("SCHEMA_NO_EFFECT", "a keyword or a format that nothing reads; a warning or a suggestion"),
    ("SCHEMA_REFERENCE", "a reference, or $id, that leads nowhere"),
    ("SCHEMA_LOOP", "a reference that leads back to itself at the same value"),
    ("SCHEMA_REGEX", "a regular expression that cannot be matched in linear time, or is too large"),
    ("SCHEMA_KEYWORD", "a keyword of ours with a value of another type"),
    ("SCHEMA_TOO_LARGE", "too many bytes, values or subschemas, or nested too deep"),
    ("SCHEMA_TOO_COMPLEX", "too many subschemas within each other, or too many ways from one to another"),
];
