//! How the users' types become bytes.
//!
//! An entry's header names the codec that wrote its records, so that a later one can stand beside it. The default is
//! bincode 2 in its standard configuration: compact, quick, and not self-describing, so a `Command` that must stay readable
//! across versions of a service should be an enum that only grows at its end.

use std::io::{Read, Write};

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use bytes::BufMut;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::record::PAYLOAD_BYTES_MAX;

/// Anything that can be a command, a reply, a query or an answer: any serde type that owns what it holds.
pub trait Data: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Data for T {}

/// A value could not be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct CodecError(pub String);

/// Turns values into bytes and back.
pub trait Codec {
    /// The number by which entry headers name this codec.
    const ID: u8;

    /// Encodes a value.
    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError>;

    /// The same, behind what `out` holds. After an error `out` may hold a part of the value.
    fn encode_into<T: Serialize>(value: &T, out: &mut impl BufMut) -> Result<(), CodecError>;

    /// Decodes a value; all bytes must be used, and at most [`PAYLOAD_BYTES_MAX`] are believed.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError>;
}

/// bincode 2, `config::standard()`.
#[derive(Clone, Copy, Debug)]
pub struct Bincode;

type Limited = Configuration<LittleEndian, Varint, Limit<PAYLOAD_BYTES_MAX>>;

impl Codec for Bincode {
    const ID: u8 = 1;

    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
        bincode::serde::encode_to_vec(value, config::standard()).map_err(|e| CodecError(e.to_string()))
    }

    fn encode_into<T: Serialize>(value: &T, out: &mut impl BufMut) -> Result<(), CodecError> {
        bincode::serde::encode_into_std_write(value, &mut out.writer(), config::standard())
            .map(|_| ())
            .map_err(|e| CodecError(e.to_string()))
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        let limited: Limited = config::standard().with_limit();
        let (value, used) =
            bincode::serde::decode_from_slice(bytes, limited).map_err(|e| CodecError(e.to_string()))?;
        if used != bytes.len() {
            return Err(CodecError(format!("{} bytes are left over after the value", bytes.len() - used)));
        }
        Ok(value)
    }
}

/// Writes a value of any size to `out`.
pub fn write_to(value: &impl Serialize, mut out: &mut dyn Write) -> std::io::Result<()> {
    bincode::serde::encode_into_std_write(value, &mut out, config::standard())
        .map(|_| ())
        .map_err(std::io::Error::other)
}

/// Reads a value of any size from `input`, which is trusted (snapshots are verified as they are read).
pub fn read_from<T: DeserializeOwned>(mut input: &mut dyn Read) -> std::io::Result<T> {
    bincode::serde::decode_from_std_read(&mut input, config::standard()).map_err(std::io::Error::other)
}
