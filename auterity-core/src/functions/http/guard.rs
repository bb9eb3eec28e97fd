//! Which endpoints a definition may call.
//!
//! Definitions are written by tenants, so a call must not become a way into the
//! operator's network. Addresses are checked where they are written and again after
//! name resolution, and the connection is made to exactly the addresses that were
//! checked: a name that answers differently the second time gains nothing.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Where other protocols listen that could take an HTTP request for commands, as
/// browsers refuse them (Fetch standard, "port blocking").
const PORTS_OF_OTHER_PROTOCOLS: &[u16] = &[
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427,
    465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
    993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10080,
];

/// Why an endpoint may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Scheme,
    Credentials,
    Port,
    Address,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Scheme => "only http and https endpoints can be called",
            Self::Credentials => {
                "credentials in the endpoint's address are refused; use its authentication instead"
            }
            Self::Port => "the endpoint's port is not allowed",
            Self::Address => {
                "the endpoint is not a public address; the operator of this host can allow private ones"
            }
        })
    }
}

impl StdError for Refusal {}

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Anybody on the internet can call it.
    Public,
    /// This machine or the operator's network.
    Private,
    /// No service of anybody's: link-local with the metadata services of clouds,
    /// multicast, reserved, or a form that hides another address.
    Never,
}

/// Judges endpoints and resolves their names.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    private_addresses: bool,
    /// Empty: all but those of other protocols.
    ports: Vec<u16>,
}

impl Guard {
    pub(super) fn new(private_addresses: bool, ports: Vec<u16>) -> Self {
        Self {
            private_addresses,
            ports,
        }
    }

    /// Checks what can be seen without a name resolution.
    pub(super) fn check(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        let port = url.port_or_known_default().ok_or(Refusal::Port)?;
        let allowed = if self.ports.is_empty() {
            !PORTS_OF_OTHER_PROTOCOLS.contains(&port)
        } else {
            self.ports.contains(&port)
        };
        if !allowed {
            return Err(Refusal::Port);
        }
        let allowed = match url.host() {
            // The parser has brought decimal, octal, hexadecimal and short forms to
            // an address already.
            Some(Host::Ipv4(address)) => self.allows(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => self.allows(IpAddr::V6(address)),
            Some(Host::Domain(name)) => self.private_addresses || !is_local(name),
            None => false,
        };
        if allowed {
            Ok(())
        } else {
            Err(Refusal::Address)
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        match reach(address) {
            Reach::Public => true,
            Reach::Private => self.private_addresses,
            Reach::Never => false,
        }
    }

    /// Keeps the addresses of a name that may be called.
    pub(super) fn keep(
        &self,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let kept: Vec<SocketAddr> = found.filter(|found| self.allows(found.ip())).collect();
        if kept.is_empty() {
            Err(Refusal::Address)
        } else {
            Ok(kept)
        }
    }
}

impl Resolve for Guard {
    /// Resolves a name to the addresses that may be called; the client connects to
    /// one of these and asks no second time.
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept = guard.keep(found)?;
            Ok::<Addrs, _>(Box::new(kept.into_iter()))
        })
    }
}

/// Tells whether a name means this machine, whatever a resolver says (RFC 6761).
fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost")
        || name
            .rsplit_once('.')
            .is_some_and(|(_, last)| last.eq_ignore_ascii_case("localhost"))
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

/// Follows the IANA special-purpose address registry.
fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        // Metadata services that hide among other addresses.
        [100, 100, 100, 200] | [168, 63, 129, 16] => Reach::Never,
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            Reach::Private
        }
        [0 | 224..=255, ..] | [169, 254, ..] => Reach::Never,
        // Protocol assignments, documentation, 6to4 relays, measurement.
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => {
            Reach::Never
        }
        [198, 18 | 19, ..] => Reach::Never,
        _ => Reach::Public,
    }
}

/// Public is what is global unicast today (`2000::/3`) and nothing else, so that a form
/// nobody thought of is refused.
fn reach_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Private,
        // Metadata service.
        [0xfd00, 0xec2, ..] => Reach::Never,
        [0xfc00..=0xfdff, ..] => Reach::Private,
        // Networks with IPv6 alone reach IPv4 through this prefix (NAT64).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            match reach_v4(Ipv4Addr::new(a, b, c, d)) {
                Reach::Public => Reach::Public,
                Reach::Private | Reach::Never => Reach::Never,
            }
        }
        // Protocol assignments with Teredo, documentation, 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Never,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, text: &str) -> Option<Refusal> {
        let url = Url::parse(text).expect(text);
        guard.check(&url).err()
    }

    const PRIVATE: &[&str] = &[
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.000.000.001",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "100.100.100.200",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "168.63.129.16",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:8.8.8.8]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[fd00::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[febf::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[100::1]",
        "[5f00::1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "a.b.localhost.",
        "loc%61lhost",
        "ｌocalhost",
    ];

    #[test]
    fn endpoints_in_private_networks_are_refused_in_every_form() {
        let strict = Guard::new(false, Vec::new());
        for address in PRIVATE {
            let text = format!("http://{address}/");
            assert_eq!(check(&strict, &text), Some(Refusal::Address), "{text}");
        }
    }

    #[test]
    fn public_endpoints_are_allowed() {
        let strict = Guard::new(false, Vec::new());
        let texts = [
            "http://8.8.8.8/",
            "https://1.1.1.1:8443/",
            "https://172.32.0.1/",
            "https://100.128.0.1/",
            "https://[2606:4700::1111]/",
            "https://[64:ff9b::808:808]/",
            "https://example.com/",
            "https://notlocalhost/",
            "https://localhost.example.com/",
        ];
        for text in texts {
            assert_eq!(check(&strict, text), None, "{text}");
        }
    }

    #[test]
    fn schemes_credentials_and_ports_are_checked() {
        let strict = Guard::new(false, Vec::new());
        for text in [
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://example.com/",
            "unix:/run/x",
            "data:,x",
            "ws://example.com/",
        ] {
            assert_eq!(check(&strict, text), Some(Refusal::Scheme), "{text}");
        }
        for text in [
            "http://user@example.com/",
            "http://user:word@example.com/",
            "http://:word@example.com/",
        ] {
            assert_eq!(check(&strict, text), Some(Refusal::Credentials), "{text}");
        }
        for text in [
            "http://example.com:25/",
            "http://example.com:0/",
            "https://example.com:22/",
            "http://example.com:6667/",
        ] {
            assert_eq!(check(&strict, text), Some(Refusal::Port), "{text}");
        }
        let few = Guard::new(false, vec![443]);
        assert_eq!(check(&few, "https://example.com/"), None);
        assert_eq!(check(&few, "http://example.com/"), Some(Refusal::Port));
    }

    #[test]
    fn private_addresses_can_be_allowed_but_metadata_services_cannot() {
        let open = Guard::new(true, Vec::new());
        for text in [
            "http://127.0.0.1:8080/",
            "http://localhost/",
            "http://10.1.2.3/",
            "http://[::1]/",
            "http://[fd12::1]/",
        ] {
            assert_eq!(check(&open, text), None, "{text}");
        }
        for text in [
            "http://169.254.169.254/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://0.0.0.0/",
            "http://[::ffff:10.0.0.1]/",
            "http://[fe80::1]/",
        ] {
            assert_eq!(check(&open, text), Some(Refusal::Address), "{text}");
        }
    }

    #[test]
    fn addresses_of_a_name_are_kept_only_when_allowed() {
        let strict = Guard::new(false, Vec::new());
        let found = |texts: &[&str]| -> Vec<SocketAddr> {
            texts
                .iter()
                .map(|text| SocketAddr::new(text.parse().expect("an address"), 0))
                .collect()
        };
        let mixed = found(&["10.0.0.1", "8.8.8.8", "::1"]);
        assert_eq!(strict.keep(mixed.into_iter()), Ok(found(&["8.8.8.8"])));
        let inner = found(&["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1"]);
        assert_eq!(strict.keep(inner.into_iter()), Err(Refusal::Address));
    }

    #[tokio::test]
    async fn name_that_resolves_to_a_private_address_is_refused() {
        // The resolver knows this name without a network.
        let name = || "localhost".parse::<Name>().expect("a name");
        let strict = Guard::new(false, Vec::new());
        let refused = strict.resolve(name()).await.err().expect("a refusal");
        assert!(refused.downcast_ref::<Refusal>().is_some());
        assert!(Guard::new(true, Vec::new()).resolve(name()).await.is_ok());
    }
}
