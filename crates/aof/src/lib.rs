//! The append-only file as a format: which files make it up, and what lies in them. Nothing here opens a
//! file.
//!
//! - [`manifest`]: which files there are, in which order;
//! - [`command`]: one command, or one note, at the start of some bytes;
//! - [`walk`]: the commands of a file one after the other, and where a torn one is to be cut;
//! - [`notes`]: lines between commands.

#![forbid(unsafe_code)]

pub mod command;
pub mod manifest;
pub mod notes;
pub mod walk;
