//! Where a request came from, as far as that can be believed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use poem::{Addr, Request};
use serde::{Deserialize, Deserializer};

/// What proxies write: each adds the address that it was asked by at the end.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u32,
}

impl Network {
    /// The addresses of the machine itself.
    pub(crate) fn loopback() -> Vec<Self> {
        let four = IpAddr::from(Ipv4Addr::new(127, 0, 0, 0));
        let six = IpAddr::from(Ipv6Addr::LOCALHOST);
        vec![
            Self {
                base: four,
                bits: 8,
            },
            Self {
                base: six,
                bits: 128,
            },
        ]
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => agree(
                u32::from(base).into(),
                u32::from(address).into(),
                32 - self.bits,
            ),
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                agree(base.into(), address.into(), 128 - self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Tells whether two addresses agree but for their last bits.
fn agree(one: u128, other: u128, free: u32) -> bool {
    (one ^ other).checked_shr(free).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no address and no range such as 10.0.0.0/8");
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.trim().parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().map_err(|_| wrong())?,
            None => most,
        };
        if most < bits {
            return Err(wrong());
        }
        Ok(Self { base, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.base, self.bits)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Gives the client's address, for the limits of attempts; nothing where it is not
/// known.
pub(crate) fn client(request: &Request, trusted: &[Network]) -> Option<IpAddr> {
    let Addr::SocketAddr(peer) = &request.remote_addr().0 else {
        return None;
    };
    let headers = request.headers().get_all(FORWARDED_FOR);
    // What is no text is no address either, and ends the search like one that is none.
    let lists = headers.iter().map(|value| value.to_str().unwrap_or("?"));
    let hops: Vec<&str> = lists.flat_map(|list| list.split(',')).collect();
    behind_proxies(peer.ip(), &hops, trusted)
}

/// Goes back from the peer over the proxies that are trusted, each of which tells who
/// asked it, to the first address that is none of them. What stands before that, anybody
/// can have written.
fn behind_proxies(peer: IpAddr, hops: &[&str], trusted: &[Network]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.holds(address));
    let mut address = peer;
    let mut hops = hops.iter().rev();
    while is_trusted(address) {
        match hops.next() {
            Some(hop) => address = address_of(hop)?,
            // All clients of a proxy on this machine that tells nothing would count as
            // one, and one of them could lock the others out.
            None if address.is_loopback() => return None,
            None => break,
        }
    }
    Some(address)
}

/// Reads an address, to which some proxies add the port.
fn address_of(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let plain = hop.parse().ok();
    plain.or_else(|| Some(hop.parse::<std::net::SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn address_is_the_last_one_that_no_proxy_of_ours_has() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "127.0.0.0/8", "fd00::/8"]
            .map(|text| text.parse().unwrap())
            .into();
        let table: [(&str, &[&str], Option<&str>); 11] = [
            // Nobody between: what the client says of itself is not believed.
            ("192.0.2.7", &["198.51.100.1"], Some("192.0.2.7")),
            ("192.0.2.7", &[], Some("192.0.2.7")),
            ("10.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("::ffff:10.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("fd00::1", &["2001:db8::5"], Some("2001:db8::5")),
            // The client wrote the first, two of our proxies the others.
            (
                "10.0.0.1",
                &["8.8.8.8", " 198.51.100.1 ", "10.9.9.9"],
                Some("198.51.100.1"),
            ),
            ("10.0.0.1", &["198.51.100.1:4711"], Some("198.51.100.1")),
            ("10.0.0.1", &["8.8.8.8", "unknown"], None),
            ("10.0.0.1", &["10.0.0.2"], Some("10.0.0.2")),
            ("10.0.0.1", &[], Some("10.0.0.1")),
            ("127.0.0.1", &[], None),
        ];
        for (peer, hops, wanted) in table {
            let found = behind_proxies(ip(peer), hops, &trusted);
            assert_eq!(found, wanted.map(ip), "{peer} {hops:?}");
        }
    }

    #[test]
    fn ranges_are_read_and_hold_what_they_say() {
        let holds =
            |range: &str, address: &str| range.parse::<Network>().unwrap().holds(ip(address));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "::2"));
        assert!(holds("::/0", "2001:db8::1"));
        assert!(holds("192.168.4.0/22", "192.168.7.255"));
        assert!(!holds("192.168.4.0/22", "192.168.8.0"));
        assert!(holds("2001:db8::9", "2001:db8::9") && !holds("2001:db8::9", "2001:db8::8"));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "::/129",
            "proxy",
            "10.0.0.0/x",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        assert!(Network::loopback()[1].holds(ip("::1")));
    }
}
