//! The page that draws a run.
#![cfg(not(madsim))]
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;

use lovebird_simulation::explain::{Heading, page};
use lovebird_simulation::story::{Event, Stage, Turn, What};
use serde_json::Value;

const MS: u64 = 1_000_000;

fn heading() -> Heading {
    Heading {
        title: "Seed 17".to_owned(),
        facts: vec![
            ("model".to_owned(), "state machine".to_owned()),
            ("nodes".to_owned(), "3".to_owned()),
            ("violations".to_owned(), "2".to_owned()),
            ("again".to_owned(), "cargo simulate run 17".to_owned()),
        ],
    }
}

/// A made-up run, in the order of time.
#[derive(Default)]
struct Story {
    events: Vec<Event>,
    /// A small generator (Knuth's constants), so that the picture is not all straight lines.
    dice: u64,
}

impl Story {
    fn tell(&mut self, at_nanos: u64, what: What, detail: &str) {
        self.events.push(Event { at_nanos, what, detail: detail.to_owned() });
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    fn message(&mut self, at: u64, from: u64, to: u64, kind: &'static str, lost: bool) {
        let arrives_nanos = (!lost).then_some(at + 300_000 + self.roll(2 * MS));
        let bytes = 60 + self.roll(4_000);
        self.tell(at, What::Message { from, to, kind: kind.into(), bytes, arrives_nanos }, "");
    }

    fn fault(&mut self, at: u64, kind: &'static str, nodes: &[u64], detail: &str) {
        self.tell(at, What::Fault { kind: kind.into(), nodes: nodes.to_vec() }, detail);
    }

    fn life(&mut self, at: u64, node: u64, life: u64, turn: Turn) {
        self.tell(at, What::Life { node, life, turn }, "");
    }

    fn seen(&mut self, at: u64, node: u64, role: &'static str, term: u64, committed: u64) {
        let applied = committed.saturating_sub(self.roll(3));
        self.tell(at, What::Seen { node, role: role.into(), term, committed, applied }, "");
    }
}

/// Twenty seconds of three nodes: the first leader is killed after six and comes back at nine; node 3 is cut off from eleven to
/// fourteen; a read is stale at twelve.
fn run() -> Story {
    let mut story = Story::default();
    for node in 1..=3 {
        story.life(node * 7 * MS, node, 1, Turn::Starts);
        story.life(node * 11 * MS + 20 * MS, node, 1, Turn::Serves);
    }
    let (mut index, mut operation) = (0, 0);
    for tick in 20..4_000 {
        let at = tick * 5 * MS;
        let is_down = (1_200..1_800).contains(&tick);
        let (leader, term) = if tick < 1_200 { (1, 2) } else { (2, 4) };
        let followers: Vec<u64> =
            (1..=3).filter(|node| *node != leader && !(is_down && *node == 1)).collect();
        events_of(&mut story, tick, at);
        if (1_200..1_260).contains(&tick) {
            continue;
        }
        index += 1;
        for &node in &followers {
            let is_cut = (2_200..2_800).contains(&tick) && node == 3;
            story.message(at, leader, node, "append", is_cut);
            if !is_cut {
                story.message(at + MS, node, leader, "append reply", story.events.len() % 97 == 0);
                let what =
                    What::Applied { node, life: 1, index, digest: index.wrapping_mul(0x9E37_79B9_7F4A_7C15) };
                story.tell(at + 4 * MS, what, "");
            }
            story.tell(at + MS, What::Sync { node, lasts_nanos: 400_000 + 10_000 * (tick % 90) }, "");
        }
        if tick % 40 == 0 {
            story.seen(at, leader, "leader", term, index);
            followers.iter().for_each(|node| story.seen(at, *node, "follower", term, index));
        }
        client(&mut story, &mut operation, at, index);
    }
    story
}

/// The faults and their consequences.
fn events_of(story: &mut Story, tick: u64, at: u64) {
    match tick {
        20 => {
            story.seen(at, 1, "leader", 2, 0);
            story.seen(at, 2, "follower", 2, 0);
            story.seen(at, 3, "follower", 2, 0);
        }
        1_200 => {
            story.fault(at, "kill of the leader", &[1], "of node 1");
            story.life(at, 1, 1, Turn::Killed);
        }
        1_240 => {
            story.seen(at, 2, "candidate", 4, 1_180);
            story.message(at, 2, 1, "vote", true);
            story.message(at, 2, 3, "vote", false);
            story.message(at + 3 * MS, 3, 2, "vote reply", false);
        }
        1_260 => story.seen(at, 2, "leader", 4, 1_180),
        1_800 => {
            story.fault(at, "restart", &[1], "");
            story.life(at, 1, 2, Turn::Starts);
            story.life(at + 80 * MS, 1, 2, Turn::Serves);
            let what = What::Restored { node: 1, life: 2, index: 1_000, digest: 0xbeef };
            story.tell(at + 85 * MS, what, "");
        }
        2_200 => story.fault(at, "isolate", &[3], "both ways"),
        2_400 => {
            let what = What::Violation { invariant: "linearizable reads".into(), nodes: vec![3] };
            story.tell(
                at,
                what,
                "client 102 was told 17 at log index 2201 on node 3, although client 101 had been told log index 2298 before",
            );
        }
        2_800 => story.fault(at, "rejoin", &[], ""),
        2_900 => story.fault(at, "cut", &[], "Cut { from: 1, to: 102 }"),
        2_950 => story.fault(at, "pause", &[1], "Pause { who: Node(1), for_ms: 400 }"),
        3_000 => story.fault(at, "slow disk", &[2], "SlowDisk { node: 2, sync_ms: 20 }"),
        3_100 => story.fault(at, "heal", &[], "Heal { from: 1, to: 102 }"),
        3_600 => {
            story.fault(at, "slow disk", &[2], "SlowDisk { node: 2, sync_ms: 0 }");
            let what = What::Violation { invariant: "bounded recovery".into(), nodes: vec![] };
            story.tell(at, what, "nobody answered for 2 s");
        }
        _ => {}
    }
}

fn client(story: &mut Story, operation: &mut u64, at: u64, index: u64) {
    for client in [101, 102, 103] {
        if story.roll(8) != 0 {
            continue;
        }
        *operation += 1;
        let number = *operation;
        let kind = ["propose", "read linearizable", "read by lease"][story.roll(3) as usize];
        let tell = |story: &mut Story, at, kind: &'static str, stage, detail: &str| {
            story.tell(at, What::Operation { client, number, kind: kind.into(), stage }, detail);
        };
        tell(story, at, kind, Stage::Begins, "x += 5");
        let stage = match story.roll(20) {
            0 => Stage::Unknown,
            1 => Stage::Failed,
            2 => continue,
            _ => Stage::Succeeded(index),
        };
        let takes = 2 * MS + story.roll(60) * MS;
        tell(story, at + takes, "", stage, "x = 17");
    }
    if index.is_multiple_of(4) {
        story.tell(at, What::Followed { subscriber: 1, kind: "record".into(), index }, "");
    }
}

/// The JSON that lies in a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="run">"#).unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

/// What the page's script does with a row.
fn unpack(data: &Value) -> Vec<Event> {
    let word = |place: &Value| data["words"][place.as_u64().unwrap() as usize].as_str().unwrap().to_owned();
    let mut at_nanos = 0;
    let mut events = Vec::new();
    for row in data["rows"].as_array().unwrap() {
        at_nanos += row[0].as_u64().unwrap();
        let number = |at: usize| row[at].as_u64().unwrap();
        let kind = |at: usize| word(&row[at]).into();
        let nodes = || row[4].as_array().unwrap().iter().map(|node| node.as_u64().unwrap()).collect();
        let digest = || u64::from_str_radix(row[6].as_str().unwrap(), 16).unwrap();
        let turns = [Turn::Starts, Turn::Serves, Turn::Killed, Turn::Stopped, Turn::Refused];
        let what = match number(1) {
            0 => What::Fault { kind: kind(3), nodes: nodes() },
            1 => What::Life { node: number(3), life: number(4), turn: turns[number(5) as usize] },
            2 => What::Seen {
                node: number(3),
                role: kind(4),
                term: number(5),
                committed: number(6),
                applied: number(7),
            },
            3 => What::Message {
                from: number(3),
                to: number(4),
                kind: kind(5),
                bytes: number(6),
                arrives_nanos: row[7].as_u64().map(|takes| at_nanos + takes),
            },
            4 => What::Sync { node: number(3), lasts_nanos: number(4) },
            5 => What::Applied { node: number(3), life: number(4), index: number(5), digest: digest() },
            6 => What::Executed { node: number(3), life: number(4), term: number(5) },
            7 => What::Restored { node: number(3), life: number(4), index: number(5), digest: digest() },
            8 => {
                let stage = match number(6) {
                    0 => Stage::Begins,
                    1 => Stage::Succeeded(number(7)),
                    2 => Stage::Failed,
                    _ => Stage::Unknown,
                };
                What::Operation { client: number(3), number: number(4), kind: kind(5), stage }
            }
            9 => What::Followed { subscriber: number(3), kind: kind(4), index: number(5) },
            _ => What::Violation { invariant: kind(3), nodes: nodes() },
        };
        events.push(Event { at_nanos, what, detail: word(&row[2]) });
    }
    events
}

/// The page stays where cargo keeps what tests write, for whoever wants to look at it.
#[test]
fn a_run_comes_back_out_of_its_page() {
    let Story { mut events, .. } = run();
    events.push(Event {
        at_nanos: 21_000 * MS,
        what: What::Executed { node: 2, life: 1, term: 4 },
        detail: String::new(),
    });
    let page = page(&heading(), &events);
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("explain.html"), &page).unwrap();
    let data = data(&page);
    assert_eq!(data["title"], "Seed 17");
    assert_eq!(data["facts"][3][1], "cargo simulate run 17");
    events.sort_by_key(|event| event.at_nanos);
    assert_eq!(unpack(&data), events);
    let each = page.len() / events.len();
    println!("measured: {} events make a page of {} KB, {each} bytes each", events.len(), page.len() / 1024);
    assert!(each < 60, "a page of a hundred thousand events has a few megabytes: {each} bytes each");
}

#[test]
fn a_page_stands_by_itself() {
    let page = page(&heading(), &run().events);
    assert!(page.starts_with("<!doctype html>"));
    assert!(page.contains("<title>Seed 17</title>") && page.contains("<h1>Seed 17</h1>"));
    for outside in ["http:", "https:", "src=", "@import", "url(", "<link", "fetch(", "import("] {
        assert!(!page.contains(outside), "a page needs nothing from outside, such as {outside}");
    }
    for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!page.contains(markup), "what a run says is never taken for markup or code, as by {markup}");
    }
    assert!(!page.contains("{{"), "every place in the template is filled");
}

#[test]
fn a_page_of_nothing() {
    let page = page(&Heading::default(), &[]);
    assert_eq!(unpack(&data(&page)), []);
}

#[test]
fn hostile_texts_stay_texts() {
    let hostile = "</script><script>alert(1)</script><!-- {{style}} & \u{2028} \" ' \\ </SCRIPT ]]>";
    let heading =
        Heading { title: hostile.to_owned(), facts: vec![(hostile.to_owned(), hostile.to_owned())] };
    let what = What::Violation { invariant: hostile.to_owned().into(), nodes: vec![1] };
    let events = [Event { at_nanos: 1, what, detail: hostile.to_owned() }];
    let hostile_page = page(&heading, &events);
    assert_eq!(unpack(&data(&hostile_page)), events);
    assert_eq!(data(&hostile_page)["facts"][0][1], hostile);
    let tags = |page: &str| page.matches("<script").count() + page.to_lowercase().matches("</script").count();
    assert_eq!(tags(&hostile_page), tags(&page(&Heading::default(), &[])));
    assert!(!hostile_page.contains("alert(1)</script>") && !hostile_page.contains("<!--"));
}

#[test]
fn events_are_put_into_the_order_of_time() {
    let event =
        |at_nanos, node| Event { at_nanos, what: What::Sync { node, lasts_nanos: 1 }, detail: String::new() };
    let page = page(&heading(), &[event(5, 1), event(3, 2), event(5, 3), event(0, 4)]);
    assert_eq!(unpack(&data(&page)), [event(0, 4), event(3, 2), event(5, 1), event(5, 3)]);
}
