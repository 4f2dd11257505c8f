//! Every store keeps the contracts of `Journal` and `History`: the same cases, and the same random histories, for each of them.

mod conformance;
mod damage;
mod forgetting;
mod memory;
mod ordering;
mod random;
mod script;
mod sled;
mod slices;
mod tampering;
