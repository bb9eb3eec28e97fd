//! Figures for people.

/// A duration in the unit that suits it: `850 ms`, `42 s`, `3.4 min`, `5.1 h`, `12.8 d`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let size = seconds.abs();
    let (unit, name) = match size {
        _ if size < 1e-9 => return "0 s".to_owned(),
        _ if size < 1.0 => (1e-3, "ms"),
        _ if size < 120.0 => (1.0, "s"),
        _ if size < 7200.0 => (60.0, "min"),
        _ if size < 172_800.0 => (3600.0, "h"),
        _ => (86_400.0, "d"),
    };
    let value = seconds / unit;
    if (value - value.round()).abs() < 0.05 || 100.0 <= value.abs() {
        format!("{value:.0} {name}")
    } else {
        format!("{value:.1} {name}")
    }
}

/// A part of a whole in percent: `38 %`, `0.4 %`.
pub(super) fn percent(part: f64) -> String {
    let value = part * 100.0;
    if value == 0.0 || 10.0 <= value {
        format!("{value:.0} %")
    } else {
        format!("{value:.1} %")
    }
}

#[cfg(test)]
mod tests {
    use super::{duration, percent};

    #[test]
    fn units_suit_the_size() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.85, "850 ms"),
            (42.0, "42 s"),
            (204.0, "3.4 min"),
            (18_360.0, "5.1 h"),
            (1_105_920.0, "12.8 d"),
            (-60.0, "-60 s"),
            (86_400.0 * 365.25, "365 d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(percent(0.381), "38 %");
        assert_eq!(percent(0.004), "0.4 %");
    }
}
