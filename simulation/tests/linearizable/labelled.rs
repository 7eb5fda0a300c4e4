//! Histories that were judged long ago: those of a real store under Jepsen, and of a store of strings, that ship with porcupine.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use lovebird_simulation::linearizable::models::{Keyed, Register, RegisterInput, RegisterOutput};
use lovebird_simulation::linearizable::{Model, Operation, STEPS_MAX, Verdict, check, replay};

/// The histories of the store under Jepsen that are linearizable, by their numbers; of number 95 there is none.
const LINEARIZABLE: [u32; 23] =
    [2, 5, 7, 18, 25, 31, 38, 45, 48, 49, 51, 53, 56, 67, 75, 76, 80, 87, 92, 98, 100, 101, 102];

/// Where cargo has put porcupine's sources.
fn test_data() -> PathBuf {
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let version = output("rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let arguments = [
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        host,
        "--manifest-path",
        manifest,
    ];
    let metadata: serde_json::Value = serde_json::from_str(&output(env!("CARGO"), &arguments)).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "porcupine-rs").unwrap();
    PathBuf::from(package["manifest_path"].as_str().unwrap()).with_file_name("test_data")
}

type RegisterOp = Operation<RegisterInput<Option<u64>>, RegisterOutput<Option<u64>>>;

/// A history of a register that starts empty. Each line is an event: a client's number, what it is, an operation and its values.
fn jepsen(text: &str) -> Vec<RegisterOp> {
    let mut history: Vec<RegisterOp> = Vec::new();
    let mut under_way = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let Some((_, event)) = line.split_once("jepsen.util - ") else { continue };
        let fields: Vec<&str> =
            event.split_whitespace().map(|field| field.trim_matches(['[', ']'])).collect();
        let Ok(client) = fields[0].parse::<u64>() else { continue };
        let number = |field: usize| fields[field].parse::<u64>().ok();
        match (fields[1], fields[2]) {
            (":invoke", operation) => {
                let input = match operation {
                    ":read" => RegisterInput::Read,
                    ":write" => RegisterInput::Write(number(3)),
                    ":cas" => RegisterInput::CompareAndSet { expected: number(3), new: number(4) },
                    other => panic!("no operation is called {other}"),
                };
                under_way.insert(client, history.len());
                history.push(Operation { client, called: at as u64, input, returned: None });
            }
            (":ok" | ":fail", _) if fields.contains(&":timed-out") => {}
            (outcome @ (":ok" | ":fail"), operation) => {
                let output = match operation {
                    ":read" => RegisterOutput::Value(number(3)),
                    ":write" => RegisterOutput::Written,
                    _ => RegisterOutput::Set(outcome == ":ok"),
                };
                history[under_way[&client]].returned = Some((at as u64, output));
            }
            _ => {}
        }
    }
    history
}

#[test]
fn a_store_under_jepsen() {
    let (data, begun) = (test_data().join("jepsen"), Instant::now());
    let (mut wrong, mut linearizable, mut operations) = (Vec::new(), 0, 0);
    let model = Register { initial: None };
    for number in (0..=102).filter(|number| *number != 95) {
        let history = jepsen(&fs::read_to_string(data.join(format!("etcd_{number:03}.log"))).unwrap());
        operations += history.len();
        match check(&model, &history, STEPS_MAX) {
            Verdict::Linearizable(order) => {
                replay(&model, &history, &order).unwrap();
                linearizable += 1;
                wrong.extend((!LINEARIZABLE.contains(&number)).then_some(number));
            }
            Verdict::Not(_) => wrong.extend(LINEARIZABLE.contains(&number).then_some(number)),
            Verdict::GaveUp(at) => panic!("gave up on history {number}: {}", at.sentence(&history)),
        }
    }
    assert!(wrong.is_empty(), "these are labelled otherwise: {wrong:?}");
    println!(
        "measured: 102 histories of {operations} operations, {linearizable} of them linearizable, in {:?}",
        begun.elapsed()
    );
}

/// A store of strings under keys, to which clients append.
struct Strings;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ask {
    Get,
    Put(String),
    Append(String),
}

impl Model for Strings {
    type State = String;
    type Input = Ask;
    type Output = Option<String>;
    type Part = ();

    fn part(&self, _: &Ask) {}

    fn initial(&self, (): &()) -> String {
        String::new()
    }

    fn step(&self, state: &String, input: &Ask, output: Option<&Option<String>>) -> Option<String> {
        match (input, output) {
            (Ask::Get, Some(Some(value))) => (value == state).then(|| state.clone()),
            (Ask::Get, _) => Some(state.clone()),
            (Ask::Put(value), _) => Some(value.clone()),
            (Ask::Append(value), _) => Some(format!("{state}{value}")),
        }
    }

    fn only_looks(&self, input: &Ask, _: Option<&Option<String>>) -> bool {
        *input == Ask::Get
    }
}

type StringOp = Operation<(String, Ask), Option<String>>;

fn strings(text: &str) -> Vec<StringOp> {
    let mut history: Vec<StringOp> = Vec::new();
    let mut under_way = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let quoted: Vec<&str> = line.split('"').collect();
        let (key, value) = (quoted[1].to_owned(), quoted.get(3).map(|value| (*value).to_owned()));
        let client: u64 = line.split([' ', ',']).nth(1).unwrap().parse().unwrap();
        if line.contains(":type :invoke") {
            let ask = match value {
                None => Ask::Get,
                Some(value) if line.contains(":f :put") => Ask::Put(value),
                Some(value) => Ask::Append(value),
            };
            under_way.insert(client, history.len());
            history.push(Operation { client, called: at as u64, input: (key, ask), returned: None });
        } else {
            let operation = &mut history[under_way[&client]];
            let output = value.filter(|_| operation.input.1 == Ask::Get);
            operation.returned = Some((at as u64, output));
        }
    }
    history
}

#[test]
fn a_store_of_strings() {
    let data = test_data().join("kv");
    let model = Keyed::new(Strings);
    for (name, linearizable) in [
        ("c01-ok", true),
        ("c01-bad", false),
        ("c10-ok", true),
        ("c10-bad", false),
        ("c50-ok", true),
        ("c50-bad", false),
    ] {
        let history = strings(&fs::read_to_string(data.join(name).with_extension("txt")).unwrap());
        let begun = Instant::now();
        match check(&model, &history, STEPS_MAX) {
            Verdict::Linearizable(order) => {
                assert!(linearizable, "{name} is labelled as not linearizable");
                replay(&model, &history, &order).unwrap();
            }
            Verdict::Not(contradiction) => {
                assert!(
                    !linearizable,
                    "{name} is labelled as linearizable: {}",
                    contradiction.sentence(&history)
                );
            }
            Verdict::GaveUp(at) => panic!("gave up on {name}: {}", at.sentence(&history)),
        }
        println!("measured: {name}, {} operations, in {:?}", history.len(), begun.elapsed());
    }
}
