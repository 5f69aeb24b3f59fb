//! Directives of access: password, ACL, TLS.

use super::{INT_MAX, count, number};
use crate::directive::{Directive, Kind, row};

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
    row("tls-port", number(0, 65535), "0", "TLS port; 0 listens on none. See docs/tls.md."),
    row("tls-cluster", Kind::Bool, "no", "Use TLS on the links of MIGRATE."),
    row(
        "tls-replication",
        Kind::Bool,
        "no",
        "Use TLS on the link to the primary, and on those of a sentinel.",
    ),
    row(
        "tls-auth-clients",
        Kind::Choice(&[("no", 0), ("yes", 1), ("optional", 2)]),
        "yes",
        "Whether clients must show a certificate.",
    ),
    row(
        "tls-auth-clients-user",
        Kind::Choice(&[("CN", 1), ("URI", 2), ("off", 0)]),
        "off",
        "Part of a client's certificate that names its user: it needs no password.",
    ),
    row(
        "tls-auto-reload-interval",
        count(0, INT_MAX, "seconds"),
        "0",
        "Period of looking whether the TLS files have changed, to read them again; 0 never.",
    ),
    row("tls-ca-cert-dir", Kind::Text, "", "Folder of accepted authorities.").volatile(),
    row("tls-ca-cert-file", Kind::Text, "", "File of accepted authorities.").volatile(),
    row("tls-cert-file", Kind::Text, "", "Certificate of the server, and its intermediate ones.")
        .volatile(),
    row("tls-key-file", Kind::Text, "", "Private key of the server.").volatile(),
    row("tls-key-file-pass", Kind::Text, "", "Pass phrase of the private key.")
        .sensitive()
        .volatile(),
    row("tls-client-cert-file", Kind::Text, "", "Certificate for outgoing connections.").volatile(),
    row("tls-client-key-file", Kind::Text, "", "Private key for outgoing connections.").volatile(),
    row("tls-client-key-file-pass", Kind::Text, "", "Pass phrase of that private key.")
        .sensitive()
        .volatile(),
    row("tls-dh-params-file", Kind::Text, "", "Parameters of the Diffie-Hellman exchange.")
        .inert("keys are exchanged on elliptic curves"),
    row(
        "tls-protocols",
        Kind::Text,
        "",
        "Accepted versions: `TLSv1.2`, `TLSv1.3`; empty for both.",
    ),
    row("tls-ciphers", Kind::Text, "", "Accepted ciphers of TLS 1.2, in OpenSSL's words."),
    row("tls-ciphersuites", Kind::Text, "", "Accepted ciphers of TLS 1.3."),
    row("tls-prefer-server-ciphers", Kind::Bool, "no", "Let the server choose the cipher."),
    row("tls-session-caching", Kind::Bool, "yes", "Let clients resume sessions."),
    row(
        "tls-session-cache-size",
        count(0, INT_MAX, "sessions"),
        "20480",
        "Sessions remembered, in 32 MB at most; 0 for no other limit.",
    ),
    row(
        "tls-session-cache-timeout",
        count(0, INT_MAX, "seconds"),
        "300",
        "How long sessions are remembered.",
    ),
];
