//! Addresses of instances: what was written, and the IP address that it means.
//!
//! Two addresses are the same when IP address and port are; the name is kept to be shown and written. Names are
//! resolved when they are learnt and when a link is made anew, by whoever implements [`Host`]; a name that does
//! not resolve at the moment may be kept with an empty IP address, and is then the same as nothing.

use std::net::IpAddr;

/// What is asked of the machine that a sentinel runs on.
pub trait Host: Send {
    /// The address of a name; none when it has none. This may take a while.
    fn resolve(&mut self, host: &str) -> Option<IpAddr>;

    /// Whether there is a file that can be executed.
    fn is_executable(&mut self, path: &str) -> bool;
}

/// Resolves nothing and takes every script for executable: for whoever uses neither.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoNames;

impl Host for NoNames {
    fn resolve(&mut self, _host: &str) -> Option<IpAddr> {
        None
    }

    fn is_executable(&mut self, _path: &str) -> bool {
        true
    }
}

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addr {
    /// As written: a name or an IP address.
    pub host: String,
    /// The IP address; empty when it is not known.
    pub ip: String,
    /// The TCP port; 0 when it is known to be wrong.
    pub port: u16,
}

impl Addr {
    /// An address by number, or by name when `names` allows it.
    pub fn new(host: &str, port: u16, names: Option<&mut (dyn Host + '_)>) -> Option<Self> {
        let ip = match host.parse::<IpAddr>() {
            Ok(_) => host.to_owned(),
            Err(_) => names?.resolve(host)?.to_string(),
        };
        Some(Self { host: host.to_owned(), ip, port })
    }

    /// Whether both mean the same place.
    pub fn is_same(&self, other: &Self) -> bool {
        self.port == other.port
            && ((!self.ip.is_empty() && self.ip == other.ip) || self.host == other.host)
    }

    /// How it is shown: by name if names are announced.
    pub fn shown(&self, by_name: bool) -> &str {
        if by_name || self.ip.is_empty() { &self.host } else { &self.ip }
    }

    /// The key of a replica: where it is.
    pub fn key(&self) -> String {
        let ip = if self.ip.is_empty() { &self.host } else { &self.ip };
        format!("{ip}:{}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Host for One {
        fn resolve(&mut self, host: &str) -> Option<IpAddr> {
            (host == "a.example").then(|| [10, 0, 0, 1].into())
        }

        fn is_executable(&mut self, _path: &str) -> bool {
            false
        }
    }

    #[test]
    fn a_name_is_the_same_as_its_address() {
        let by_name = Addr::new("a.example", 1, Some(&mut One)).unwrap();
        let by_ip = Addr::new("10.0.0.1", 1, None).unwrap();
        assert!(by_name.is_same(&by_ip));
        assert_eq!((by_name.shown(true), by_name.shown(false)), ("a.example", "10.0.0.1"));
        assert!(Addr::new("a.example", 1, None).is_none());
        assert!(Addr::new("b.example", 1, Some(&mut One)).is_none());
    }
}
