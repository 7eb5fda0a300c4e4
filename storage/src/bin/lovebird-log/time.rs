//! Times as people read them.

const NANOS: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// A time in nanoseconds since the Unix epoch as RFC 3339 writes it, in UTC; `-` for 0, which entries of consensus' own have.
pub(crate) fn shown(time: u64) -> String {
    if time == 0 {
        return "-".to_owned();
    }
    let (seconds, nanos) = (time / NANOS, time % NANOS);
    let (year, month, day) = date(seconds / DAY_SECONDS);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Year, month and day of the day that is so many after the epoch's. Counted down: 64 bits of nanoseconds end in 2554.
fn date(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    while days >= 365 + leap(year) {
        days -= 365 + leap(year);
        year += 1;
    }
    let lengths = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// How many days more than 365 the year has.
fn leap(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    u64::from(leap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_dates() {
        assert_eq!(shown(0), "-");
        assert_eq!(shown(1), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(shown(951_782_400 * NANOS), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(shown(951_868_799 * NANOS), "2000-02-29T23:59:59.000000000Z");
        assert_eq!(shown(951_868_800 * NANOS), "2000-03-01T00:00:00.000000000Z");
        assert_eq!(shown(1_700_000_000_000_000_002), "2023-11-14T22:13:20.000000002Z");
        assert_eq!(shown(4_107_542_400 * NANOS), "2100-03-01T00:00:00.000000000Z");
        assert_eq!(shown(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }
}
