//! The header of the PROXY protocol, version 2, in front of a request (HAProxy's `proxy-protocol.txt`
//! section 2.2).

use std::net::SocketAddr;

/// What begins every header.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, and a connection that is made for a client.
const PROXY: u8 = 0x21;

/// The header for a client with the address `client` that has connected to `local`.
pub(crate) fn proxy_header(client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let mut header = Vec::with_capacity(52);
    header.extend_from_slice(&SIGNATURE);
    header.push(PROXY);
    let ports = [client.port(), local.port()];
    match (client.ip().to_canonical(), local.ip().to_canonical()) {
        (std::net::IpAddr::V4(client), std::net::IpAddr::V4(local)) => {
            // TCP over IPv4, 12 bytes.
            header.extend_from_slice(&[0x11, 0, 12]);
            header.extend_from_slice(&client.octets());
            header.extend_from_slice(&local.octets());
        }
        (client, local) => {
            let wide = |address: std::net::IpAddr| match address {
                std::net::IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                std::net::IpAddr::V6(address) => address.octets(),
            };
            // TCP over IPv6, 36 bytes.
            header.extend_from_slice(&[0x21, 0, 36]);
            header.extend_from_slice(&wide(client));
            header.extend_from_slice(&wide(local));
        }
    }
    for port in ports {
        header.extend_from_slice(&port.to_be_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_as_the_protocol_has_them() {
        let header =
            proxy_header("192.0.2.1:4660".parse().unwrap(), "198.51.100.2:443".parse().unwrap());
        let expected =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x12\x34\x01\xbb";
        assert_eq!(header, expected);
        let header = proxy_header("[2001:db8::1]:1".parse().unwrap(), "[::1]:2".parse().unwrap());
        assert_eq!((header.len(), &header[13..16]), (52, &[0x21, 0, 36][..]));
        assert_eq!(&header[16..20], b"\x20\x01\x0d\xb8");
        assert_eq!(&header[48..], [0, 1, 0, 2]);
        // A client of IPv4 at a socket of both families.
        let mapped = proxy_header(
            "[::ffff:1.2.3.4]:1".parse().unwrap(),
            "[::ffff:5.6.7.8]:2".parse().unwrap(),
        );
        assert_eq!(&mapped[13..20], [0x11, 0, 12, 1, 2, 3, 4]);
    }
}
