//! What the formats have in common: the conditions of one rule.

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Family {
    /// Both.
    #[default]
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Everybody of this family.
    pub(super) const fn everybody(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }
}

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    Input,
    Output,
}

/// What becomes of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Drop,
    Reject,
}

/// Addresses of one end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) is_negated: bool,
    pub(super) members: Vec<String>,
}

/// The conditions of one rule; all must hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    pub(super) family: Family,
    /// Protocols by the names of the policy language, or `protocol/N`; none is any.
    pub(super) protocols: Vec<String>,
    pub(super) source: Option<Addresses>,
    pub(super) destination: Option<Addresses>,
    /// `22`, `1000-2000`.
    pub(super) source_ports: Vec<String>,
    pub(super) destination_ports: Vec<String>,
    /// `8`, `3/4`.
    pub(super) icmp: Vec<String>,
    pub(super) interfaces: Vec<String>,
    /// Connection states, in small letters; none is any.
    pub(super) states: Vec<String>,
    pub(super) comment: Option<String>,
    /// What was left out without changing which packets match.
    pub(super) notes: Vec<String>,
}

/// One rule of the source.
#[derive(Debug)]
pub(super) struct Item {
    /// `line 12`, or `handle 7`.
    pub(super) place: String,
    /// A name for it that no other rule has.
    pub(super) name: String,
    /// As it stands there.
    pub(super) source: String,
    pub(super) what: Understood,
}

/// What was made of a rule.
#[derive(Debug)]
pub(super) enum Understood {
    Rule {
        chain: Chain,
        verdict: Verdict,
        conditions: Box<Conditions>,
    },
    /// Holds by itself here.
    Implied(&'static str),
    /// Has no exact counterpart.
    Not(String),
}

/// Replies and related ICMP errors pass by themselves, and what belongs to no connection does not.
pub(super) fn by_state(verdict: Verdict, states: &[String]) -> Option<Understood> {
    if states.is_empty() {
        return None;
    }
    let all = |known: &[&str]| states.iter().all(|state| known.contains(&&**state));
    match verdict {
        Verdict::Accept if all(&["established", "related"]) => Some(Understood::Implied(
            "replies of live flows and the ICMP errors that belong to them pass without a rule",
        )),
        Verdict::Drop if all(&["invalid"]) => Some(Understood::Implied(
            "packets in mid-connection without a flow are dropped without a rule",
        )),
        // Rules are asked about the first packet of a connection only.
        _ if states.iter().any(|state| state == "new") && all(&["new", "established", "related"]) => None,
        _ => Some(Understood::Not(format!(
            "it is about connection states ({}), which rules are not asked about here",
            states.join(", ")
        ))),
    }
}

/// Loopback is never filtered.
pub(super) fn by_loopback(verdict: Verdict, interfaces: &[String]) -> Option<Understood> {
    if !interfaces.iter().any(|name| name == "lo") {
        return None;
    }
    Some(if verdict == Verdict::Accept && interfaces.len() == 1 {
        Understood::Implied("`lo` is never filtered")
    } else {
        Understood::Not("`lo` is never filtered here".to_owned())
    })
}
