//! Every fault and what becomes of it. The table in the crate's documentation is made here, from what happens, and the test
//! fails where the two differ. `LOVEBIRD_WRITE_TABLE=1` writes it anew; read it then.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod crashes;
mod damage;
mod failures;
#[path = "../log/support.rs"]
mod support;
mod verdict;

use std::fmt::Write;

use verdict::Row;

const TABLE: &str = include_str!("../../src/faults.md");

fn render(sections: [(&str, Vec<Row>); 3]) -> String {
    let mut table = String::new();
    for (title, rows) in sections {
        if !table.is_empty() {
            table.push('\n');
        }
        writeln!(table, "| {title} | verdict |\n|---|---|").unwrap();
        for Row { fault, verdict } in rows {
            writeln!(table, "| {fault} | {verdict} |").unwrap();
        }
    }
    table
}

#[test]
fn table_of_faults_in_the_documentation_is_what_happens() {
    let table = render([
        ("what is found on the disk", damage::rows()),
        ("what the disk refuses", failures::rows()),
        ("where the machine loses power", crashes::rows()),
    ]);
    if std::env::var_os("LOVEBIRD_WRITE_TABLE").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/faults.md"), &table).unwrap();
    } else {
        for (happens, written) in table.lines().zip(TABLE.lines()) {
            assert_eq!(happens, written, "src/faults.md is not what happens");
        }
        assert_eq!(table.len(), TABLE.len(), "src/faults.md has other rows");
    }
}
