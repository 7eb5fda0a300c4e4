//! `import`: a new cluster begins from an exported snapshot.

use std::path::Path;
use std::sync::Arc;

use lovebird_core::identity::{ClusterId, NodeId};
use lovebird_core::runtime::random_u64;
use lovebird_core::service::Model;
use lovebird_storage::rescue::{Import, Imported, import};
use lovebird_storage::{ReadOnlyDisk, RealDisk};
use serde_json::json;

use super::rescue::offline;
use crate::args::ServiceModel;
use crate::failure::Failure;
use crate::output::Answer;

/// What the new cluster is to be.
pub(super) struct New {
    pub(super) cluster: String,
    pub(super) id: NodeId,
    pub(super) address: String,
    pub(super) model: ServiceModel,
}

/// Makes the data directory.
pub(super) fn run(file: &Path, data: &Path, new: New) -> Result<Answer, Failure> {
    let New { cluster, id, address, model } = new;
    let model = match model {
        ServiceModel::StateMachine => Model::StateMachine,
        ServiceModel::PrimaryBackup => Model::PrimaryBackup,
    };
    let import_of = Import {
        cluster: ClusterId(random_u64()),
        cluster_name: cluster,
        node: id,
        incarnation: random_u64(),
        address: address.clone(),
        model,
    };
    let from = ReadOnlyDisk;
    let imported = import(&from, file, Arc::new(RealDisk), data, &import_of)
        .map_err(|error| offline("begin a cluster from the snapshot", error))?;
    Ok(done(&imported, file, data, &address))
}

fn done(imported: &Imported, file: &Path, data: &Path, address: &str) -> Answer {
    let Imported { identity, last_index, was, .. } = imported;
    let (file, data) = (file.display().to_string(), data.display().to_string());
    let (node, name) = (identity.id.node, &identity.cluster_name);
    let check = format!("lovebird status --node {address}");
    Answer {
        text: format!(
            "{data} is the directory of node {node} now, which is a new cluster {name:?} by itself, with the state of {file} up to log \
             index {last_index}.\nStart it with itself as the only member (--cluster {name} --peer {node}={address}), and add others.\n\
             Check: {check}"
        ),
        json: json!({
            "done": "import",
            "node": node,
            "directory": data,
            "cluster": identity.cluster.to_string(),
            "was": was.0.to_string(),
            "last_index": last_index,
            "address": address,
            "check": check,
        }),
    }
}
