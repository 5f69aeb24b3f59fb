//! The append-only file as a format: which files make it up, and what lies in them. Nothing here opens a
//! file.

#![forbid(unsafe_code)]

pub mod manifest;
pub mod notes;
