//! One iterator that is one of two: a collection's small form or its large one. The choice is made
//! once for each `fold` and `for_each`, and for each element with `next`.

/// One of two iterators.
#[derive(Debug, Clone)]
pub(crate) enum Either<A, B> {
    /// Over a small form.
    Small(A),
    /// Over the large form.
    Large(B),
}

impl<T, A: Iterator<Item = T>, B: Iterator<Item = T>> Iterator for Either<A, B> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match self {
            Self::Small(fields) => fields.next(),
            Self::Large(fields) => fields.next(),
        }
    }

    #[inline]
    fn fold<S, F: FnMut(S, T) -> S>(self, start: S, each: F) -> S {
        match self {
            Self::Small(fields) => fields.fold(start, each),
            Self::Large(fields) => fields.fold(start, each),
        }
    }
}
