//! `HOST:PORT`, and the one address behind it that is measured.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    port: u16,
}

impl Place {
    /// The host if it is a name: an address has no place in a hello (RFC 6066).
    pub(crate) fn name(&self) -> Option<&str> {
        self.host.parse::<IpAddr>().is_err().then_some(&self.host)
    }

    /// Of several addresses the first that accepts a connection; every measurement stays with it,
    /// since each may be another machine.
    pub(crate) fn resolve(&self, timeout: Duration) -> Result<SocketAddr, String> {
        let found = (&*self.host, self.port).to_socket_addrs();
        let addresses: Vec<_> =
            found.map_err(|e| format!("cannot resolve the name: {e}"))?.collect();
        let Some((last, others)) = addresses.split_last() else {
            return Err("the name has no address".into());
        };
        let accepts = |address: &&SocketAddr| TcpStream::connect_timeout(address, timeout).is_ok();
        Ok(*others.iter().find(accepts).unwrap_or(last))
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let wrong = || "expected HOST:PORT, such as example.org:443 or [::1]:443".to_string();
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(host) => host,
            None if host.contains([':', '[', ']', '/']) => return Err(wrong()),
            None => host,
        };
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        if host.is_empty() { Err(wrong()) } else { Ok(Place { host: host.into(), port }) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_as_they_are_written() {
        for text in ["example.org:443", "127.0.0.1:8443", "[::1]:8443"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for nonsense in
            ["", "example.org", ":443", "[]:443", "::1:443", "h:0", "h:65536", "https://h:443"]
        {
            assert!(nonsense.parse::<Place>().is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn only_names_are_sent() {
        let name = |text: &str| text.parse::<Place>().unwrap().name().map(String::from);
        assert_eq!(name("example.org:443").as_deref(), Some("example.org"));
        assert_eq!((name("127.0.0.1:443"), name("[::1]:443")), (None, None));
    }

    /// `localhost` is often `::1` first, where many servers do not listen.
    #[test]
    fn the_address_that_answers_is_measured() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let place: Place = format!("localhost:{}", address.port()).parse().unwrap();
        assert_eq!(place.resolve(Duration::from_secs(5)), Ok(address));
    }
}
