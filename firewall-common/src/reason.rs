//! Why a packet passed or was dropped where no rule decided.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $kind:ident;)+) => {
        /// A named cause of a verdict; each has its counter. Numbers are part of the ABI and never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $($(#[doc = $doc])+ $variant = $number,)+ }

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that metrics, events and `fwctl` show.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Whether a packet with this reason passes.
            #[must_use]
            pub const fn passes(self) -> bool {
                match self { $(Self::$variant => reasons!(@$kind),)+ }
            }

            /// What the reason means, in a sentence.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }

            /// The reason with this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
    };
    (@pass) => { true };
    (@drop) => { false };
}

reasons! {
    /// Passed by a live flow; counted under its rule.
    Flow = 0, "flow", pass;
    /// Passed or dropped by a rule; counted there.
    Rule = 1, "rule", pass;
    /// Passed by the failsafe: management access.
    FailsafeManagement = 2, "failsafe-management", pass;
    /// Passed by the failsafe: DHCP of this host.
    FailsafeDhcp = 3, "failsafe-dhcp", pass;
    /// Passed by the failsafe: DNS with a named resolver.
    FailsafeDns = 4, "failsafe-dns", pass;
    /// ARP and other link-level protocols that keep a server on its network.
    LinkProtocol = 5, "link-protocol", pass;
    /// Neighbour discovery (RFC 4861) with hop limit 255.
    NeighbourDiscovery = 6, "neighbour-discovery", pass;
    /// Multicast listener discovery or IGMP with hop limit 1.
    MulticastListener = 7, "multicast-listener", pass;
    /// An ICMP error that quotes a live flow.
    RelatedIcmp = 8, "related-icmp", pass;
    /// A later fragment whose first fragment passed.
    Fragment = 9, "fragment", pass;
    /// A later fragment seen before its first, left to the kernel's reassembly within a bound.
    FragmentEarly = 10, "fragment-early", pass;
    /// Everything passes: the policy is paused.
    Paused = 11, "paused", pass;

    /// No rule matched; the policy's default drops.
    Default = 32, "default", drop;
    /// No policy is loaded in the slot in force.
    NoPolicy = 33, "no-policy", drop;
    /// Everything but the failsafe is dropped: panic mode.
    Panic = 34, "panic", drop;
    /// The address is banned.
    Banned = 35, "banned", drop;
    /// An internal look-up failed that cannot fail.
    Internal = 36, "internal", drop;
    /// The address is on a block list of the policy.
    Listed = 37, "listed", drop;

    /// The frame ends inside its link-level header.
    TruncatedEthernet = 40, "truncated-ethernet", drop;
    /// More than two VLAN tags.
    VlanDepth = 41, "vlan-depth", drop;
    /// An `EtherType` that neither the firewall nor the policy passes.
    EtherType = 42, "ether-type", drop;
    /// The packet ends inside its IP header.
    TruncatedIp = 43, "truncated-ip", drop;
    /// IP version, header length or total length contradict each other or the frame.
    MalformedIp = 44, "malformed-ip", drop;
    /// An IPv4 option that cannot be parsed.
    MalformedOption = 45, "malformed-option", drop;
    /// IPv4 loose or strict source routing (RFC 7126 4.3.5).
    SourceRouting = 46, "source-routing", drop;
    /// An IPv6 extension header that is cut short or out of place.
    MalformedExtension = 47, "malformed-extension", drop;
    /// More IPv6 extension headers than are walked.
    ExtensionDepth = 48, "extension-depth", drop;
    /// IPv6 routing header of type 0 (RFC 5095).
    RoutingHeader = 49, "routing-header-0", drop;
    /// The packet ends inside its transport header.
    TruncatedTransport = 50, "truncated-transport", drop;
    /// TCP data offset below five words or beyond the segment, or a UDP length that contradicts the packet.
    MalformedTransport = 51, "malformed-transport", drop;
    /// TCP flags that no connection has: none, SYN+FIN, SYN+RST, FIN without ACK.
    TcpFlags = 52, "tcp-flags", drop;
    /// ICMPv6 over IPv4, or ICMP over IPv6.
    IcmpFamily = 53, "icmp-family", drop;
    /// The headers lie outside the linear part of the packet.
    NonLinear = 54, "non-linear", drop;

    /// A source address that cannot come from the wire: loopback, multicast, broadcast, unspecified.
    SpoofedSource = 60, "spoofed-source", drop;
    /// The source is an address of this host.
    SpoofedOwn = 61, "spoofed-own", drop;
    /// A destination that cannot be on the wire: loopback or unspecified.
    MartianDestination = 62, "martian-destination", drop;

    /// A TCP packet in mid-flow, or a SYN/ACK, without a flow.
    TcpNoState = 70, "tcp-no-state", drop;
    /// An ICMP echo reply without a request.
    EchoNoState = 71, "echo-no-state", drop;
    /// An ICMP error that quotes no live flow, or whose destination did not send what it quotes.
    IcmpUnrelated = 72, "icmp-unrelated", drop;
    /// An ICMP error whose quoted packet cannot be parsed.
    IcmpMalformedQuote = 73, "icmp-malformed-quote", drop;
    /// ICMP redirect (RFC 4890 4.4.4).
    IcmpRedirect = 74, "icmp-redirect", drop;
    /// Neighbour discovery with a hop limit below 255 (RFC 4861 7.1) or in a fragment (RFC 6980).
    NeighbourDiscoveryInvalid = 75, "neighbour-discovery-invalid", drop;
    /// MLD with a hop limit other than 1, or a query from the unspecified address.
    MulticastListenerInvalid = 76, "multicast-listener-invalid", drop;
    /// The flow table is full here, or its bucket stayed locked.
    FlowTableFull = 77, "flow-table-full", drop;
    /// The rule that let the flow in has expired.
    RuleExpired = 78, "rule-expired", drop;

    /// A first fragment too short for its transport header (RFC 1858, RFC 7112).
    FragmentTiny = 80, "fragment-tiny", drop;
    /// A fragment that overlaps the header of the first one (RFC 3128, RFC 5722).
    FragmentOverlap = 81, "fragment-overlap", drop;
    /// A later fragment whose first one was dropped.
    FragmentDenied = 82, "fragment-denied", drop;
    /// More later fragments without a first one than the bound allows.
    FragmentOrphans = 83, "fragment-orphans", drop;
    /// Two fragment headers in one packet, or a fragment length that is not a multiple of eight.
    FragmentMalformed = 84, "fragment-malformed", drop;
}

impl Reason {
    /// Whether the policy has decided: a rule, a default or a block list. Another policy may decide otherwise; of all
    /// else none decides.
    #[must_use]
    pub const fn is_of_policy(self) -> bool {
        Self::is_number_of_policy(self as u8)
    }

    /// The same of its number.
    #[inline(always)]
    #[must_use]
    pub const fn is_number_of_policy(number: u8) -> bool {
        number == Self::Rule as u8 || number == Self::Default as u8 || number == Self::Listed as u8
    }
}

/// Room for every number of [`Reason`] in the counters.
pub const REASON_NUMBERS: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_the_counters_and_come_back() {
        for &reason in Reason::ALL {
            assert!((reason as usize) < REASON_NUMBERS);
            assert_eq!(Reason::from_number(reason as u8), Some(reason));
        }
        assert_eq!(Reason::from_number(31), None);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
