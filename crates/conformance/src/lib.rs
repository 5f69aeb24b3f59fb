//! What the black-box tests in `tests/it` share and what is worth tests of its own.
//!
//! * [`commands`]: random commands from templates, for the differential tests;
//! * [`mutate`]: broken byte streams, for the protocol's torture;
//! * [`linear`]: a checker of recorded histories against a sequential model;
//! * [`model`]: that model, a few registers and lists.
//!
//! All randomness comes from a seed that the failing test prints.
#![forbid(unsafe_code)]

pub mod commands;
pub mod linear;
pub mod model;
pub mod mutate;
