//! Where an exporter listens: on this machine only, unless it is told otherwise.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use crate::failure::Failure;

/// HOST:PORT, and all that it stands for.
#[derive(Debug, Clone)]
pub(super) struct Address {
    text: String,
    all: Vec<SocketAddr>,
}

pub(super) fn parse(text: &str) -> Result<Address, String> {
    match text.to_socket_addrs() {
        Ok(all) => Ok(Address { text: text.into(), all: all.collect() }),
        Err(error) => Err(format!("{error}; such as 127.0.0.1:9798, [::1]:9798, localhost:9798")),
    }
}

impl Address {
    /// The figures tell how many visitors there are: nobody's business, unless the user says so.
    pub(super) fn check(&self, allow_remote: bool) -> Result<(), Failure> {
        let is_local = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
        if allow_remote || self.all.iter().all(is_local) {
            return Ok(());
        }
        Err(Failure::usage(format!("other machines may be able to reach {}", self.text))
            .tip("--listen 127.0.0.1:9798; --allow-remote, if they may know these figures"))
    }

    pub(super) fn listen(&self) -> Result<TcpListener, Failure> {
        TcpListener::bind(self.all.as_slice()).map_err(|error| {
            Failure::cannot_open(format!("cannot listen on {}: {error}", self.text))
                .tip(tip(error.kind(), &self.text))
        })
    }
}

/// The address that it got.
pub(super) fn of(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    let cannot = |error: io::Error| Failure::cannot_open(format!("cannot listen: {error}"));
    listener.local_addr().map_err(cannot)
}

fn tip(kind: ErrorKind, text: &str) -> String {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    match kind {
        ErrorKind::AddrInUse => {
            format!("ss -ltnp 'sport = :{port}' shows who does; --listen {host}:0 takes any port")
        }
        ErrorKind::PermissionDenied => "take a port of 1024 or more".into(),
        _ => "ip address shows the addresses of this machine".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_needs_no_permission() {
        for local in ["127.0.0.1:0", "127.8.9.1:80", "[::1]:9798", "[::ffff:127.0.0.1]:1"] {
            parse(local).expect("an address").check(false).expect(local);
        }
        for remote in ["0.0.0.0:0", "[::]:9798", "10.0.0.7:1", "[::ffff:10.0.0.7]:1"] {
            let address = parse(remote).expect("an address");
            assert!(address.check(false).is_err(), "{remote}");
            address.check(true).expect(remote);
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for nonsense in ["", "9798", "127.0.0.1", "::1", "127.0.0.1:99999", "127.0.0.1:http"] {
            assert!(parse(nonsense).is_err(), "{nonsense}");
        }
    }
}
