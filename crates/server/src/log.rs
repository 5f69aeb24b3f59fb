//! The server's log: lines in the peers' form, logfmt or JSON, to the standard output, a file or syslog.
//!
//! Lines are rare (nothing is logged for a command), so a mutex and one write each do.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ochre_config::Settings;
use ochre_config::snapshot::{LogFormat, LogLevel, TimestampFormat};

struct Rules {
    level: LogLevel,
    format: LogFormat,
    stamps: TimestampFormat,
    file: Option<std::path::PathBuf>,
    offset_s: i64,
}

static RULES: Mutex<Rules> = Mutex::new(Rules {
    level: LogLevel::Notice,
    format: LogFormat::Legacy,
    stamps: TimestampFormat::Legacy,
    file: None,
    offset_s: 0,
});

/// Takes the log's part of the configuration over.
pub(crate) fn configure(settings: &Settings) {
    let mut rules = RULES.lock().unwrap_or_else(PoisonError::into_inner);
    rules.level = settings.log_level;
    rules.format = settings.log_format;
    rules.stamps = settings.log_timestamp_format;
    rules.file.clone_from(&settings.logfile);
}

/// A line for those who look for an error in the server.
pub(crate) fn debug(text: &str) {
    line(LogLevel::Debug, text);
}

/// A line that matters in production.
pub(crate) fn notice(text: &str) {
    line(LogLevel::Notice, text);
}

/// A line that needs attention.
pub(crate) fn warning(text: &str) {
    line(LogLevel::Warning, text);
}

fn line(level: LogLevel, text: &str) {
    let rules = RULES.lock().unwrap_or_else(PoisonError::into_inner);
    if (level as i64) < rules.level as i64 || rules.level == LogLevel::Nothing {
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "the stamp of a log line")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut out = format(&rules, level, now.as_millis() as i64, text);
    out.push('\n');
    let written = match &rules.file {
        None => std::io::stdout().lock().write_all(out.as_bytes()),
        Some(path) => OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(out.as_bytes())),
    };
    // A log that cannot be written must not stop the server, and there is nowhere to say it.
    drop(written);
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
            let mut escaped = String::new();
            for c in text.chars() {
                match c {
                    '"' => escaped.push_str("\\\""),
                    '\\' => escaped.push_str("\\\\"),
                    '\n' => escaped.push_str("\\n"),
                    c if c < ' ' => {
                        let _ = write!(escaped, "\\u{:04x}", c as u32);
                    }
                    c => escaped.push(c),
                }
            }
            write!(
                out,
                "{{\"pid\":{pid},\"role\":\"primary\",\"timestamp\":\"{stamp}\",\
                 \"level\":\"{name}\",\"message\":\"{escaped}\"}}"
            )
        }
    };
    out
}

fn stamp(rules: &Rules, unix_ms: i64) -> String {
    if rules.stamps == TimestampFormat::Milliseconds {
        return unix_ms.to_string();
    }
    let local = unix_ms + rules.offset_s * 1000;
    let (days, ms) = (local.div_euclid(86_400_000), local.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    match rules.stamps {
        TimestampFormat::Iso8601 => {
            format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
        }
        _ => {
            const MONTHS: [&str; 12] = [
                "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
            ];
            let month = MONTHS[(month - 1) as usize];
            format!("{day:02} {month} {year} {h:02}:{m:02}:{s:02}.{ms:03}")
        }
    }
}

/// Year, month and day of a day number since 1970 (the proleptic Gregorian calendar).
fn civil(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366);
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let first = |y: i64| {
        let before = y - 1;
        365 * (y - 1970) + (before / 4 - before / 100 + before / 400) - 477
    };
    while first(year + 1) <= days {
        year += 1;
    }
    let mut day = days - first(year);
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(59), (1970, 3, 1));
        assert_eq!(civil(10_957), (2000, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_779), (2026, 11, 22));
    }

    #[test]
    fn each_format_escapes_what_it_must() {
        let rules = |format| Rules {
            level: LogLevel::Debug,
            format,
            stamps: TimestampFormat::Iso8601,
            file: None,
            offset_s: 0,
        };
        let text = "say \"hi\"\n";
        let json = super::format(&rules(LogFormat::Json), LogLevel::Notice, 0, text);
        assert!(json.contains(r#""message":"say \"hi\"\n""#), "{json}");
        let logfmt = super::format(&rules(LogFormat::Logfmt), LogLevel::Warning, 0, text);
        assert!(logfmt.contains(r#"level=warning message="say \"hi\"\n""#), "{logfmt}");
        let legacy = super::format(&rules(LogFormat::Legacy), LogLevel::Warning, 0, "x");
        assert!(legacy.ends_with("1970-01-01T00:00:00.000Z # x"), "{legacy}");
    }
}
