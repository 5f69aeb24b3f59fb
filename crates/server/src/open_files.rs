//! The limit of open files, and how many clients it allows (`maxclients`).
//!
//! A connection is an open file. The limit is raised as far as the system lets us; what is missing then is
//! taken off `maxclients`, so that clients are refused with a reply instead of never being accepted.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no connections: the standard three, log, listeners, and those of the loops. Peers: 32.
const RESERVED: u64 = 32;
/// Loops for which [`RESERVED`] is enough, at two files each.
const LOOPS_WITHIN: u64 = 8;

/// Makes room for `maxclients` connections of `loops` loops. Failure: how many there is room for.
pub(crate) fn allow(maxclients: u32, loops: usize) -> Result<(), u32> {
    let reserved = reserved(loops);
    let wanted = u64::from(maxclients) + reserved;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return Ok(());
    }
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit { current: Some(hard.min(wanted)), maximum: limit.maximum };
    let reached = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => hard.min(wanted),
        Err(_) => current,
    };
    if reached >= wanted {
        return Ok(());
    }
    Err(u32::try_from(reached.saturating_sub(reserved)).unwrap_or(u32::MAX))
}

fn reserved(loops: usize) -> u64 {
    RESERVED + 2 * (loops as u64).saturating_sub(LOOPS_WITHIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_hard_limit_is_refused_with_what_fits() {
        assert_eq!(allow(1, 1), Ok(()));
        let limit = getrlimit(Resource::Nofile);
        match limit.maximum {
            Some(hard) if hard < u64::from(u32::MAX) => {
                assert_eq!(allow(u32::MAX, 2), Err((hard - 32) as u32));
                assert_eq!(allow(u32::MAX, 10), Err((hard - 36) as u32));
            }
            // Nothing to refuse here.
            _ => assert_eq!(allow(u32::MAX, 2), Ok(())),
        }
    }
}
