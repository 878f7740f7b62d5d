//! Scalars as the YAML 1.1 library of distribution reads them.

use std::time::Duration;

/// `yes`, `on`, `y` and `true` with their opposites; quotes do not matter.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// Decimal, `0x`, `0b`, `0o` and octal with a leading zero, with `_` between digits; `1e3` too.
pub(super) fn integer(text: &str) -> Option<i64> {
    let text = text.replace('_', "");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let radix = |prefix: [&str; 2], radix| {
        let rest = prefix.iter().find_map(|prefix| digits.strip_prefix(prefix))?;
        // from_str_radix takes a sign of its own
        rest.starts_with(|c: char| c.is_ascii_alphanumeric())
            .then(|| i64::from_str_radix(rest, radix).ok())?
    };
    let magnitude = radix(["0x", "0X"], 16)
        .or_else(|| radix(["0b", "0B"], 2))
        .or_else(|| radix(["0o", "0O"], 8))
        .or_else(|| radix(["0", "0"], 8))
        .or_else(|| digits.parse().ok())
        .or_else(|| whole_float(digits))?;
    if negative {
        magnitude.checked_neg()
    } else {
        Some(magnitude)
    }
}

fn whole_float(digits: &str) -> Option<i64> {
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !digits.chars().all(allowed) {
        return None;
    }
    let float: f64 = digits.parse().ok()?;
    // 2^53: above it a float cannot tell neighbours apart
    let exact = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
    exact.then(|| format!("{float:.0}").parse().ok())?
}

/// A duration, and whether it was a bare number, which Go takes for nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GoDuration {
    pub(super) value: Duration,
    pub(super) bare: bool,
}

/// Go's `time.ParseDuration` without negative values: `30s`, `1h30m`, `1.5h`, `0`, and bare nanoseconds.
pub(super) fn duration(text: &str) -> Option<GoDuration> {
    if let Some(nanoseconds) = integer(text) {
        let value = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
        return Some(GoDuration {
            value,
            bare: nanoseconds != 0,
        });
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit_and_more) = rest.split_at(end);
        let unit_end = unit_and_more
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(unit_and_more.len());
        let (unit, more) = unit_and_more.split_at(unit_end);
        total = total.checked_add(scaled(number, nanoseconds(unit)?)?)?;
        rest = more;
    }
    // Go holds nanoseconds in an i64.
    let value = u64::try_from(total)
        .ok()
        .filter(|total| i64::try_from(*total).is_ok())?;
    Some(GoDuration {
        value: Duration::from_nanos(value),
        bare: false,
    })
}

fn nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `number` with an optional fraction times `unit`, rounded down.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // 13 digits are finer than a nanosecond of an hour
    let digits = fraction.get(..fraction.len().min(13))?;
    let part: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    if fraction.contains('.') {
        return None;
    }
    let scale = 10u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    whole.checked_mul(unit)?.checked_add(part.checked_mul(unit)? / scale)
}

/// The way Go prints a duration, without the zeros: `1h30m`, `1.5s`, `0s`.
pub(super) fn duration_text(value: Duration) -> String {
    let nanoseconds = value.as_nanos();
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    let mut rest = nanoseconds;
    for (unit, name) in [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ] {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    text
}

/// Bytes: `4194304`, `4MiB`, `32 KiB`, `10MB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "ki" => 1 << 10,
        "mib" | "mi" => 1 << 20,
        "gib" | "gi" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The largest binary unit that divides it: `4MiB`, `1000B`.
pub(super) fn size_text(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    format!("{bytes}B")
}
