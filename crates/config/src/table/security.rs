//! Directives of access: password, ACL, TLS.

use super::{INT_MAX, count, number};
use crate::directive::{Directive, Kind, row};

const NO_TLS: &str = "TLS is not there yet";

pub(super) const ROWS: &[Directive] = &[
    row("requirepass", Kind::Text, "", "Password of the default user; empty for none.").sensitive(),
    row("aclfile", Kind::Text, "", "File of users and their rights.").immutable(),
    row(
        "acl-pubsub-default",
        Kind::Choice(&[("allchannels", 1), ("resetchannels", 0)]),
        "resetchannels",
        "Channels that a new user may use.",
    ),
    row(
        "acllog-max-len",
        count(0, i64::MAX, "entries"),
        "128",
        "Length of the log of refused accesses.",
    ),
    row("tls-port", number(0, 65535), "0", "TLS port; 0 listens on none.").later("TLS"),
    row("tls-cluster", Kind::Bool, "no", "Use TLS on the bus.").later("TLS"),
    row("tls-replication", Kind::Bool, "no", "Use TLS on replication links.").later("TLS"),
    row(
        "tls-auth-clients",
        Kind::Choice(&[("no", 0), ("yes", 1), ("optional", 2)]),
        "yes",
        "Whether clients must show a certificate.",
    )
    .inert(NO_TLS),
    row(
        "tls-auth-clients-user",
        Kind::Choice(&[("CN", 1), ("URI", 2), ("off", 0)]),
        "off",
        "Part of a client's certificate that names its user.",
    )
    .later("TLS"),
    row(
        "tls-auto-reload-interval",
        count(0, INT_MAX, "seconds"),
        "0",
        "Period of re-reading the certificates; 0 never.",
    )
    .inert(NO_TLS),
    row("tls-ca-cert-dir", Kind::Text, "", "Folder of accepted authorities.").inert(NO_TLS),
    row("tls-ca-cert-file", Kind::Text, "", "File of accepted authorities.").inert(NO_TLS),
    row("tls-cert-file", Kind::Text, "", "Certificate of the server.").inert(NO_TLS),
    row("tls-key-file", Kind::Text, "", "Private key of the server.").inert(NO_TLS),
    row("tls-key-file-pass", Kind::Text, "", "Pass phrase of the private key.")
        .sensitive()
        .inert(NO_TLS),
    row("tls-client-cert-file", Kind::Text, "", "Certificate for outgoing connections.")
        .inert(NO_TLS),
    row("tls-client-key-file", Kind::Text, "", "Private key for outgoing connections.")
        .inert(NO_TLS),
    row("tls-client-key-file-pass", Kind::Text, "", "Pass phrase of that private key.")
        .sensitive()
        .inert(NO_TLS),
    row("tls-dh-params-file", Kind::Text, "", "Parameters of the Diffie-Hellman exchange.")
        .inert(NO_TLS),
    row("tls-protocols", Kind::Text, "", "Accepted versions of TLS.").inert(NO_TLS),
    row("tls-ciphers", Kind::Text, "", "Accepted ciphers up to TLS 1.2.").inert(NO_TLS),
    row("tls-ciphersuites", Kind::Text, "", "Accepted ciphers of TLS 1.3.").inert(NO_TLS),
    row("tls-prefer-server-ciphers", Kind::Bool, "no", "Let the server choose the cipher.")
        .inert(NO_TLS),
    row("tls-session-caching", Kind::Bool, "yes", "Let clients resume sessions.").inert(NO_TLS),
    row(
        "tls-session-cache-size",
        count(0, INT_MAX, "sessions"),
        "20480",
        "Sessions remembered; 0 for no limit.",
    )
    .inert(NO_TLS),
    row(
        "tls-session-cache-timeout",
        count(0, INT_MAX, "seconds"),
        "300",
        "How long sessions are remembered.",
    )
    .inert(NO_TLS),
];
