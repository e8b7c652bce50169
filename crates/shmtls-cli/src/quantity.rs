//! What people write for sizes, numbers and times, parsed.

use std::time::Duration;

/// `32MiB`, `32M`, `10KiB`, `4096`. A letter alone counts in powers of 1024, as `dd` has it.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "" | "B" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err("a size is a number with KiB, MiB or GiB, such as 32MiB".into()),
    };
    multiply(number, factor)
}

/// As [`bytes`], for options that are 32 bits wide.
pub(crate) fn small_bytes(text: &str) -> Result<u32, String> {
    u32::try_from(bytes(text)?).map_err(|_| "more than 4 GiB".into())
}

/// `100k`, `1M`, `65536`, `65,536`: powers of 1000.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let plain = text.replace([',', '_'], "");
    let (number, unit) = split(&plain);
    let factor = match unit {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return Err("a number may end in k or M, such as 100k".into()),
    };
    multiply(number, factor)
}

/// `500ms`, `2s`, `5m`, `1h`, `7d`; a number alone is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("a time is a number with ms, s, m, h or d, such as 5m".into()),
    };
    multiply(number, millis).map(Duration::from_millis)
}

/// How often a report may be repeated: a tool that spins would be load itself.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    let least = Duration::from_millis(100);
    if interval < least { Err("at least 100ms".into()) } else { Ok(interval) }
}

/// As [`interval`], for looks that cost next to nothing.
pub(crate) fn short_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    let least = Duration::from_millis(1);
    if interval < least { Err("at least 1ms".into()) } else { Ok(interval) }
}

/// As [`duration`], for what is kept in whole seconds.
pub(crate) fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = duration(text)?;
    if lifetime < Duration::from_secs(1) { Err("at least 1s".into()) } else { Ok(lifetime) }
}

/// `0660`, `660`: permission bits, always octal.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let bits = u32::from_str_radix(text.trim_start_matches("0o"), 8);
    bits.ok().filter(|bits| *bits <= 0o777).ok_or_else(|| "a mode is octal, such as 0660".into())
}

/// The number in front, and what follows it.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// A whole number stays exact; a fraction, as in `1.5GiB`, is rounded down.
fn multiply(number: &str, factor: u64) -> Result<u64, String> {
    let too_large = || String::from("too large");
    if !number.contains('.') && !number.is_empty() {
        let whole = number.parse::<u64>().ok();
        return whole.and_then(|whole| whole.checked_mul(factor)).ok_or_else(too_large);
    }
    let fraction: f64 = number.parse().map_err(|_| format!("{number:?} is no number"))?;
    let product = fraction * factor as f64;
    if product < u64::MAX as f64 { Ok(product as u64) } else { Err(too_large()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        let sizes = [("32MiB", 32 << 20), ("32M", 32 << 20), ("4096", 4096), ("10 KiB", 10 << 10)];
        for (text, expected) in sizes {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        assert_eq!((bytes("1.5GiB"), bytes("1MB")), (Ok(3 << 29), Ok(1_000_000)));
        for nonsense in
            ["", "MiB", "32 apples", "-1", "1.2.3", "99999999999999999999T", "20000000T"]
        {
            assert!(bytes(nonsense).is_err(), "{nonsense:?}");
        }
        assert!(small_bytes("4GiB").is_err());
    }

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!((count("100k"), count("65,536")), (Ok(100_000), Ok(65_536)));
        assert!(count("100 KiB").is_err());
    }

    #[test]
    fn times_as_people_write_them() {
        let times =
            [("500ms", 500), ("2s", 2_000), ("2", 2_000), ("5m", 300_000), ("1d", 86_400_000)];
        for (text, millis) in times {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(duration("soon").is_err());
        assert_eq!(interval("99ms"), Err("at least 100ms".into()));
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!((mode("0660"), mode("660"), mode("0o640")), (Ok(0o660), Ok(0o660), Ok(0o640)));
        assert!(mode("0990").is_err() && mode("1777").is_err() && mode("rw-rw----").is_err());
    }
}
