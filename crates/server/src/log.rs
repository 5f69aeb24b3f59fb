//! The server's log: lines in the peers' form, logfmt or JSON, to the standard output, a file or syslog.
//!
//! Lines are rare (nothing is logged for a command), so a mutex and one write each do. The file is opened by
//! its path for each line: whoever rotates logs may move or remove it at any time.
//!
//! Stamps are in local time (`TZ`, else /etc/localtime, read once at the start). Failure: a line that cannot
//! be written is lost, since a full disk must not stop the server.
//!
//! Source: formats of redis-server 7.2 and valkey-server 9.1 (`log-format`, `log-timestamp-format`).

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ochre_config::Settings;
use ochre_config::snapshot::{LogFormat, LogLevel, TimestampFormat};

use crate::syslog::Syslog;

struct Rules {
    level: LogLevel,
    format: LogFormat,
    stamps: TimestampFormat,
    file: Option<PathBuf>,
    zone: TimeZone,
    syslog: Option<Syslog>,
}

static RULES: Mutex<Rules> = Mutex::new(Rules {
    level: LogLevel::Notice,
    format: LogFormat::Legacy,
    stamps: TimestampFormat::Legacy,
    file: None,
    zone: TimeZone::UTC,
    syslog: None,
});

/// Finds out the local time zone and connects to syslog: once, at the start.
pub(crate) fn open(settings: &Settings) {
    let mut rules = RULES.lock().unwrap_or_else(PoisonError::into_inner);
    rules.zone = TimeZone::system();
    if settings.syslog_enabled {
        rules.syslog = Syslog::open(&settings.syslog_ident, settings.syslog_facility);
    }
}

/// Takes over what may change at run time.
pub(crate) fn configure(settings: &Settings) {
    let mut rules = RULES.lock().unwrap_or_else(PoisonError::into_inner);
    rules.level = settings.log_level;
    rules.format = settings.log_format;
    rules.stamps = settings.log_timestamp_format;
    rules.file.clone_from(&settings.logfile);
}

/// Whether a log file can be written to.
pub(crate) fn try_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path).map(drop)
}

/// A line for those who look for an error in the server.
pub(crate) fn debug(text: &str) {
    line(LogLevel::Debug, text);
}

/// A line that is rarely of interest.
pub(crate) fn verbose(text: &str) {
    line(LogLevel::Verbose, text);
}

/// A line that matters in production.
pub(crate) fn notice(text: &str) {
    line(LogLevel::Notice, text);
}

/// A line that needs attention.
pub(crate) fn warning(text: &str) {
    line(LogLevel::Warning, text);
}

/// The last words of a thread that panics: it may hold the log's lock, so it never waits for it.
pub(crate) fn last_words(text: &str) {
    match RULES.try_lock() {
        Ok(rules) => emit(&rules, LogLevel::Warning, text),
        Err(TryLockError::Poisoned(poisoned)) => {
            emit(&poisoned.into_inner(), LogLevel::Warning, text);
        }
        Err(TryLockError::WouldBlock) => eprintln!("{text}"),
    }
}

fn line(level: LogLevel, text: &str) {
    let rules = RULES.lock().unwrap_or_else(PoisonError::into_inner);
    if (level as i64) < rules.level as i64 || rules.level == LogLevel::Nothing {
        return;
    }
    emit(&rules, level, text);
}

fn emit(rules: &Rules, level: LogLevel, text: &str) {
    #[expect(clippy::disallowed_methods, reason = "the stamp of a log line")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_ms = now.as_millis() as i64;
    let mut out = format(rules, level, unix_ms, text);
    out.push('\n');
    let written = match &rules.file {
        None => io::stdout().lock().write_all(out.as_bytes()),
        Some(path) => OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(out.as_bytes())),
    };
    // There is nowhere to say that the log cannot be written.
    drop(written);
    if let Some(syslog) = &rules.syslog {
        syslog.send(level, &Stamp::of(unix_ms, &rules.zone), text);
    }
}

fn format(rules: &Rules, level: LogLevel, unix_ms: i64, text: &str) -> String {
    let pid = std::process::id();
    let stamp = stamp(rules, unix_ms);
    let mut out = String::new();
    let (mark, name) = match level {
        LogLevel::Debug => ('.', "debug"),
        LogLevel::Verbose => ('-', "info"),
        LogLevel::Notice | LogLevel::Nothing => ('*', "notice"),
        LogLevel::Warning => ('#', "warning"),
    };
    // Writing to a string cannot fail.
    let _ = match rules.format {
        LogFormat::Legacy => write!(out, "{pid}:M {stamp} {mark} {text}"),
        LogFormat::Logfmt => {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(
                out,
                "pid={pid} role=primary timestamp=\"{stamp}\" level={name} message=\"{text}\""
            )
        }
        LogFormat::Json => {
            write!(
                out,
                "{{\"pid\":{pid},\"role\":\"primary\",\"timestamp\":\"{stamp}\",\
                 \"level\":\"{name}\",\"message\":\"{}\"}}",
                json(text)
            )
        }
    };
    out
}

fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            c if c < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{:04x}", c as u32);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// A moment in local time.
pub(crate) struct Stamp {
    year: i16,
    month: i8,
    day: i8,
    time: (i8, i8, i8),
    ms: i64,
    offset_s: i32,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Stamp {
    /// The moment in a zone.
    pub(crate) fn of(unix_ms: i64, zone: &TimeZone) -> Self {
        // A clock beyond the year 9999 shows 1970.
        let at = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let offset = zone.to_offset(at);
        let local = offset.to_datetime(at);
        Self {
            year: local.year(),
            month: local.month(),
            day: local.day(),
            time: (local.hour(), local.minute(), local.second()),
            ms: unix_ms.rem_euclid(1000),
            offset_s: offset.seconds(),
        }
    }

    fn month(&self) -> &'static str {
        MONTHS.get(self.month as usize - 1).copied().unwrap_or_default()
    }

    fn legacy(&self) -> String {
        let (h, m, s) = self.time;
        let month = self.month();
        format!("{:02} {month} {} {h:02}:{m:02}:{s:02}.{:03}", self.day, self.year, self.ms)
    }

    fn iso8601(&self) -> String {
        let (h, m, s) = self.time;
        let sign = if self.offset_s < 0 { '-' } else { '+' };
        let minutes = self.offset_s.abs() / 60;
        format!(
            "{:04}-{:02}-{:02}T{h:02}:{m:02}:{s:02}.{:03}{sign}{:02}:{:02}",
            self.year,
            self.month,
            self.day,
            self.ms,
            minutes / 60,
            minutes % 60
        )
    }

    /// The form of RFC 3164, section 4.1.2: the day is padded with a blank.
    pub(crate) fn syslog(&self) -> String {
        let (h, m, s) = self.time;
        format!("{} {:2} {h:02}:{m:02}:{s:02}", self.month(), self.day)
    }
}

fn stamp(rules: &Rules, unix_ms: i64) -> String {
    match rules.stamps {
        TimestampFormat::Milliseconds => unix_ms.to_string(),
        TimestampFormat::Iso8601 => Stamp::of(unix_ms, &rules.zone).iso8601(),
        TimestampFormat::Legacy => Stamp::of(unix_ms, &rules.zone).legacy(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;

    fn rules(format: LogFormat, stamps: TimestampFormat, zone: TimeZone) -> Rules {
        Rules { level: LogLevel::Debug, format, stamps, file: None, zone, syslog: None }
    }

    #[test]
    fn stamps_are_local_times() {
        let india = || TimeZone::fixed(Offset::from_seconds(19_800).unwrap());
        let at = 1_795_346_031_098;
        for (stamps, zone, expected) in [
            (TimestampFormat::Legacy, TimeZone::UTC, "22 Nov 2026 11:13:51.098"),
            (TimestampFormat::Legacy, india(), "22 Nov 2026 16:43:51.098"),
            (TimestampFormat::Iso8601, india(), "2026-11-22T16:43:51.098+05:30"),
            (TimestampFormat::Iso8601, TimeZone::UTC, "2026-11-22T11:13:51.098+00:00"),
            (TimestampFormat::Milliseconds, india(), "1795346031098"),
        ] {
            assert_eq!(stamp(&rules(LogFormat::Legacy, stamps, zone), at), expected);
        }
        assert_eq!(Stamp::of(at, &india()).syslog(), "Nov 22 16:43:51");
        assert_eq!(Stamp::of(0, &TimeZone::UTC).syslog(), "Jan  1 00:00:00");
    }

    #[test]
    fn each_format_escapes_what_it_must() {
        let rules = |format| rules(format, TimestampFormat::Iso8601, TimeZone::UTC);
        let text = "say \"hi\"\n";
        let json = super::format(&rules(LogFormat::Json), LogLevel::Notice, 0, text);
        assert!(json.contains(r#""message":"say \"hi\"\n""#), "{json}");
        let logfmt = super::format(&rules(LogFormat::Logfmt), LogLevel::Warning, 0, text);
        assert!(logfmt.contains(r#"level=warning message="say \"hi\"\n""#), "{logfmt}");
        let legacy = super::format(&rules(LogFormat::Legacy), LogLevel::Warning, 0, "x");
        assert!(legacy.ends_with("1970-01-01T00:00:00.000+00:00 # x"), "{legacy}");
    }
}
