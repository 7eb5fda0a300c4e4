//! Limits and deadlines, in one place; the crate root says how they hang together.

use std::time::Duration;

use lovebird_core::entry::BODY_BYTES_MAX;
use lovebird_core::transport::{TransportError, TransportResult};
use prost::Message;

/// The largest message: an append with one entry of the largest body, and 1 MiB for all that stands around it.
pub const MESSAGE_BYTES_MAX: usize = BODY_BYTES_MAX + (1 << 20);

/// The longest text of a refusal or another error that crosses the network; what is longer is cut. gRPC carries such
/// texts in headers, which HTTP/2 stacks bound at 16 KiB, after an encoding that may triple them.
pub const TEXT_BYTES_MAX: usize = 4 << 10;

/// How long a proxy tries to connect, unless it is told otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often either side of a connection asks the other for a sign of life.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// How long either side waits for that sign before it gives the connection up.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a server that shuts down lets calls and streams finish by themselves.
pub const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// How many bytes of one stream may be under way without having been taken by the receiving handler.
pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// The same for all streams of a connection together. Far above one stream's, so that some handlers which are slow to
/// take what they are sent do not keep heartbeats and votes from arriving.
pub const CONNECTION_WINDOW_BYTES: u32 = 128 << 20;

/// How many calls and streams one connection carries at the same time; further ones wait.
pub const STREAMS_MAX: u32 = 1 << 16;

/// Refuses a message that its receiver would not decode.
pub(crate) fn check_size(message: &impl Message) -> TransportResult<()> {
    let bytes = message.encoded_len();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(TransportError::Refused(format!(
            "the message has {bytes} bytes; at most {MESSAGE_BYTES_MAX} are allowed: send less at once"
        )));
    }
    Ok(())
}

/// Cuts a text that is too long to cross the network.
pub(crate) fn clip(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(clip("short".to_owned()), "short");
        let long = clip("ä".repeat(TEXT_BYTES_MAX));
        assert!(
            long.len() <= TEXT_BYTES_MAX && long.len() > TEXT_BYTES_MAX - 8,
            "{} bytes are left",
            long.len()
        );
        assert!(long.ends_with("ä…"));
    }
}
