//! Trusted sources: what a person types and which network is meant.

use ipnet::IpNet;
use std::net::IpAddr;

/// Reads a CIDR such as `1.2.3.4/32` or `2001:db8::/48`. A bare address means that one address.
///
/// # Errors
/// What is wrong, for a person; host bits are refused, naming the network that was probably meant.
pub fn parse(value: &str) -> Result<IpNet, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err("Give an address range, such as 1.2.3.4/32.".to_owned());
    }
    if value.chars().count() > 64 {
        return Err("This is too long for an address range, such as 1.2.3.4/32.".to_owned());
    }
    let Some((address, prefix)) = value.split_once('/') else {
        let address = address(value)?;
        return mapped(address).map(|()| IpNet::from(address));
    };
    let address = self::address(address)?;
    let most: u8 = if address.is_ipv4() { 32 } else { 128 };
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let prefix = prefix
        .parse::<u8>()
        .ok()
        .filter(|p| *p <= most && prefix.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("After the slash stands a number from 0 to {most} for {family}; “{prefix}” is not one."))?;
    let net = IpNet::new(address, prefix).map_err(|e| e.to_string())?;
    mapped(address)?;
    if net.trunc() == net {
        Ok(net)
    } else {
        Err(format!("{net} has bits set behind its prefix. Did you mean the network {}, or the single address {address}/{most}?", net.trunc()))
    }
}

/// True for `0.0.0.0/0` and `::/0`, which need typed consent (rule 26).
#[must_use]
pub fn is_everyone(net: IpNet) -> bool {
    net.prefix_len() == 0
}

/// An IPv4 client is never seen under an IPv4-mapped IPv6 address, so a source written so would match nobody.
fn mapped(address: IpAddr) -> Result<(), String> {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(Ok(()), |four| Err(format!("Write IPv4 addresses as such: {four} instead of {six}."))),
        IpAddr::V4(_) => Ok(()),
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse::<IpAddr>().map_err(|_| {
        let parts: Vec<&str> = text.split('.').collect();
        match parts.iter().find(|p| p.parse::<u32>().is_ok_and(|n| n > 255)) {
            Some(part) if parts.len() == 4 => format!("“{text}” is not an address: {part} is more than 255."),
            _ => format!("“{text}” is not an IPv4 or IPv6 address."),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r026_a_cidr_is_read_or_refused_with_the_reason() {
        assert_eq!(parse(" 1.2.3.4/32 ").unwrap().to_string(), "1.2.3.4/32");
        assert_eq!(parse("1.2.3.4").unwrap().to_string(), "1.2.3.4/32");
        assert_eq!(parse("2001:db8::/48").unwrap().to_string(), "2001:db8::/48");
        for (bad, says) in [
            ("", "such as"),
            ("300.1.1.1/8", "300 is more than 255"),
            ("10.0.0.0/33", "0 to 32"),
            ("10.0.0.0/+8", "0 to 32"),
            ("::/129", "0 to 128"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("2001:db8::1/64", "2001:db8::/64"),
            ("example.org", "not an IPv4"),
            ("1.2.3.4/", "0 to 32"),
            ("::ffff:1.2.3.0/120", "1.2.3.0"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
        ] {
            assert!(parse(bad).unwrap_err().contains(says), "{bad}: {:?}", parse(bad));
        }
        assert!(is_everyone(parse("0.0.0.0/0").unwrap()) && is_everyone(parse("::/0").unwrap()));
    }
}
