//! Words of the command line that several commands take.

use firewall_common::reason::Reason;
use ipnet::IpNet;

use crate::daemon::protocol_number;

/// An address or a network.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| "neither an address nor a network such as 10.0.0.0/8".to_owned())
}

/// The number of a revision.
pub(super) fn revision(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "a revision is a number; `fwctl history` shows them".to_owned())
}

/// A protocol by name or number.
pub(super) fn protocol(text: &str) -> Result<u8, String> {
    protocol_number(text).ok_or_else(|| "neither a known protocol nor a number from 0 to 255".to_owned())
}

/// The name of a reason.
pub(super) fn reason(text: &str) -> Result<String, String> {
    let mut names = Reason::ALL.iter().map(|reason| reason.name());
    if names.clone().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    let near = names.find(|name| strsim::jaro(name, text) > 0.85);
    Err(match near {
        Some(near) => format!("there is no such reason; did you mean `{near}`?"),
        None => "there is no such reason; `fwctl counters` shows those that have decided anything".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_a_number() {
        assert_eq!(revision("7"), Ok(7));
        for wrong in ["abc", "-1", "", "7.0"] {
            assert!(
                revision(wrong).unwrap_err().contains("`fwctl history`"),
                "{wrong}"
            );
        }
    }
}
