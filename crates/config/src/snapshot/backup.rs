//! The typed view of backups, and of the format of data files.

use ochre_base::compat::Compat;

use super::text_of;
use crate::special::Schedule;
use crate::store::Config;
use crate::table::id;

/// The directives of backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSettings {
    /// `backup-url`; empty for no backups.
    pub url: String,
    /// `backup-schedule`
    pub schedule: Schedule,
    /// `backup-keep-hourly`
    pub keep_hourly: u64,
    /// `backup-keep-daily`
    pub keep_daily: u64,
    /// `backup-keep-weekly`
    pub keep_weekly: u64,
    /// `backup-verify`
    pub verify: bool,
    /// `restore-url`; empty for none.
    pub restore_url: String,
}

impl BackupSettings {
    /// Reads the values in force.
    pub(super) fn of(config: &Config) -> Self {
        let count = |id| config.int(id).unsigned_abs();
        let schedule = Schedule::parse(config.text(const { id("backup-schedule") }));
        Self {
            url: text_of(config.text(const { id("backup-url") })),
            // It was read once when it was set.
            schedule: schedule.unwrap_or(Schedule::Daily),
            keep_hourly: count(const { id("backup-keep-hourly") }),
            keep_daily: count(const { id("backup-keep-daily") }),
            keep_weekly: count(const { id("backup-keep-weekly") }),
            verify: config.boolean(const { id("backup-verify") }),
            restore_url: text_of(config.text(const { id("restore-url") })),
        }
    }
}

/// `save-format`; none: by `compat`.
pub(super) fn save_format(config: &Config) -> Option<Compat> {
    match config.int(const { id("save-format") }) {
        number @ 0.. => Some(Compat::of(number)),
        _ => None,
    }
}
