//! Directives of backups, and of the format of data files.

use super::{INT_MAX, count};
use crate::directive::{Directive, Kind, row};

pub(super) const ROWS: &[Directive] = &[
    row(
        "backup-url",
        Kind::Text,
        "",
        "Folder or bucket that backups go to: `file:///dir`, `s3://bucket/prefix`, `az://` or `gs://`; empty \
         for no backups. It is of this data set alone.",
    )
    .protected(),
    row(
        "backup-schedule",
        Kind::Schedule,
        "daily",
        "How often a backup is taken: at the first moment of each hour, day or week (UTC), or each time so \
         many seconds are over.",
    ),
    row(
        "backup-keep-hourly",
        count(0, INT_MAX, "backups"),
        "24",
        "Hours of which the newest backup is kept.",
    ),
    row(
        "backup-keep-daily",
        count(0, INT_MAX, "backups"),
        "7",
        "Days of which the newest backup is kept.",
    ),
    row(
        "backup-keep-weekly",
        count(0, INT_MAX, "backups"),
        "4",
        "Weeks of which the newest backup is kept.",
    ),
    row(
        "backup-verify",
        Kind::Bool,
        "yes",
        "Read each backup back and check all of it before older ones are removed.",
    ),
    row(
        "restore-url",
        Kind::Text,
        "",
        "Backup, or folder of backups, that a start without any data file loads; see docs/backups.md.",
    )
    .protected(),
    row(
        "save-format",
        Kind::Choice(&[
            ("auto", -1),
            ("redis-7.0", 0),
            ("redis-7.2", 1),
            ("redis-8", 2),
            ("valkey-9", 3),
        ]),
        "auto",
        "Server that can load the snapshots, append-only files and backups that are written; a save that \
         holds what it could not load fails. `auto` goes by `compat`, and never fails for that.",
    ),
];
