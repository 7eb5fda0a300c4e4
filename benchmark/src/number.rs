//! Numbers as people read them: no more digits than a measurement has.

use std::time::Duration;

/// A whole number with its thousands set apart.
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in the unit that suits it.
pub fn duration(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        ..1e3 => format!("{} µs", three_digits(micros)),
        1e3..1e6 => format!("{} ms", three_digits(micros / 1e3)),
        _ => format!("{} s", three_digits(micros / 1e6)),
    }
}

/// Bytes in mebibytes.
pub fn mebibytes(bytes: f64) -> String {
    format!("{} MiB", three_digits(bytes / f64::from(1 << 20)))
}

/// A ratio.
pub fn times(ratio: f64) -> String {
    format!("{ratio:.2}×")
}

/// A number for the axis of a plot: no longer than it must be.
pub fn short(number: f64) -> String {
    match number {
        ..1.0 => format!("{number}"),
        1.0..1e3 => format!("{number:.0}"),
        1e3..1e6 => format!("{}k", number / 1e3),
        _ => format!("{}M", number / 1e6),
    }
}

fn three_digits(number: f64) -> String {
    match number.abs() {
        ..9.995 => format!("{number:.2}"),
        ..99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0.0, "0"),
            (999.4, "999"),
            (1_000.0, "1,000"),
            (123_456.0, "123,456"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn durations_have_three_digits() {
        for (nanoseconds, text) in [
            (0, "0.00 µs"),
            (8_432, "8.43 µs"),
            (84_320, "84.3 µs"),
            (843_200, "843 µs"),
            (8_432_000, "8.43 ms"),
            (84_320_000_000, "84.3 s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanoseconds)), text);
        }
    }
}
