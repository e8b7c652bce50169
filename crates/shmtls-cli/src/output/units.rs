//! Numbers as people read them.

use std::time::{Duration, SystemTime};

/// `32.0 MiB`, `221 B`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024.0 is one of the next unit.
    while value >= 1023.95 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// `18,413,537`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `93.1 %`; a dash where there is nothing to be a part of.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".into(),
        _ => format!("{:.1} %", part as f64 * 100.0 / whole as f64),
    }
}

/// `3d 4h`, `1h 12m`, `4m 12s`, `12s`: the two units that matter.
pub(crate) fn span(duration: Duration) -> String {
    let secs = duration.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs}s"),
        (0, 0, _) => pair((minutes, "m"), (secs % 60, "s")),
        (0, _, _) => pair((hours, "h"), (minutes, "m")),
        (_, _, _) => pair((days, "d"), (hours, "h")),
    }
}

fn pair((large, unit): (u64, &str), (small, small_unit): (u64, &str)) -> String {
    match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit} {small}{small_unit}"),
    }
}

/// How long ago; a time that lies ahead is just now.
pub(crate) fn age(time: SystemTime) -> String {
    span(SystemTime::now().duration_since(time).unwrap_or_default())
}

/// `4 us`, `1.0 ms`, `2.5 s`.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} us"),
        1000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

/// `2 sessions`, `1 session`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Whole milliseconds, for JSON.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970, for JSON.
pub(crate) fn unix_millis(time: SystemTime) -> u64 {
    millis(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// `2026-03-01T09:05:07.123Z`, to be compared with logs.
pub(crate) fn utc(unix_millis: u64) -> String {
    let (secs, millis) = (unix_millis / 1000, unix_millis % 1000);
    let (year, month, day) = civil(secs / 86_400);
    let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a day since 1970. Years are counted from March, so that a leap day is
/// the last one of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Seconds since 1970, for JSON.
pub(crate) fn unix_secs(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let sizes = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (33_973_862, "32.4 MiB")];
        for (n, text) in sizes {
            assert_eq!(bytes(n), text);
        }
        assert_eq!((bytes((1 << 20) - 1), bytes(u64::MAX)), ("1.0 MiB".into(), "16.0 EiB".into()));
    }

    #[test]
    fn counts_and_parts() {
        assert_eq!((count(0), count(999), count(1000)), ("0".into(), "999".into(), "1,000".into()));
        assert_eq!(count(18_413_537), "18,413,537");
        assert_eq!((percent(931, 1000), percent(0, 0)), ("93.1 %".into(), "-".into()));
    }

    #[test]
    fn short_times() {
        let times = [(0, "0 us"), (999, "999 us"), (1024, "1.0 ms"), (2_500_000, "2.5 s")];
        for (n, text) in times {
            assert_eq!(micros(n), text);
        }
    }

    #[test]
    fn moments() {
        let moments = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_772_355_907_123, "2026-03-01T09:05:07.123Z"),
        ];
        for (millis, text) in moments {
            assert_eq!(utc(millis), text);
        }
        assert!(utc(u64::MAX >> 16).ends_with('Z') && utc(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn spans() {
        let spans = [
            (0, "0s"),
            (12, "12s"),
            (252, "4m 12s"),
            (4320, "1h 12m"),
            (273_600, "3d 4h"),
            (3600, "1h"),
        ];
        for (secs, text) in spans {
            assert_eq!(span(Duration::from_secs(secs)), text);
        }
        assert_eq!(age(SystemTime::now() + Duration::from_secs(60)), "0s");
    }
}
