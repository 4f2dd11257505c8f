//! The contract can be used from other languages: names that no language keeps for itself, comments that no generator stumbles over,
//! options for every language, and code that is generated and compiled. Knows `proto/` and the tools of other languages.

mod names;
