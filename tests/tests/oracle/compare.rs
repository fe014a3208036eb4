//! One policy as an image and as rules, and packets that are judged by both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use firewall_agent::{
    compile::{BoundImage, compile, timeouts::timeouts},
    dataplane::SlotImage,
    engine::HostEngine,
    policy::{
        evaluate::{Decision, Probe, ProbeProtocol, evaluate_without},
        model::{Action, AddressSet, Direction, ProtocolMatch, Ranges, Rule, Timers, ValidPolicy},
    },
    trial::{Question, Way},
};
use firewall_common::{
    address::Address,
    cell::reached,
    classify::{self, MatchKey, classify, header},
    compact::CompactKey,
    counters::{DEFAULT_COUNTERS, Hook},
    image::{Chain, ChainDescriptor, ImageHeader, NO_BLOCK, UNTAGGED},
    reason::Reason,
    tables::{Image, SliceImage},
    verdict::{Verdict, VerdictRecord},
    wire::protocol,
};
use firewall_tests::{
    engine::{Engine, InKernel, Interface, Judged},
    frames::{Packet, Segment},
    random::Random,
};

use super::generate::{OTHERS, end_of};

/// When frames come, in ticks.
const NOW: u32 = 1000;

/// The interfaces of the host, by slot; slot 0 has no name.
pub(crate) const INTERFACES: [(u8, &str); 5] = [
    (1, "eth0"),
    (2, "eth1"),
    (3, "br-lan"),
    (17, "wg0"),
    (63, "eth10"),
];

/// What was judged, and by what.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) packets: usize,
    pub(crate) by_rule: usize,
    pub(crate) by_later_rule: usize,
    pub(crate) by_default: usize,
    /// Compared with the compact form of their chain, too.
    pub(crate) by_compact_form: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.by_rule += other.by_rule;
        self.by_later_rule += other.by_later_rule;
        self.by_default += other.by_default;
        self.by_compact_form += other.by_compact_form;
    }

    fn of(decision: Decision) -> Self {
        Self {
            packets: 1,
            by_rule: usize::from(decision.rule.is_some()),
            by_later_rule: usize::from(decision.rule.is_some_and(|rule| rule > 0)),
            by_default: usize::from(decision.rule.is_none()),
            by_compact_form: 0,
        }
    }
}

/// A policy and the image that is to say the same.
pub(crate) struct Subject {
    policy: ValidPolicy,
    image: BoundImage,
    engine: HostEngine,
    /// Of a hundred packets so many are of IPv6: half of them, unless the policy speaks of one family only.
    v6_percent: usize,
}

impl Subject {
    pub(crate) fn new(policy: ValidPolicy) -> Self {
        let same = policy.clone();
        Self::with_image_of(policy, &same)
    }

    /// A policy with the image of another one.
    pub(crate) fn with_image_of(policy: ValidPolicy, other: &ValidPolicy) -> Self {
        let compiled = compile(other).expect("compiles");
        // The numbers of the counters are the ordinals here.
        let ordinal = |name: &str| {
            let rules = compiled.rules();
            let number: usize = name[1..].parse().expect("rules are called r0, r1, …");
            rules[number].ordinal
        };
        let image = compiled.bind_until(&ordinal, &end_of, INTERFACES);
        let image = image.expect("the slots exist");
        let engine = HostEngine::new(image.blocks(), |clock| timeouts(&Timers::default(), clock));
        Self {
            v6_percent: v6_percent(&policy),
            policy,
            image,
            engine,
        }
    }

    /// Exchanges the first two entries in the order of the input chain of IPv4, which has to have summaries.
    pub(crate) fn disorder(&mut self) {
        let blocks = self.image.blocks();
        let head: &[u8] = bytemuck::cast_slice(&blocks[..2]);
        let header: &ImageHeader = bytemuck::from_bytes(&head[..size_of::<ImageHeader>()]);
        let at = header.chains[Chain::InputV4 as usize];
        let chain: ChainDescriptor = bytemuck::cast(blocks[at as usize]);
        assert_ne!(chain.order, NO_BLOCK, "the chain is too short");
        let mut numbers: [u16; 32] = bytemuck::cast(blocks[chain.order as usize]);
        numbers.swap(0, 1);
        self.image.apply(&[(chain.order, bytemuck::cast(numbers))]);
    }

    /// Judges a random packet by the look-up alone.
    pub(crate) fn look_up(&self, random: &mut Random) -> Result<Tally, String> {
        let (probe, slot) = self.probe(random);
        let now = 995 + u32::try_from(random.below(110)).expect("small");
        let expected = expected_at(&self.policy, &probe, now);
        let (chain, key) = as_key(&probe, slot);
        let image = SliceImage(self.image.blocks());
        let view = header(&image).ok_or("no header")?;
        let record = classify(&image, &view, chain, &key, now).ok_or("a damaged image")?;
        let mut tally = check(&probe, expected, record.rule, verdict(record.verdict))?;
        if let Some(record) = compact(&image, chain, &key) {
            check(&probe, expected, record.rule, verdict(record.verdict))
                .map_err(|mismatch| format!("the compact form: {mismatch}"))?;
            tally.by_compact_form = 1;
        }
        Ok(tally)
    }

    /// Judges a random packet as a frame, from the parser on. Packets that never reach a rule are not compared.
    pub(crate) fn frame(&self, random: &mut Random) -> Result<Tally, String> {
        let (probe, slot) = self.probe(random);
        self.compare(probe, |frame, hook| {
            self.engine.packet(frame, hook, slot, NOW).into()
        })
    }

    /// The policy in force in the kernel.
    pub(crate) fn in_kernel(&self) -> InKernel {
        let kernel = InKernel::start(&SlotImage {
            blocks: self.image.blocks(),
            timers: Timers::default(),
        });
        let rules = self.policy.rules.len() + usize::from(DEFAULT_COUNTERS);
        kernel.watch_rules(u32::try_from(rules).expect("a few rules"));
        kernel
    }

    /// Has the programs in the kernel judge a random packet.
    pub(crate) fn frame_in_kernel(&self, kernel: &InKernel, random: &mut Random) -> Result<Tally, String> {
        let (mut probe, _) = self.probe(random);
        let interface = *random.pick(&[Interface::Eth0, Interface::Eth1, Interface::Unnamed]);
        probe.interface = (interface != Interface::Unnamed).then(|| interface.name());
        self.compare(probe, |frame, hook| kernel.judge(frame, interface, hook, NOW))
    }

    fn compare(
        &self,
        mut probe: Probe<'static>,
        judge: impl FnOnce(&[u8], Hook) -> Judged,
    ) -> Result<Tally, String> {
        if probe.direction == Direction::Forward {
            probe.direction = Direction::In;
        }
        let hook = if probe.direction == Direction::In {
            Hook::Ingress
        } else {
            Hook::Egress
        };
        let judged = judge(&as_frame(&probe), hook);
        if !matches!(judged.reason, Reason::Rule | Reason::Default) {
            return Ok(Tally::default());
        }
        let expected = expected_at(&self.policy, &probe, NOW);
        check(&probe, expected, judged.rule, judged.verdict)
    }

    /// A packet near the edges of a rule, or anywhere, as an operator asks about it. None where there cannot be one.
    pub(crate) fn question(&self, random: &mut Random) -> Option<Question> {
        let (probe, _) = self.probe(random);
        let (protocol, ports, icmp) = match probe.protocol {
            ProbeProtocol::Ports {
                protocol,
                source,
                destination,
            } => (protocol, (source, destination), None),
            ProbeProtocol::Icmp { kind, code } if probe.source.is_ipv4() => (1, (0, 0), Some((kind, code))),
            ProbeProtocol::Icmp { kind, code } => (58, (0, 0), Some((kind, code))),
            ProbeProtocol::Number(number) => (number, (0, 0), None),
        };
        let question = Question {
            way: match probe.direction {
                Direction::Out => Way::Out,
                Direction::In | Direction::Forward => Way::In,
            },
            protocol,
            source: probe.source,
            destination: probe.destination,
            source_port: ports.0,
            destination_port: ports.1,
            icmp,
            interface: probe.interface.map(str::to_owned),
            vlan: probe.vlan.filter(|vlan| *vlan <= 4094),
        };
        question.check().is_ok().then_some(question)
    }

    /// A packet near the edges of a rule, or anywhere.
    fn probe(&self, random: &mut Random) -> (Probe<'static>, u8) {
        let rule = random.pick(&self.policy.rules);
        let v6 = random.percent(self.v6_percent);
        let (slot, interface) = match random.below(INTERFACES.len() + 1) {
            0 => (0, None),
            at => (INTERFACES[at - 1].0, Some(INTERFACES[at - 1].1)),
        };
        let probe = Probe {
            direction: if random.percent(95) {
                rule.direction
            } else {
                *random.pick(&[Direction::In, Direction::Out, Direction::Forward])
            },
            source: self.address(random, rule.matches.source.as_ref(), v6),
            destination: self.address(random, rule.matches.destination.as_ref(), v6),
            protocol: protocol(random, rule),
            interface,
            vlan: vlan(random, rule),
        };
        (probe, slot)
    }

    /// An address on or beside an edge of the rule's set, or of another rule's.
    fn address(&self, random: &mut Random, set: Option<&AddressSet>, v6: bool) -> IpAddr {
        let other = random.pick(&self.policy.rules);
        let set = set.or(other.matches.source.as_ref());
        let number = if v6 {
            near(random, set.map_or(&[][..], |set| &set.v6), 128)
        } else {
            near(random, set.map_or(&[][..], |set| &set.v4), 32)
        };
        if v6 {
            IpAddr::V6(Ipv6Addr::from_bits(number))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).expect("32 bits")))
        }
    }
}

/// What the rules say that have not ended.
fn expected_at(policy: &ValidPolicy, probe: &Probe<'_>, now: u32) -> Decision {
    let has_ended = |rule: &Rule| rule.term.is_some_and(|term| reached(now, end_of(term)));
    evaluate_without(policy, probe, has_ended)
}

/// What the compact form of a chain says, where there is one and it speaks of such packets.
fn compact(image: &SliceImage<'_>, chain: Chain, key: &MatchKey) -> Option<VerdictRecord> {
    let is_of_chain = chain == Chain::InputV4 && key.vlan == UNTAGGED;
    if !is_of_chain || !matches!(key.protocol, protocol::TCP | protocol::UDP) {
        return None;
    }
    let compact = image.compact(0)?;
    let address = |address: Address| u32::try_from(address.low).expect("an IPv4 address");
    let number = compact.verdict(&CompactKey {
        source: address(key.source),
        destination: address(key.destination),
        protocol: key.protocol,
        source_port: key.source_port,
        destination_port: key.destination_port,
    });
    classify::verdict(image, compact.head.verdicts, number?)
}

fn v6_percent(policy: &ValidPolicy) -> usize {
    let sets = || {
        let matches = policy.rules.iter().map(|rule| &rule.matches);
        matches.flat_map(|matches| [&matches.source, &matches.destination].into_iter().flatten())
    };
    match (
        sets().any(|set| !set.v4.is_empty()),
        sets().any(|set| !set.v6.is_empty()),
    ) {
        (true, false) => 5,
        (false, true) => 95,
        _ => 50,
    }
}

/// A number inside one of the ranges, at its edges, or one beside; of so many bits.
fn near<T: Copy + Into<u128>>(
    random: &mut Random,
    ranges: &[std::ops::RangeInclusive<T>],
    bits: usize,
) -> u128 {
    let last = u128::MAX >> (128 - bits);
    if ranges.is_empty() || random.percent(5) {
        return random.wide() & last;
    }
    let range = random.pick(ranges);
    let (start, end): (u128, u128) = ((*range.start()).into(), (*range.end()).into());
    match random.below(12) {
        0..4 => start,
        4..7 => end,
        7 => start.saturating_sub(1),
        8 => end.saturating_add(1).min(last),
        _ => random.between(&(start..=end)),
    }
}

fn near16(random: &mut Random, ranges: &Ranges<u16>) -> u16 {
    u16::try_from(near(random, ranges, 16)).expect("16 bits")
}

fn protocol(random: &mut Random, rule: &Rule) -> ProbeProtocol {
    let message = |number: u16| {
        let [kind, code] = number.to_be_bytes();
        ProbeProtocol::Icmp { kind, code }
    };
    match random.pick(&rule.matches.protocols) {
        ProtocolMatch::Ports {
            protocol,
            source,
            destination,
        } => ProbeProtocol::Ports {
            protocol: if random.percent(95) { *protocol } else { 17 },
            source: near16(random, source),
            destination: near16(random, destination),
        },
        ProtocolMatch::Icmp4(messages) | ProtocolMatch::Icmp6(messages) => message(near16(random, messages)),
        ProtocolMatch::Number(number) => ProbeProtocol::Number(*number),
        ProtocolMatch::Any => match random.below(3) {
            0 => message(near16(random, &Vec::new())),
            1 => ProbeProtocol::Number(*random.pick(&OTHERS)),
            _ => ProbeProtocol::Ports {
                protocol: 6,
                source: near16(random, &Vec::new()),
                destination: near16(random, &Vec::new()),
            },
        },
    }
}

fn vlan(random: &mut Random, rule: &Rule) -> Option<u16> {
    match &rule.matches.vlans {
        Some(vlans) if random.percent(90) => Some(near16(random, vlans) & 0xfff),
        _ => random.percent(20).then(|| near16(random, &Vec::new()) & 0xfff),
    }
}

fn verdict(number: u8) -> Verdict {
    match number {
        0 => Verdict::Pass,
        1 => Verdict::Drop,
        2 => Verdict::Reject,
        other => panic!("no verdict has the number {other}"),
    }
}

/// The packet as the classifier sees it.
fn as_key(probe: &Probe<'_>, slot: u8) -> (Chain, MatchKey) {
    let (family, source) = Address::from_ip(probe.source);
    let (_, destination) = Address::from_ip(probe.destination);
    let v6 = probe.source.is_ipv6();
    let (protocol, source_port, destination_port) = match probe.protocol {
        ProbeProtocol::Ports {
            protocol,
            source,
            destination,
        } => (protocol, source, destination),
        ProbeProtocol::Icmp { kind, code } => (if v6 { 58 } else { 1 }, 0, u16::from_be_bytes([kind, code])),
        ProbeProtocol::Number(number) => (number, 0, 0),
    };
    let chain = match (probe.direction, v6) {
        (Direction::In, false) => Chain::InputV4,
        (Direction::In, true) => Chain::InputV6,
        (Direction::Out, false) => Chain::OutputV4,
        (Direction::Out, true) => Chain::OutputV6,
        (Direction::Forward, false) => Chain::ForwardV4,
        (Direction::Forward, true) => Chain::ForwardV6,
    };
    let key = MatchKey {
        family,
        source,
        destination,
        protocol,
        source_port,
        destination_port,
        vlan: probe.vlan.unwrap_or(UNTAGGED),
        interface_slot: slot,
    };
    (chain, key)
}

/// The packet as it stands on the wire; one that may open a flow.
fn as_frame(probe: &Probe<'_>) -> Vec<u8> {
    let (source, destination) = (probe.source, probe.destination);
    let packet = match probe.protocol {
        ProbeProtocol::Ports {
            protocol: 6,
            source: from,
            destination: to,
        } => Packet::tcp((source, from).into(), (destination, to).into(), &Segment::new(2)),
        ProbeProtocol::Ports {
            protocol,
            source: from,
            destination: to,
        } => {
            let mut udp = Packet::udp((source, from).into(), (destination, to).into(), 20);
            udp.protocol = protocol;
            udp
        }
        ProbeProtocol::Icmp { kind, code } => Packet::icmp(source, destination, kind, code, [0; 4], &[0; 40]),
        ProbeProtocol::Number(number) => Packet::new(source, destination, number, vec![0; 20]),
    };
    match probe.vlan {
        Some(vlan) => packet.tagged(&[vlan]),
        None => packet.frame(),
    }
}

fn check(probe: &Probe<'_>, expected: Decision, rule: u16, verdict: Verdict) -> Result<Tally, String> {
    let expected_verdict = match expected.verdict {
        Action::Allow => Verdict::Pass,
        Action::Drop => Verdict::Drop,
        Action::Reject => Verdict::Reject,
    };
    let expected_rule = match (expected.rule, probe.direction) {
        (Some(rule), _) => u16::try_from(rule).expect("a few rules") + DEFAULT_COUNTERS,
        (None, Direction::In) => 0,
        (None, Direction::Out) => 1,
        (None, Direction::Forward) => 2,
    };
    if (rule, verdict) == (expected_rule, expected_verdict) {
        return Ok(Tally::of(expected));
    }
    Err(format!(
        "{probe:?}: counter {rule} says {verdict:?}, but {expected_rule} should say {expected_verdict:?}"
    ))
}
