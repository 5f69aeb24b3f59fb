//! A page: one node of a large collection, 1 to 4 KB, on its own allocation.
//!
//! Large collections (lists, sorted sets) are made of pages so that growth never copies the whole. A
//! page has one owner, and all mutation goes through one method. Snapshots do not share pages: see
//! [`crate::capture`] for what they do instead.

use std::ops::Deref;

/// One node of a large collection.
#[derive(Debug, Clone)]
pub struct Page<T>(Box<T>);

impl<T> Page<T> {
    /// Moves `node` to a page of its own.
    #[inline]
    pub fn new(node: T) -> Self {
        Self(Box::new(node))
    }

    /// The node, for writing. The only door to mutation.
    #[inline]
    pub fn edit(&mut self) -> &mut T {
        &mut self.0
    }

    /// The node itself; the page is gone.
    #[inline]
    pub fn into_inner(self) -> T {
        *self.0
    }
}

impl<T> Deref for Page<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}
