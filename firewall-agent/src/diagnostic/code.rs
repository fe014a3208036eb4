//! The stable codes of diagnostics.

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// The policy can be used, but probably does not say what was meant.
    Warning,
}

impl Severity {
    /// The word that is printed and written to JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Declares the codes once: identifier, severity and one sentence for the documentation.
macro_rules! codes {
    ($($name:ident = $id:literal, $severity:ident, $about:literal;)+) => {
        /// The stable code of a finding. A code is never given to another finding, even when its own is gone.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $about] $name,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as it is printed.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// How bad a finding with this code is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// One sentence on what the code means.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)+ }
            }
        }
    };
}

codes! {
    Unreadable = "FW001", Error, "A file cannot be read, is too large, is not UTF-8 text, or may be half written.";
    Syntax = "FW002", Error, "A file is not valid TOML.";
    UnknownKey = "FW003", Error, "A key is not part of the language.";
    WrongType = "FW004", Error, "A value has the wrong type.";
    MissingKey = "FW005", Error, "A key that must be there is missing.";
    BadValue = "FW006", Error, "A value cannot be understood or is out of range.";
    NotYetAvailable = "FW007", Error, "A key is reserved for a feature that this version does not have.";
    Verdicts = "FW008", Error, "A rule or expectation does not have exactly one of `allow`, `drop` and `reject`.";
    Contradiction = "FW009", Error, "Two keys or values of one entry exclude each other.";
    UndefinedName = "FW010", Error, "A name is not defined anywhere.";
    NameTwice = "FW011", Error, "A name or address is defined twice.";
    RuleNameTwice = "FW012", Error, "Two rules have the same name and the later one does not say `override = true`.";
    NothingToOverride = "FW013", Error, "`override` or `before` names a rule that no earlier layer has.";
    LayerTwice = "FW014", Error, "Two files are the same layer.";
    LayerMissing = "FW015", Error, "A layer that the policy needs is in none of the files.";
    Cycle = "FW016", Error, "A network or service is defined through itself.";
    DuplicateRule = "FW020", Error, "Two rules match exactly the same packets.";
    EmptyMatch = "FW021", Error, "A rule or expectation can match no packet at all.";
    Shadowed = "FW022", Error, "A rule never decides, because an earlier one with another verdict takes all its packets.";
    Redundant = "FW023", Warning, "A rule never decides, because an earlier one with the same verdict takes all its packets.";
    Unreachable = "FW024", Warning, "A rule never decides, because several earlier ones together take all its packets.";
    HoldsNowhere = "FW025", Warning, "A rule or expectation concerns none of the hosts that were checked.";
    UnknownHost = "FW026", Warning, "The inventory does not name the host that a policy is resolved for.";
    SourcePortAlone = "FW030", Warning, "A rule accepts packets by a source port, which the sender chooses freely.";
    AllIcmp = "FW031", Warning, "A rule accepts every ICMP message.";
    Ipv4Only = "FW032", Warning, "A rule names IPv4 addresses only, on a host that has IPv6 too.";
    LockOut = "FW033", Error, "Nobody could manage the host: no rule lets anybody in, and the failsafe names nobody.";
    NoManagementRule = "FW034", Warning, "No rule lets anybody manage the host, so that only the failsafe does.";
    TimerBelowFloor = "FW035", Warning, "An idle time is shorter than the standards allow.";
    OpenDefault = "FW036", Warning, "Traffic that no rule names is allowed.";
    ReviewOverdue = "FW037", Warning, "The review date of a rule has passed.";
    UndeclaredForwarding = "FW038", Warning, "The kernel forwards packets, and the policy declares nothing as forwarded.";
    IcmpErrorsOnly = "FW039", Warning, "A rule speaks of ICMP errors only, which are judged by the packet that they quote.";
    BadListEntry = "FW041", Error, "A line of a block list is no address, prefix or range.";
    ListCovers = "FW042", Warning, "A block list has addresses that are hardly meant: private ones, or those that may manage the host.";
    ExpectationFailed = "FW040", Error, "An expectation does not hold.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn identifiers_are_unique_and_well_formed() {
        let ids: BTreeSet<_> = Code::ALL.iter().map(|code| code.id()).collect();
        assert_eq!(ids.len(), Code::ALL.len());
        for id in ids {
            assert!(
                id.len() == 5 && id.starts_with("FW") && id[2..].chars().all(|c| c.is_ascii_digit()),
                "{id}"
            );
        }
    }
}
