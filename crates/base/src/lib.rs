//! Leaf helpers: the pieces that every other crate stands on, without I/O and without a clock.

pub mod clock;
pub mod compat;
pub mod glob;
pub mod hash;
pub mod long_double;
pub mod lzf;
pub mod memory;
pub mod num;
pub mod rng;
pub mod word_lock;
