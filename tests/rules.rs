//! The rules of this workspace's code that a program can check.
//!
//! - Clocks, threads, files and chance are named only in the files that drive them ([`DRIVERS`]); everything else takes them
//!   from a seam, so that the simulator can stand in.
//! - `select!` says `biased`: otherwise it polls its branches in an order that no seed decides.
//! - A file has at most 500 lines before its tests, a function at most 70.
//!
//! The source is read as text, without comments and literals, and braces are counted. That is no parser, and enough.

use std::fs;
use std::path::{Path, PathBuf};

/// What is scanned, below the workspace's root.
const SOURCES: [&str; 5] = ["core/src", "storage/src", "transport/src", "tool/src", "simulation/src"];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// A name that code must not use, and what to use instead.
struct Ban {
    name: &'static str,
    instead: &'static str,
}

const BANS: &[Ban] = &[
    Ban { name: "Instant::now", instead: "lovebird_core::runtime::Instant, imported by that path" },
    Ban { name: "SystemTime::now", instead: "lovebird_core::runtime::unix_time" },
    Ban { name: "thread::spawn", instead: "lovebird_core::runtime::Worker" },
    Ban { name: "thread::Builder", instead: "lovebird_core::runtime::Worker" },
    Ban { name: "thread::sleep", instead: "lovebird_core::runtime::sleep" },
    Ban { name: "std::fs", instead: "the Disk traits of storage" },
    Ban { name: "thread_rng", instead: "lovebird_core::runtime::random_u64" },
];

/// A file that may use some of the banned names, because giving them to everyone else is its purpose.
struct Driver {
    file: &'static str,
    names: &'static [&'static str],
    reason: &'static str,
}

const DRIVERS: &[Driver] = &[
    Driver {
        file: "core/src/runtime/ordinary.rs",
        names: &["Instant::now", "SystemTime::now", "thread::Builder", "thread_rng"],
        reason: "the ordinary runtime: time, threads and chance of the operating system",
    },
    Driver {
        file: "core/src/runtime/simulated/raft.rs",
        names: &["thread_rng"],
        reason: "the trait's name for the generator, which is the simulated node's own",
    },
    Driver {
        file: "storage/src/disk/real.rs",
        names: &["std::fs"],
        reason: "the disk of production, behind the Disk traits",
    },
    Driver {
        file: "storage/src/log/driver.rs",
        names: &["thread::Builder"],
        reason: "the log's writer thread; a simulator writes in turns",
    },
    Driver {
        file: "tool/src/online/file.rs",
        names: &["std::fs"],
        reason: "a file of the operator's, on no node",
    },
    Driver {
        file: "tool/src/output.rs",
        names: &["Instant::now"],
        reason: "how often an operator is told that something goes on",
    },
    Driver {
        file: "simulation/src/run.rs",
        names: &["thread::Builder"],
        reason: "a run has a thread of its own, around the simulated world",
    },
    Driver {
        file: "simulation/src/command/apart.rs",
        names: &["thread::spawn"],
        reason: "outside of the simulated world: a run that goes in circles is given up",
    },
    Driver {
        file: "simulation/src/command/sweep.rs",
        names: &["Instant::now"],
        reason: "outside of the simulated world: how long a sweep takes",
    },
    Driver {
        file: "simulation/src/command/measure.rs",
        names: &["Instant::now"],
        reason: "outside of the simulated world: how long runs take",
    },
    Driver {
        file: "simulation/src/command/shrink.rs",
        names: &["Instant::now"],
        reason: "outside of the simulated world: for how long a plan is cut down",
    },
    Driver {
        file: "simulation/src/command/bugs.rs",
        names: &["std::fs"],
        reason: "outside of the simulated world: a table in a file",
    },
    Driver {
        file: "simulation/src/command/kept.rs",
        names: &["std::fs"],
        reason: "outside of the simulated world: plans in files",
    },
    Driver {
        file: "simulation/src/command/replay.rs",
        names: &["std::fs"],
        reason: "outside of the simulated world: traces and pages in files",
    },
];

#[test]
fn clocks_threads_files_and_chance_are_used_by_drivers_alone() {
    let mut faults = Vec::new();
    for source in sources() {
        let driver = DRIVERS.iter().find(|driver| driver.file == source.path);
        for ban in BANS {
            let allowed = driver.is_some_and(|driver| driver.names.contains(&ban.name));
            if !allowed {
                faults.extend(banned_lines(&source.code, ban).into_iter().map(|line| {
                    format!("{}:{line}: {} is for drivers; use {}", source.path, ban.name, ban.instead)
                }));
            }
        }
    }
    none(&faults);
}

#[test]
fn drivers_still_need_what_they_are_allowed() {
    let sources = sources();
    let mut faults = Vec::new();
    for Driver { file, names, reason } in DRIVERS {
        match sources.iter().find(|source| source.path == *file) {
            None => faults.push(format!("{file}: there is no such file ({reason})")),
            Some(source) => faults.extend(
                names
                    .iter()
                    .filter(|name| !source.code.contains(**name))
                    .map(|name| format!("{file}: it does not use {name} any more")),
            ),
        }
    }
    none(&faults);
}

#[test]
fn every_select_is_biased() {
    let faults = faults_by_line(unbiased_selects, |path, line| {
        format!("{path}:{line}: select! without `biased;` is decided by no seed")
    });
    none(&faults);
}

#[test]
fn files_stay_short() {
    let faults: Vec<String> = sources()
        .iter()
        .map(|source| (source, source.code.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(source, lines)| {
            format!("{}:{lines}: {lines} lines before the tests; at most {FILE_LINES_MAX}", source.path)
        })
        .collect();
    none(&faults);
}

#[test]
fn functions_stay_short() {
    let mut faults = Vec::new();
    for source in sources() {
        for Function { line, name, lines } in functions(&source.code) {
            if lines > FUNCTION_LINES_MAX {
                faults.push(format!(
                    "{}:{line}: fn {name} has {lines} lines; at most {FUNCTION_LINES_MAX}",
                    source.path
                ));
            }
        }
    }
    none(&faults);
}

#[test]
fn rules_find_what_they_look_for() {
    let ban = &BANS[0];
    let finds = |code: &str| banned_lines(&bare(code), ban);
    assert_eq!(finds("use std::time::Instant;\nlet t = Instant::now();"), [2]);
    assert_eq!(finds("let t = std::time::Instant::now();"), [1]);
    assert_eq!(finds("use crate::runtime::{self, Instant};\nlet t = Instant::now();"), []);
    assert_eq!(finds("let t = lovebird_core::runtime::Instant::now();"), []);
    assert_eq!(finds("struct Instant(u64);\nlet t = Instant::now();"), []);
    assert_eq!(finds("use crate::runtime::Instant;\nlet t = std::time::Instant::now();"), [2]);
    assert_eq!(finds("// Instant::now()\nlet t = \"Instant::now()\"; /* Instant::now() */"), []);
    assert_eq!(finds("let q = '\"'; let t = Instant::now(); let r = '\\'';"), [1]);
    assert_eq!(finds("let r = r#\"a \" b\"#;\nfn f<'a>() { Instant::now() }"), [2]);

    assert_eq!(
        unbiased_selects("select! {\n    biased;\n}\nselect_biased! {}\ntokio::select! {\n  a = b => {}\n}"),
        [5]
    );

    let code = bare(
        "fn short() {}\ntrait T {\n fn none(x: [u8; 2]);\n fn long<'a>(x: &'a str) -> [u8; 2]\n where\n  T: U {\n  '{'\n }\n}",
    );
    let found: Vec<(usize, String, usize)> =
        functions(&code).into_iter().map(|found| (found.line, found.name, found.lines)).collect();
    assert_eq!(found, [(1, "short".to_owned(), 1), (4, "long".to_owned(), 5)]);

    let tested = "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n";
    assert_eq!(before_tests(tested), "fn a() {}\n");
    assert_eq!(
        before_tests("#[cfg(test)]\nmod tests;\nfn a() {}\n"),
        "#[cfg(test)]\nmod tests;\nfn a() {}\n"
    );
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} rules are broken:\n{}", faults.len(), faults.join("\n"));
}

/// A source file without what follows its tests, without comments and literals, line by line as it was.
struct Source {
    path: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in SOURCES {
        walk(&root.join(folder), &mut files);
    }
    assert!(files.len() > 20, "only {} source files were found below {}", files.len(), root.display());
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text =
                fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let path = file.strip_prefix(root).map(Path::to_path_buf).unwrap_or(file);
            Source { path: path.to_string_lossy().replace('\\', "/"), code: bare(before_tests(&text)) }
        })
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_some_and(|name| name != "tests.rs")
        {
            files.push(path);
        }
    }
}

fn faults_by_line(find: fn(&str) -> Vec<usize>, tell: fn(&str, usize) -> String) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources() {
        faults.extend(find(&source.code).into_iter().map(|line| tell(&source.path, line)));
    }
    faults
}

/// The part of a file in front of a `#[cfg(test)] mod … {`.
fn before_tests(text: &str) -> &str {
    let mut start = 0;
    let mut behind_attribute = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        match behind_attribute {
            Some(attribute) if content.starts_with("mod ") && content.contains('{') => {
                return &text[..attribute];
            }
            Some(_) if content.starts_with("#[") => {}
            _ => behind_attribute = (content == "#[cfg(test)]").then_some(start),
        }
        start += line.len();
    }
    text
}

/// The lines on which `ban` is broken. Our own `Instant::now` is told from the system's by what the file imports.
fn banned_lines(code: &str, ban: &Ban) -> Vec<usize> {
    let ours = imports_our_instant(code);
    let mut lines = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut uses = line.match_indices(ban.name).filter(|(at, _)| {
            let qualifier =
                line[..*at].rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).next();
            let qualifier = qualifier.unwrap_or_default();
            let whole = qualifier.is_empty() || qualifier.ends_with("::");
            let system = qualifier.split("::").any(|part| part == "time") || (qualifier.is_empty() && !ours);
            whole && (ban.name != "Instant::now" || system)
        });
        if uses.next().is_some() {
            lines.push(number + 1);
        }
    }
    lines
}

fn imports_our_instant(code: &str) -> bool {
    let declares = code.contains("struct Instant ") || code.contains("struct Instant(");
    declares
        || code.split(';').any(|statement| {
            statement.rfind("use ").is_some_and(|at| {
                let path: String = statement[at + 4..].split_whitespace().collect();
                let ours = path.contains("runtime::") || path.starts_with("super::");
                ours && path.split(|c: char| !c.is_alphanumeric()).any(|name| name == "Instant")
            })
        })
}

/// The lines of `select!`s whose first word is not `biased`.
fn unbiased_selects(code: &str) -> Vec<usize> {
    code.match_indices("select!")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .filter(|(at, name)| {
            let inside = code[at + name.len()..].trim_start().trim_start_matches(['{', '(', '[']);
            !inside.trim_start().starts_with("biased;")
        })
        .map(|(at, _)| line_of(code, at))
        .collect()
}

struct Function {
    line: usize,
    name: String,
    lines: usize,
}

/// All functions that have a body, also those within others.
fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if let Some(length) = body_end(rest) {
            let (first, last) = (line_of(code, at), line_of(code, at + 3 + length));
            found.push(Function { line: first, name, lines: last - first + 1 });
        }
    }
    found
}

/// How far it is from a function's name to the brace that closes its body; none if it has no body.
fn body_end(rest: &str) -> Option<usize> {
    let (mut brackets, mut braces) = (0_i32, 0_i32);
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if brackets == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The code with comments and the content of literals blanked out, and every line where it was.
fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = literal_or_comment(rest, out.chars().next_back()).unwrap_or(0);
        if length == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.push(' ');
            out.extend(rest[..length].chars().filter(|c| *c == '\n'));
            rest = &rest[length..];
        }
    }
    out
}

/// How long the comment or literal is that `rest` begins with, if it does.
fn literal_or_comment(rest: &str, before: Option<char>) -> Option<usize> {
    let within_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        Some(rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        Some(rest.find("*/").map_or(rest.len(), |end| end + 2))
    } else if rest.starts_with('"') {
        Some(quoted(rest, '"'))
    } else if rest.starts_with('r') && !within_name {
        let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
        let opened = rest[1 + hashes..].starts_with('"');
        let close = format!("\"{}", "#".repeat(hashes));
        let body = 2 + hashes;
        opened.then(|| rest[body..].find(&close).map_or(rest.len(), |end| body + end + close.len()))
    } else if let Some(behind) = rest.strip_prefix('\'') {
        // 'a' and '\n' are characters; 'a without a second quote is a lifetime.
        let mut chars = behind.chars();
        let (first, second) = (chars.next(), chars.next());
        (first == Some('\\') || second == Some('\'')).then(|| quoted(rest, '\''))
    } else {
        None
    }
}

/// The length of a literal that ends at the next `quote` that no backslash escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}
