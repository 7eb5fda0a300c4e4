//! The identity file of a data directory, which says whose it is. It is text:
//!
//! ```text
//! lovebird data directory
//! format 1
//! cluster 6d1a4e1c5b3f0a77
//! name arithmetic
//! members 1 2 3
//! node 1
//! incarnation 9f86d081884c7d65
//! starts 4
//! checksum 5a1b0c2d
//! ```
//!
//! | line | what | |
//! |---|---|---|
//! | `format` | 1, or 2 where `unfinished` follows | |
//! | `unfinished` | what was begun with the directory: `rescue` and the id that the cluster is to get, or `import` | in format 2 alone |
//! | `cluster` | the cluster's id | hexadecimal |
//! | `name` | the cluster's name | |
//! | `members` | the initial members | |
//! | `node` | the node | |
//! | `incarnation` | the life of the directory | hexadecimal |
//! | `model` | `primary-backup` | not in the state machine model, which was there first |
//! | `starts` | how often a node was started from it | |
//! | `checksum` | CRC-32C of all lines before it | hexadecimal |
//!
//! A cluster's id follows from its name and its initial members until it is rescued; then, and where it was made of a snapshot, it
//! is a number of its own, and nothing else of the file tells. So the id is believed as it is read.
//!
//! Format 2 is written while a directory is being rescued or made of a snapshot ([`crate::rescue`]), and gives way to format 1 when
//! that is finished. Between the two the directory is neither what it was nor what it is to be, and no node starts from it: neither
//! of this build, nor of an older one, which knows no format 2 and says so.
//!
//! The file is written to `identity.new`, synced and renamed, so that there is always a whole one.

use std::fmt::Write;
use std::io;
use std::path::Path;

use lovebird_core::error::StartError;
use lovebird_core::identity::{ClusterId, Identity, NodeId, RaftId};
use lovebird_core::service::Model;

use crate::disk::{Disk, read_exact_at};

/// The file's name in its directory.
pub(crate) const IDENTITY: &str = "identity";
/// Its name while it is being written.
pub(crate) const IDENTITY_NEW: &str = "identity.new";

const TITLE: &str = "lovebird data directory";
/// That of a directory with which nothing is unfinished.
const FORMAT: u32 = 1;
/// That of a directory with which something is.
const FORMAT_UNFINISHED: u32 = 2;

/// An identity file is a few lines; whatever is longer is none.
const IDENTITY_BYTES_MAX: u64 = 64 << 10;

/// Said of an identity that cannot be read, as the end of a sentence about the directory.
const DAMAGED: &str = "has a damaged identity file: restore it, or replace this member";

/// What was begun with a directory and is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// It is given to a cluster with this id, of which its node is the only member.
    Rescue(ClusterId),
    /// It is made of a snapshot.
    Import,
}

/// What a directory says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) identity: Identity,
    pub(crate) unfinished: Option<Unfinished>,
}

impl Stated {
    /// For whoever wants to start from the directory.
    pub(crate) fn finished(self, path: &Path) -> Result<Identity, StartError> {
        let reason = match self.unfinished {
            None => return Ok(self.identity),
            Some(Unfinished::Rescue(_)) => {
                "was being rescued, and that was not finished: run the rescue again"
            }
            Some(Unfinished::Import) => {
                "was being made of a snapshot, and that was not finished: run the import again, or delete the directory"
            }
        };
        Err(foreign(path, reason))
    }
}

pub(crate) fn foreign(path: &Path, reason: impl Into<String>) -> StartError {
    StartError::Foreign { directory: path.display().to_string(), reason: reason.into() }
}

/// Replaces what the directory at `path` says of itself, durably and as one step.
pub(crate) fn write(disk: &dyn Disk, path: &Path, stated: &Stated) -> io::Result<()> {
    let new = path.join(IDENTITY_NEW);
    if disk.exists(&new)? {
        lovebird_core::sometimes!("an identity that was only half written is written anew");
        disk.remove(&new)?;
    }
    let file = disk.create(&new)?;
    file.write_at(0, encode(stated).as_bytes())?;
    file.sync_data()?;
    disk.rename(&new, &path.join(IDENTITY))?;
    disk.sync_dir(path)
}

/// Reads what the directory at `path` says of itself.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Stated, StartError> {
    let file = disk.open(&path.join(IDENTITY)).map_err(StartError::Storage)?;
    let length = file.len().map_err(StartError::Storage)?.min(IDENTITY_BYTES_MAX);
    let mut bytes = vec![0; length as usize];
    read_exact_at(&*file, 0, &mut bytes).map_err(StartError::Storage)?;
    decode(&String::from_utf8_lossy(&bytes)).map_err(|reason| {
        lovebird_core::sometimes!("a damaged identity is refused");
        foreign(path, reason)
    })
}

fn encode(stated: &Stated) -> String {
    let Stated { identity, unfinished } = stated;
    let (format, unfinished) = match unfinished {
        None => (FORMAT, String::new()),
        Some(Unfinished::Rescue(cluster)) => (FORMAT_UNFINISHED, format!("unfinished rescue {cluster}\n")),
        Some(Unfinished::Import) => (FORMAT_UNFINISHED, "unfinished import\n".to_owned()),
    };
    let members: Vec<String> = identity.initial_members.iter().map(NodeId::to_string).collect();
    let model = match identity.model {
        // So that such a directory has the bytes that it had before there was another model.
        Model::StateMachine => String::new(),
        Model::PrimaryBackup => format!("model {}\n", identity.model),
    };
    let mut text = format!(
        "{TITLE}\nformat {format}\n{unfinished}cluster {}\nname {}\nmembers {}\nnode {}\nincarnation {:016x}\n{model}starts {}\n",
        identity.cluster,
        identity.cluster_name,
        members.join(" "),
        identity.id.node,
        identity.id.incarnation,
        identity.starts
    );
    let checksum = crc32c::crc32c(text.as_bytes());
    writeln!(text, "checksum {checksum:08x}").expect("a string takes whatever is written to it");
    text
}

/// Reads an identity; an error is the end of a sentence about the directory.
fn decode(text: &str) -> Result<Stated, String> {
    let lines = &mut text.lines().peekable();
    if lines.next() != Some(TITLE) {
        return Err("has an identity file that is none of a node's: choose another directory".to_owned());
    }
    let format: u32 = field(lines, "format")?.parse().map_err(|_| DAMAGED)?;
    let unfinished = match format {
        FORMAT => None,
        FORMAT_UNFINISHED => Some(field(lines, "unfinished")?),
        _ => {
            return Err(format!(
                "has format {format}; this build knows {FORMAT} and {FORMAT_UNFINISHED}: upgrade this node"
            ));
        }
    };
    let covered = text.rfind("checksum ").ok_or(DAMAGED)?;
    let cluster = cluster_of(field(lines, "cluster")?).ok_or(DAMAGED)?;
    let cluster_name = field(lines, "name")?.to_owned();
    let initial_members: Result<_, _> = field(lines, "members")?.split(' ').map(str::parse).collect();
    let node = field(lines, "node")?.parse().map_err(|_| DAMAGED)?;
    let incarnation = u64::from_str_radix(field(lines, "incarnation")?, 16).map_err(|_| DAMAGED)?;
    let model = lines.next_if(|line| line.starts_with("model ")).map(|line| &line["model ".len()..]);
    let starts = field(lines, "starts")?.parse().map_err(|_| DAMAGED)?;
    let checksum = u32::from_str_radix(field(lines, "checksum")?, 16).map_err(|_| DAMAGED)?;
    if crc32c::crc32c(&text.as_bytes()[..covered]) != checksum {
        return Err(DAMAGED.to_owned());
    }
    let identity = Identity {
        cluster,
        cluster_name,
        initial_members: initial_members.map_err(|_| DAMAGED)?,
        id: RaftId::new(node, incarnation),
        // Behind the checksum, so that damage is not taken for what a later version wrote.
        model: model.map_or(Ok(Model::StateMachine), model_of)?,
        starts,
    };
    Ok(Stated { identity, unfinished: unfinished.map(unfinished_of).transpose()? })
}

/// What stands behind `name` in the next line.
fn field<'a>(lines: &mut impl Iterator<Item = &'a str>, name: &str) -> Result<&'a str, String> {
    let line = lines.next();
    line.and_then(|line| line.strip_prefix(name)?.strip_prefix(' ')).ok_or_else(|| DAMAGED.to_owned())
}

/// The model of that name.
fn model_of(name: &str) -> Result<Model, String> {
    let mut known = [Model::StateMachine, Model::PrimaryBackup].into_iter();
    known.find(|model| model.to_string() == name).ok_or_else(|| {
        format!("holds the log of a service in the {name} model, which this build does not know: upgrade this node")
    })
}

fn cluster_of(text: &str) -> Option<ClusterId> {
    u64::from_str_radix(text, 16).ok().map(ClusterId)
}

/// What was begun, by what stands in the line.
fn unfinished_of(text: &str) -> Result<Unfinished, String> {
    let rescue = |text: &str| cluster_of(text.strip_prefix("rescue ")?).map(Unfinished::Rescue);
    match text {
        "import" => Ok(Unfinished::Import),
        text => rescue(text).ok_or_else(|| {
            format!(
                "is in the middle of something that this build does not know, {text:?}: upgrade this node"
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn stated(model: Model) -> Stated {
        let identity = Identity {
            cluster: ClusterId(1),
            cluster_name: "doves".to_owned(),
            initial_members: BTreeSet::from([1, 2]),
            id: RaftId::new(1, 9),
            model,
            starts: 1,
        };
        Stated { identity, unfinished: None }
    }

    #[test]
    fn a_damaged_identity_is_refused() {
        let plain = stated(Model::StateMachine);
        for stated in [
            plain.clone(),
            stated(Model::PrimaryBackup),
            Stated { unfinished: Some(Unfinished::Rescue(ClusterId(7))), ..plain.clone() },
            Stated { unfinished: Some(Unfinished::Import), ..plain },
        ] {
            let text = encode(&stated);
            assert_eq!(decode(&text).unwrap(), stated);
            for at in 0..text.len() - 1 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                let damaged = String::from_utf8_lossy(&bytes).into_owned();
                assert!(decode(&damaged).is_err(), "a flip of byte {at} goes unnoticed:\n{damaged}");
            }
        }
    }

    /// The identity of the primary-backup model with other lines, and a checksum that is right.
    fn altered(from: &str, to: &str) -> String {
        let text = encode(&stated(Model::PrimaryBackup)).replace(from, to);
        let covered = &text[..text.rfind("checksum").unwrap()];
        format!("{covered}checksum {:08x}\n", crc32c::crc32c(covered.as_bytes()))
    }

    #[test]
    fn the_line_of_the_model_is_there_in_the_primary_backup_model_alone() {
        let text = encode(&stated(Model::StateMachine));
        assert_eq!(
            altered("model primary-backup\n", ""),
            text,
            "a directory of the state machine model has changed"
        );
        let line = "incarnation 0000000000000009\nmodel primary-backup\nstarts 1\n";
        assert!(encode(&stated(Model::PrimaryBackup)).contains(line));
    }

    #[test]
    fn a_model_that_is_not_known_is_told_from_damage() {
        let later = altered("primary-backup", "chain");
        assert!(
            decode(&later)
                .unwrap_err()
                .contains("in the chain model, which this build does not know: upgrade")
        );
        let flipped = later.replace("chain", "chair");
        assert!(decode(&flipped).unwrap_err().contains("damaged"), "what does not verify says nothing");
        for (from, to) in [
            ("model primary-backup", "model"),
            ("model primary-backup\n", "model primary-backup\nmodel primary-backup\n"),
            (
                "incarnation 0000000000000009\nmodel primary-backup",
                "model primary-backup\nincarnation 0000000000000009",
            ),
        ] {
            assert!(decode(&altered(from, to)).unwrap_err().contains("damaged"), "{to}");
        }
    }

    #[test]
    fn formats_stay_as_they_are() {
        let plain = stated(Model::StateMachine);
        let rescue = Stated { unfinished: Some(Unfinished::Rescue(ClusterId(7))), ..plain.clone() };
        let import = Stated { unfinished: Some(Unfinished::Import), ..stated(Model::PrimaryBackup) };
        for (stated, fixture) in [
            (&rescue, include_str!("../tests/fixtures/unfinished/rescue")),
            (&import, include_str!("../tests/fixtures/unfinished/import")),
        ] {
            assert_eq!(encode(stated), fixture);
            assert_eq!(decode(fixture).unwrap(), *stated);
        }
        assert!(encode(&plain).starts_with("lovebird data directory\nformat 1\ncluster "));
    }

    #[test]
    fn what_is_unfinished_and_not_known_is_told_from_damage() {
        let text = encode(&Stated { unfinished: Some(Unfinished::Import), ..stated(Model::StateMachine) });
        let with = |line: &str| {
            let text = text.replace("unfinished import\n", line);
            let covered = &text[..text.rfind("checksum").unwrap()];
            decode(&format!("{covered}checksum {:08x}\n", crc32c::crc32c(covered.as_bytes()))).unwrap_err()
        };
        assert!(with("unfinished move 7\n").contains("\"move 7\": upgrade this node"));
        assert!(with("unfinished rescue x\n").contains("upgrade this node"));
        assert!(with("").contains("damaged"));
        assert!(with("unfinished import\nunfinished import\n").contains("damaged"));
    }
}
