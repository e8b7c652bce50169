//! Numbers that change: short, and of a width that does not jump.

use crate::output::units;

/// `0`, `3.2`, `4,611`, `18.4k`, `1.2M`.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        // What rounds to nothing is not nothing.
        0.0 => "0".into(),
        _ if rate < 0.05 => "<0.1".into(),
        _ if rate < 9.95 => format!("{rate:.1}"),
        _ if rate < 9999.5 => units::count(rate.round() as u64),
        _ if rate < 999_950.0 => format!("{:.1}k", rate / 1e3),
        _ => format!("{:.1}M", rate / 1e6),
    }
}

/// `93.1%`; a dash where there is nothing to be a part of.
pub(super) fn share(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".into(),
        _ => format!("{:.1}%", part as f64 * 100.0 / whole as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        let rates = [
            (0.0, "0"),
            (0.01, "<0.1"),
            (3.24, "3.2"),
            (9.96, "10"),
            (4611.4, "4,611"),
            (9999.9, "10.0k"),
            (999_999.0, "1.0M"),
        ];
        for (n, text) in rates {
            assert_eq!(rate(n), text);
        }
        assert_eq!((share(931, 1000), share(0, 0)), ("93.1%".into(), "-".into()));
    }
}
