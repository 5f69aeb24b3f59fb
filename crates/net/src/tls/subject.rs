//! The names in a client's certificate that can say which user it is.
//!
//! Read from the certificate's DER as it came; the signatures have been verified before, by rustls. Only
//! what leads to the names is looked at:
//!
//! ```text
//! Certificate ::= SEQUENCE { tbs SEQUENCE {
//!     [0] version OPTIONAL, serial INTEGER, algorithm SEQUENCE, issuer SEQUENCE, validity SEQUENCE,
//!     subject SEQUENCE OF SET OF SEQUENCE { type OID, value },
//!     key SEQUENCE, [1] OPTIONAL, [2] OPTIONAL,
//!     [3] extensions { SEQUENCE OF SEQUENCE { id OID, critical BOOLEAN OPTIONAL, value OCTET STRING } } } }
//! ```
//!
//! Failure: what cannot be read is no name. A name with a zero byte is none either: the tools that sign and
//! those that read would not agree on it.
//!
//! Source: RFC 5280, sections 4.1 and 4.2.1.6; X.690 for the encoding.

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The optional version, in front of the serial number.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// `uniformResourceIdentifier` among the alternative names.
const URI: u8 = 0x86;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// What is left to read of a run of values.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Tag and content of the next value; none at the end, and for forms that certificates do not use:
    /// tags of several bytes, lengths that are left open or take more than four bytes.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let bytes = usize::from(first & 0x7f);
            if !(1..=4).contains(&bytes) {
                return None;
            }
            let digits = rest.get(..bytes)?;
            rest = &rest[bytes..];
            length = digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit));
        }
        let content = rest.get(..length)?;
        self.0 = &rest[length..];
        Some((tag, content))
    }

    /// The content of the next value if it has this tag.
    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }
}

/// What follows the fields before the subject.
fn from_subject(certificate: &[u8]) -> Option<Der<'_>> {
    let mut fields = Der(Der(Der(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
    let mut ahead = fields;
    if ahead.next()?.0 == VERSION {
        fields = ahead;
    }
    fields.expect(INTEGER)?;
    for _ in ["algorithm", "issuer", "validity"] {
        fields.expect(SEQUENCE)?;
    }
    Some(fields)
}

fn is_clean(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&0)
}

/// The first common name of the subject.
pub fn common_name(certificate: &[u8]) -> Option<Vec<u8>> {
    let mut subject = Der(from_subject(certificate)?.expect(SEQUENCE)?);
    while let Some((SET, set)) = subject.next() {
        let mut set = Der(set);
        while let Some((SEQUENCE, pair)) = set.next() {
            let mut pair = Der(pair);
            if pair.expect(OBJECT_ID)? != COMMON_NAME {
                continue;
            }
            let (tag, name) = pair.next()?;
            let plain = [UTF8_STRING, PRINTABLE_STRING, TELETEX_STRING, IA5_STRING].contains(&tag);
            return (plain && is_clean(name)).then(|| name.to_vec());
        }
    }
    None
}

/// The alternative names that are URIs, in their order.
pub fn uris(certificate: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if let Some(mut names) = alternative_names(certificate) {
        while let Some((tag, name)) = names.next() {
            if tag == URI && is_clean(name) {
                found.push(name.to_vec());
            }
        }
    }
    found
}

fn alternative_names(certificate: &[u8]) -> Option<Der<'_>> {
    let mut fields = from_subject(certificate)?;
    let extensions = loop {
        if let (EXTENSIONS, content) = fields.next()? {
            break content;
        }
    };
    let mut extensions = Der(Der(extensions).expect(SEQUENCE)?);
    loop {
        let mut extension = Der(extensions.expect(SEQUENCE)?);
        if extension.expect(OBJECT_ID)? != ALTERNATIVE_NAMES {
            continue;
        }
        // The mark of criticality may stand before it.
        let value = loop {
            if let (OCTET_STRING, content) = extension.next()? {
                break content;
            }
        };
        return Some(Der(Der(value).expect(SEQUENCE)?));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Authority, URN};

    #[test]
    fn names_of_a_real_certificate() {
        let der = Authority::new().issue("alice").0.der().to_vec();
        assert_eq!(common_name(&der), Some(b"alice".to_vec()));
        assert_eq!(uris(&der), [format!("{URN}alice").into_bytes()]);
        // Cut anywhere or changed anywhere, it is read without a panic.
        for at in 0..der.len() {
            drop((common_name(&der[..at]), uris(&der[..at])));
            for flip in [1, 0x80, 0xff] {
                let mut bent = der.clone();
                bent[at] ^= flip;
                drop((common_name(&bent), uris(&bent)));
            }
        }
    }

    #[test]
    fn forms_that_are_not_read() {
        assert_eq!(common_name(b""), None);
        assert!(uris(&[0x30, 0x80]).is_empty());
        assert!(Der(&[0x1f, 1, 0]).next().is_none());
        assert!(Der(&[0x30, 0x85, 0, 0, 0, 0, 1, 0]).next().is_none());
        assert!(Der(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).next().is_none());
        assert!(!is_clean(b"admin\0.example") && !is_clean(b""));
    }
}
