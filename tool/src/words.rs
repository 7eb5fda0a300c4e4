//! Numbers, lists and tables as people read them.

use std::time::Duration;

use lovebird::{NodeId, Role, Standing};

/// `node 1`, `nodes 1 and 2`, `nodes 1, 2 and 3`.
pub(crate) fn nodes(ids: impl IntoIterator<Item = NodeId>) -> String {
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    match ids.split_last() {
        None => "no node".to_owned(),
        Some((only, [])) => format!("node {only}"),
        Some((last, others)) => format!("nodes {} and {last}", others.join(", ")),
    }
}

/// `1 record`, `2 records`.
pub(crate) fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// A duration, no finer than it matters.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// Bytes in the largest unit of which there is one.
pub(crate) fn bytes(number: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((power, unit)) = units.into_iter().find(|(power, _)| number >> power > 0) else {
        return count(number, "byte");
    };
    format!("{:.1} {unit}", number as f64 / (1_u64 << power) as f64)
}

/// How much of the whole a part is, in percent; all of nothing is all.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    let percent = (u128::from(part) * 100).checked_div(whole.into()).unwrap_or(100);
    u64::try_from(percent).unwrap_or(u64::MAX).min(100)
}

/// What there may be, or `-`.
pub(crate) fn or_dash(what: Option<impl ToString>) -> String {
    what.map_or_else(|| "-".to_owned(), |what| what.to_string())
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
    }
}

pub(crate) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Voter => "voter",
        Standing::Joining => "joining",
        Standing::Leaving => "leaving",
        Standing::Learner => "learner",
    }
}

/// Rows under a heading, in columns as wide as they need, a line each. A row that is shorter ends with a cell that may be longer than any
/// column.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|title| (*title).to_owned()).collect();
    let rows = || std::iter::once(&heading).chain(rows);
    let cells = |row: &Vec<String>| if row.len() < heading.len() { row.len() - 1 } else { row.len() };
    let width = |column: usize| {
        let whole = rows().filter(|row| column < cells(row));
        whole.filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..heading.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_sentences_do() {
        assert_eq!(nodes([]), "no node");
        assert_eq!(nodes([4]), "node 4");
        assert_eq!(nodes([1, 4]), "nodes 1 and 4");
        assert_eq!(nodes([1, 2, 4]), "nodes 1, 2 and 4");
        assert_eq!((count(0, "record"), count(1, "record")), ("0 records".to_owned(), "1 record".to_owned()));
    }

    #[test]
    fn times_and_sizes_have_the_unit_that_matters() {
        let shown =
            [0, 999, 1000, 119_999, 120_000, 7_199_999, 7_200_000].map(Duration::from_millis).map(duration);
        assert_eq!(shown, ["0 ms", "999 ms", "1 s", "119 s", "2 min", "119 min", "2 h"]);
        let shown = [0, 1, 1023, 1024, 1536, 64 << 20, 5 << 30, 3 << 40, u64::MAX].map(bytes);
        let expected = [
            "0 bytes",
            "1 byte",
            "1023 bytes",
            "1.0 KiB",
            "1.5 KiB",
            "64.0 MiB",
            "5.0 GiB",
            "3.0 TiB",
            "16777216.0 TiB",
        ];
        assert_eq!(shown, expected);
        assert_eq!([percent(0, 0), percent(0, 3), percent(2, 3), percent(9, 3)], [100, 0, 66, 100]);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let rows =
            [row(&["a:1", "1", "leader"]), row(&["b:22", "it does not answer"]), row(&["c:1", "12", "-"])];
        let expected = "\
address  node  role
a:1      1     leader
b:22     it does not answer
c:1      12    -";
        assert_eq!(table(&["address", "node", "role"], &rows), expected);
    }
}
