//! A member as the command line gives it.

use std::str::FromStr;

/// `1=127.0.0.1:7001`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub id: u64,
    pub address: String,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Peer, String> {
        let (id, address) = text.split_once('=').ok_or("a peer is ID=ADDRESS, such as 1=127.0.0.1:7001")?;
        let id = id.parse().map_err(|_| format!("a peer's id is a number, and {id:?} is none"))?;
        if address.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        {
            return Err(format!("a peer's address is HOST:PORT, and {address:?} is none"));
        }
        Ok(Peer { id, address: address.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_an_id_and_an_address() {
        let peer = |id, address: &str| Ok(Peer { id, address: address.to_owned() });
        assert_eq!("1=127.0.0.1:7001".parse(), peer(1, "127.0.0.1:7001"));
        assert_eq!("2=node-2.example:7001".parse(), peer(2, "node-2.example:7001"));
        assert_eq!("3=[::1]:7001".parse(), peer(3, "[::1]:7001"));
        for text in ["", "1", "127.0.0.1:7001", "x=127.0.0.1:7001", "1=", "1=host", "1=:7001", "1=host:70000"]
        {
            assert!(text.parse::<Peer>().is_err(), "{text:?} was read as a peer");
        }
    }
}
