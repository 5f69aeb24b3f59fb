//! The synchronisation primitives of this crate, behind one facade, so that the `shuttle` feature
//! can replace them by ones whose interleavings a test controls.

#[cfg(not(feature = "shuttle"))]
pub(crate) use ochre_base::word_lock::{Mutex, MutexGuard};
#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};

/// Locks. A lock of which the holder panicked is taken as it is: that ends the process, and in tests the
/// test has failed already.
#[cfg(not(feature = "shuttle"))]
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Locks if nobody holds the lock.
#[cfg(not(feature = "shuttle"))]
#[inline]
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    mutex.try_lock()
}

/// The same, by shuttle's.
#[cfg(feature = "shuttle")]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The same, by shuttle's.
#[cfg(feature = "shuttle")]
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(std::sync::TryLockError::WouldBlock) => None,
    }
}
