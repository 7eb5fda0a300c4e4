//! Draws a run: one page of HTML that needs nothing but a browser, for whoever has to understand what happened.
//!
//! Time runs to the right. Each node has a lane, coloured by its role, in which lives, terms, commits and syncs are seen; messages
//! are lines from lane to lane; what subscribers and clients saw lies below, and faults above. The page opens on the seconds before the
//! first violation, and lists, beside the picture, what happened within it.
//!
//! # What the page holds
//!
//! The events lie in the page as JSON, in a form that a script reads as it is and that stays short, since a run has some hundred
//! thousand of them: each is a row of numbers, its words are positions in one list of words, and its time is counted from the event
//! before it. `pack.rs` says which number is what. The script draws only what is in sight.
//!
//! Details are what clients and users said, and may be anything at all. In the page's JSON no `<` is left that could end the script
//! element it stands in, and the script gives texts to the browser as texts, never as markup.

mod pack;

use crate::story::Event;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// In this order they are one function's body.
const SCRIPT: [&str; 5] = [
    include_str!("read.js"),
    include_str!("lanes.js"),
    include_str!("view.js"),
    include_str!("draw.js"),
    include_str!("steer.js"),
];

/// What stands at the head of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heading {
    /// What this is a run of, such as `Seed 17`.
    pub title: String,
    /// What else is to be known of the run, each with its name: nodes, model, what it came to, how to run it again.
    pub facts: Vec<(String, String)>,
}

/// A whole page, to be written into a file as it is. The events may come in any order.
///
/// Of faults the page knows which last: a cut until it heals, isolation until all rejoin, weather, drift, leaps and slow disks
/// until the next of their kind, a full disk until it has space, and a pause as long as its detail says. A fault whose kind begins
/// with `heal` and that strikes nobody by name ends them all. What it does not know is a moment.
pub fn page(heading: &Heading, events: &[Event]) -> String {
    let data = pack::pack(heading, events).to_string();
    fill(PAGE, |name| match name {
        "title" => escape_text(&heading.title),
        "style" => STYLE.to_owned(),
        "script" => SCRIPT.concat(),
        _ => escape_script(&data),
    })
}

/// The template with each `{{name}}` replaced. What stands in its place is not looked at again, whatever braces it has.
fn fill(template: &str, with: impl Fn(&str) -> String) -> String {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, name, after)) = rest
        .split_once("{{")
        .and_then(|(before, rest)| rest.split_once("}}").map(|(name, after)| (before, name, after)))
    {
        page.push_str(before);
        page.push_str(&with(name));
        rest = after;
    }
    page.push_str(rest);
    page
}

/// JSON that can stand in a script element: it means the same, and neither ends the element nor opens a comment.
fn escape_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// A text that can stand between tags.
fn escape_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
