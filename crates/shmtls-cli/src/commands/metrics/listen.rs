//! Where to listen: at an address of this machine that others do not reach, unless told otherwise.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::str::FromStr;

use crate::failure::Failure;

#[derive(Debug, Clone)]
pub(super) struct Address {
    text: String,
    /// What the text stands for: `localhost` for two.
    all: Vec<SocketAddr>,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint = "such as 127.0.0.1:9798, localhost:9798 or [::1]:9798";
        let all = text.to_socket_addrs().map_err(|error| format!("{error}; {hint}"))?;
        Ok(Self { text: text.into(), all: all.collect() })
    }
}

impl Address {
    pub(super) fn bind(&self, allow_remote: bool) -> Result<TcpListener, Failure> {
        let remote = self.all.iter().find(|address| !address.ip().is_loopback());
        if let (Some(remote), false) = (remote, allow_remote) {
            return Err(Failure::usage(format!("others reach {remote}"))
                .tip("listen on 127.0.0.1, or say --allow-remote: all may count your visitors"));
        }
        TcpListener::bind(&*self.all).map_err(|error| {
            Failure::cannot_open(format!("cannot listen on {}: {error}", self.text))
                .tip("another exporter may be there already: choose another port")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str, allow_remote: bool) -> Result<SocketAddr, Failure> {
        let address: Address = text.parse().expect("an address");
        Ok(address.bind(allow_remote)?.local_addr().expect("bound"))
    }

    #[test]
    fn only_this_machine_unless_told() {
        assert!(bind("localhost:0", false).expect("bound").ip().is_loopback());
        assert!(bind("127.1.2.3:0", false).expect("bound").ip().is_loopback());
        for text in ["0.0.0.0:0", "[::]:0"] {
            let failure = bind(text, false).expect_err("reached by others");
            assert!(failure.text().contains("others reach"), "{failure:?}");
        }
        assert!(!bind("0.0.0.0:0", true).expect("bound").ip().is_loopback());
    }

    #[test]
    fn an_address_has_a_port() {
        for text in ["127.0.0.1", "9798", "", "127.0.0.1:99999"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
