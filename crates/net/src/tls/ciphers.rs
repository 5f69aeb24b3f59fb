//! Which ciphers and protocol versions are offered, in OpenSSL's words.
//!
//! Every suite here is an authenticated one with forward secrecy: three of TLS 1.3 and six of TLS 1.2. A
//! list may name others that OpenSSL has, as lists written for it do; these are left out and told of. A list
//! that leaves nothing is an error.
//!
//! Source: OpenSSL's manual page `ciphers(1)`; the directives `tls-ciphers`, `tls-ciphersuites` and
//! `tls-protocols` of redis.conf 7.0.

use rustls::crypto::ring::cipher_suite as ring;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// A suite of TLS 1.2: its name to OpenSSL and the classes it is in beside those of all.
struct Suite {
    name: &'static str,
    standard: &'static str,
    classes: &'static [&'static str],
    suite: SupportedCipherSuite,
}

/// In the order of preference.
const SUITES: [Suite; 6] = [
    Suite {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        standard: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        classes: &["aECDSA", "ECDSA", "AES256", "AES", "AESGCM", "SHA384", "FIPS"],
        suite: ring::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    },
    Suite {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        standard: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        classes: &["aECDSA", "ECDSA", "AES128", "AES", "AESGCM", "SHA256", "FIPS"],
        suite: ring::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    },
    Suite {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        standard: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        classes: &["aECDSA", "ECDSA", "CHACHA20"],
        suite: ring::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Suite {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        standard: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        classes: &["aRSA", "AES256", "AES", "AESGCM", "SHA384", "FIPS"],
        suite: ring::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    },
    Suite {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        standard: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        classes: &["aRSA", "AES128", "AES", "AESGCM", "SHA256", "FIPS"],
        suite: ring::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    },
    Suite {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        standard: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        classes: &["aRSA", "CHACHA20"],
        suite: ring::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    },
];

/// Classes that every suite of [`SUITES`] is in.
const COMMON: [&str; 10] =
    ["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "TLSv1.2", "AEAD", "ECDH"];

const SUITES_13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", ring::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", ring::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", ring::TLS13_CHACHA20_POLY1305_SHA256),
];

/// What a list comes to.
#[derive(Debug)]
pub(super) struct Chosen<T> {
    /// In the list's order.
    pub(super) offered: Vec<T>,
    /// Words that name nothing there is.
    pub(super) left_out: Vec<String>,
}

fn is_in(suite: &Suite, word: &str) -> bool {
    // `ECDHE+AESGCM` is what is in both.
    word.split('+').all(|word| {
        suite.name == word
            || suite.standard == word
            || suite.classes.contains(&word)
            || COMMON.contains(&word)
    })
}

/// `tls-ciphers`. Words append, `!` removes for good, `-` removes, `+` moves to the end; `@STRENGTH` and its
/// kin change nothing, since all suites are strong.
pub(super) fn ciphers(list: &str) -> Chosen<SupportedCipherSuite> {
    let (mut offered, mut banned): (Vec<usize>, Vec<usize>) = Default::default();
    let mut left_out = Vec::new();
    let list = if list.is_empty() { "DEFAULT" } else { list };
    for word in list.split([':', ',', ';', ' ']).filter(|word| !word.is_empty()) {
        let (operation, name) = match word.as_bytes()[0] {
            b'@' => continue,
            first @ (b'!' | b'-' | b'+') => (first, &word[1..]),
            _ => (b' ', word),
        };
        let meant: Vec<usize> =
            (0..SUITES.len()).filter(|&index| is_in(&SUITES[index], name)).collect();
        let old: Vec<usize> = offered.iter().copied().filter(|i| meant.contains(i)).collect();
        match operation {
            b' ' => {
                let new = |index: &usize| !old.contains(index) && !banned.contains(index);
                offered.extend(meant.iter().copied().filter(new));
                if meant.is_empty() {
                    left_out.push(name.to_owned());
                }
            }
            other => {
                offered.retain(|index| !meant.contains(index));
                match other {
                    b'+' => offered.extend(old),
                    b'!' => banned.extend(meant),
                    _ => {}
                }
            }
        }
    }
    Chosen { offered: offered.into_iter().map(|index| SUITES[index].suite).collect(), left_out }
}

/// `tls-ciphersuites`: names of TLS 1.3, with colons between them.
pub(super) fn cipher_suites(list: &str) -> Chosen<SupportedCipherSuite> {
    if list.is_empty() {
        let offered = SUITES_13.iter().map(|(_, suite)| *suite).collect();
        return Chosen { offered, left_out: Vec::new() };
    }
    let mut chosen = Chosen { offered: Vec::new(), left_out: Vec::new() };
    for word in list.split(':').filter(|word| !word.is_empty()) {
        match SUITES_13.iter().find(|(name, _)| *name == word) {
            Some((_, suite)) if chosen.offered.contains(suite) => {}
            Some((_, suite)) => chosen.offered.push(*suite),
            None => chosen.left_out.push(word.to_owned()),
        }
    }
    chosen
}

/// `tls-protocols`, letter case ignored; none when a word is none of TLS' versions. The versions before 1.2
/// are left out: they are not there.
pub(super) fn protocols(list: &str) -> Option<Chosen<&'static SupportedProtocolVersion>> {
    let mut chosen = Chosen { offered: Vec::new(), left_out: Vec::new() };
    let list = if list.is_empty() { "TLSv1.2 TLSv1.3" } else { list };
    for word in list.split_ascii_whitespace() {
        let version = match word.to_ascii_lowercase().as_str() {
            "tlsv1.3" => &TLS13,
            "tlsv1.2" => &TLS12,
            "tlsv1" | "tlsv1.1" => {
                chosen.left_out.push(word.to_owned());
                continue;
            }
            _ => return None,
        };
        if !chosen.offered.contains(&version) {
            chosen.offered.push(version);
        }
    }
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> (Vec<&'static str>, Vec<String>) {
        let chosen = ciphers(list);
        let name = |suite: &SupportedCipherSuite| {
            SUITES.iter().find(|known| known.suite == *suite).unwrap().name
        };
        (chosen.offered.iter().map(name).collect(), chosen.left_out)
    }

    #[test]
    fn lists_in_openssls_words() {
        assert_eq!(names("").0.len(), 6);
        assert_eq!(names("DEFAULT:!MEDIUM").0.len(), 6);
        assert_eq!(
            names("HIGH:!aNULL:!ECDSA:-CHACHA20:@STRENGTH").0,
            ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(
            names("ECDHE+AES128:ECDHE-RSA-CHACHA20-POLY1305:+aRSA").0,
            [
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                "ECDHE-RSA-AES128-GCM-SHA256",
                "ECDHE-RSA-CHACHA20-POLY1305"
            ]
        );
        // What is banned does not come back; what is not there is told.
        let (offered, left_out) = names("!AES:ALL:AES128-SHA");
        assert_eq!((offered.len(), left_out), (2, vec!["AES128-SHA".to_owned()]));
        assert_eq!(names("FOO"), (vec![], vec!["FOO".to_owned()]));
        assert_eq!(names("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256").0.len(), 1);
    }

    #[test]
    fn suites_and_versions() {
        let chosen = cipher_suites("TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256");
        assert_eq!(chosen.offered, [ring::TLS13_AES_128_GCM_SHA256]);
        assert_eq!(chosen.left_out, ["TLS_AES_128_CCM_SHA256"]);
        assert_eq!(cipher_suites("").offered.len(), 3);
        let versions = |list| protocols(list).map(|chosen| chosen.offered);
        assert_eq!(versions(""), Some(vec![&TLS12, &TLS13]));
        assert_eq!(versions("tlsV1.3 TLSv1.3"), Some(vec![&TLS13]));
        assert_eq!(versions("TLSv1.1"), Some(vec![]));
        assert!(versions("TLSv1.2, TLSv1.3").is_none() && versions("SSLv3").is_none());
    }
}
