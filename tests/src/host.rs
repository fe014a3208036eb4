//! A host under a policy: frames go in and out at times of the test's choosing.

use std::net::{IpAddr, SocketAddr};

use firewall_agent::{
    compile::{CompiledImage, compile},
    dataplane::{FlowTable, SlotImage},
    diagnostic::{SourceFile, SourceSet, Style, render_text},
    policy::{
        Options, Scope, Target, check,
        model::{AddressSet, Failsafe, Term, Timers, ValidPolicy},
    },
};
use firewall_common::{
    cell::{Cell, Mode},
    counters::Hook,
    flow::State,
    image::Block,
    verdict::{NO_RULE, Verdict},
};

use crate::{
    engine::{Engine, Interface, Judged},
    frames::Packet,
};

/// What every test policy starts with; rules and options follow.
const PRELUDE: &str = r#"
layer = "role test"
interfaces = ["eth*"]

[defaults]
incoming = "drop"
outgoing = "reject"
forwarded = "drop"
"#;

/// When a test begins: the clock wraps some minutes later.
const START_TICKS: u32 = u32::MAX - 3000;

/// Addresses of one family that the tests use.
#[derive(Debug, Clone, Copy)]
pub struct Net {
    /// This host.
    pub server: IpAddr,
    /// Somebody who is allowed things.
    pub client: IpAddr,
    /// Somebody else.
    pub other: IpAddr,
    /// A router on the way.
    pub router: IpAddr,
    /// Whom the failsafe lets in.
    pub manager: IpAddr,
    /// The failsafe's name server.
    pub resolver: IpAddr,
}

/// Both families.
#[must_use]
pub fn nets() -> [Net; 2] {
    ["10.0.", "fd00:"].map(|prefix| {
        let address = |last: &str| {
            let text = if prefix.contains(':') {
                format!("{prefix}:{last}")
            } else {
                format!("{prefix}0.{last}")
            };
            text.parse().expect("an address")
        };
        Net {
            server: address("1"),
            client: address("2"),
            other: address("3"),
            router: address("4"),
            manager: address("9"),
            resolver: address("53"),
        }
    })
}

/// The end of a connection.
#[must_use]
pub fn end(address: IpAddr, port: u16) -> SocketAddr {
    (address, port).into()
}

/// The failsafe of every test: the managers to port 22, and the resolvers.
#[must_use]
pub fn failsafe() -> Failsafe {
    let [v4, v6] = nets();
    let one = |pick: fn(&Net) -> IpAddr| {
        let mut set = AddressSet::default();
        for address in [pick(&v4), pick(&v6)] {
            match address {
                IpAddr::V4(v4) => set.v4.push(v4.to_bits()..=v4.to_bits()),
                IpAddr::V6(v6) => set.v6.push(v6.to_bits()..=v6.to_bits()),
            }
        }
        set
    };
    Failsafe {
        management_sources: one(|net| net.manager),
        management_ports: vec![22],
        resolvers: one(|net| net.resolver),
    }
}

/// The policy that a text in the policy language stands for.
#[must_use]
pub fn policy(text: &str) -> ValidPolicy {
    policy_of([SourceFile::new("test.toml", format!("{PRELUDE}{text}"))])
}

/// The same, with rules beside it that end by themselves.
#[must_use]
pub fn policy_with(text: &str, timed: &str) -> ValidPolicy {
    policy_of([
        SourceFile::new("test.toml", format!("{PRELUDE}{text}")),
        SourceFile::new("timed.toml", format!("layer = \"timed\"\n{timed}")),
    ])
}

fn policy_of(sources: impl IntoIterator<Item = SourceFile>) -> ValidPolicy {
    let sources: SourceSet = sources.into_iter().collect();
    let options = Options {
        scope: Scope::One(Target {
            role: Some("test".into()),
            host: None,
        }),
        failsafe: Some(failsafe()),
        ..Options::default()
    };
    let mut checked = check(sources, &options);
    let found: Vec<_> = checked
        .diagnostics
        .iter()
        .map(|one| render_text(one, &checked.sources, Style::Plain))
        .collect();
    assert!(!checked.has_errors(), "{}", found.join("\n"));
    checked.policies.remove(0)
}

/// A host.
#[derive(Debug)]
pub struct Host<E> {
    /// What judges.
    pub engine: E,
    /// Of rules, by the number of their counters; a name keeps its number over all policies.
    names: Vec<String>,
    now_ticks: u32,
    in_force: u8,
}

impl<E: Engine> Host<E> {
    /// A host with the addresses of [`nets`] under a policy of these rules.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut names = vec!["default".to_owned(); 3];
        let (blocks, timers) = bind(text, &mut names);
        let engine = E::start(&SlotImage {
            blocks: &blocks,
            timers,
        });
        Self::of_engine(engine, names)
    }

    /// The same, with rules beside them that end by themselves.
    #[must_use]
    pub fn with_timed(text: &str, timed: &str) -> Self {
        let mut host = Self::new(text);
        host.replace_with_timed(text, timed);
        host
    }

    fn of_engine(mut engine: E, names: Vec<String>) -> Self {
        for net in nets() {
            engine.add_local(net.server);
        }
        Self {
            engine,
            names,
            now_ticks: START_TICKS,
            in_force: 0,
        }
    }

    /// Puts another policy into a slot, as a new epoch, without switching to it.
    pub fn load(&mut self, slot: u8, text: &str) {
        let (blocks, timers) = bind(text, &mut self.names);
        self.engine.load(
            slot,
            &SlotImage {
                blocks: &blocks,
                timers,
            },
        );
    }

    /// Takes all rules out of a slot, keeping its epoch: whoever asks them afterwards is dropped by default.
    pub fn gut(&mut self, slot: u8) {
        let (blocks, timers) = bind("", &mut self.names);
        self.engine.overwrite(
            slot,
            &SlotImage {
                blocks: &blocks,
                timers,
            },
        );
    }

    /// Puts a slot in force; with a deadline, `fallback` takes over so many seconds later.
    pub fn switch(&mut self, slot: u8, mode: Mode, deadline: Option<(u8, u32)>) {
        self.in_force = slot;
        let cell = Cell {
            slot,
            fallback: deadline.map_or(slot, |(fallback, _)| fallback),
            mode,
            deadline_ticks: deadline.map(|(_, seconds)| self.after(seconds)),
        };
        self.engine.switch(cell);
    }

    /// Loads a policy into the other one of the first two slots and switches to it.
    pub fn replace(&mut self, text: &str) {
        let slot = 1 - self.in_force;
        self.load(slot, text);
        self.switch(slot, Mode::Normal, None);
    }

    /// As [`Self::replace`], with rules beside the policy that end so many seconds from now as their terms last.
    pub fn replace_with_timed(&mut self, text: &str, timed: &str) {
        let slot = 1 - self.in_force;
        let compiled = compile(&policy_with(text, timed)).expect("the policy compiles");
        let ends = |term: Term| {
            let seconds = term.until.duration_since(term.since).as_secs();
            self.after(u32::try_from(seconds).expect("a test is short"))
        };
        let mut names = self.names.clone();
        let blocks = bound(&compiled, &mut names, &ends);
        self.names = names;
        self.engine.load(
            slot,
            &SlotImage {
                blocks: &blocks,
                timers: *compiled.timers(),
            },
        );
        self.switch(slot, Mode::Normal, None);
    }

    /// The clock so many seconds from now, in ticks.
    #[must_use]
    pub fn after(&self, seconds: u32) -> u32 {
        self.now_ticks.wrapping_add(self.engine.clock().ticks(seconds))
    }

    /// Lets time pass.
    pub fn wait(&mut self, seconds: u32) {
        self.now_ticks = self.after(seconds);
    }

    /// What becomes of a packet that comes in on `eth0`: verdict, reason and rule.
    pub fn incoming(&self, packet: &Packet) -> String {
        self.frame(&packet.frame(), Hook::Ingress)
    }

    /// What becomes of a packet that goes out on `eth0`.
    pub fn outgoing(&self, packet: &Packet) -> String {
        self.frame(&packet.frame(), Hook::Egress)
    }

    /// What becomes of a frame on `eth0`.
    pub fn frame(&self, frame: &[u8], hook: Hook) -> String {
        self.frame_on(Interface::Eth0, frame, hook)
    }

    /// What becomes of a frame on an interface.
    pub fn frame_on(&self, interface: Interface, frame: &[u8], hook: Hook) -> String {
        self.tell(self.engine.judge(frame, interface, hook, self.now_ticks))
    }

    /// States of all flows, half-open ones first.
    #[must_use]
    pub fn states(&self) -> Vec<State> {
        [FlowTable::Half, FlowTable::Assured]
            .into_iter()
            .flat_map(|table| self.engine.flows(table))
            .collect()
    }

    fn tell(&self, judged: Judged) -> String {
        let verdict = match judged.verdict {
            Verdict::Pass => "pass",
            Verdict::Drop => "drop",
            Verdict::Reject => "reject",
        };
        let reason = judged.reason.name();
        if judged.rule == NO_RULE || reason == "default" {
            return format!("{verdict} {reason}");
        }
        format!("{verdict} {reason} {}", self.names[usize::from(judged.rule)])
    }
}

/// A policy as it goes into a slot, with a number for each name that has none yet.
pub fn bind(text: &str, names: &mut Vec<String>) -> (Vec<Block>, Timers) {
    let compiled = compile(&policy(text)).expect("the policy compiles");
    let blocks = bound(&compiled, names, &|_| unreachable!("no rule ends"));
    (blocks, *compiled.timers())
}

/// A number for each name that has none yet.
fn number(compiled: &CompiledImage, names: &mut Vec<String>) {
    for rule in compiled.rules() {
        if !names.iter().any(|name| **name == *rule.name) {
            names.push(rule.name.to_string());
        }
    }
}

fn bound(compiled: &CompiledImage, names: &mut Vec<String>, ends: &dyn Fn(Term) -> u32) -> Vec<Block> {
    number(compiled, names);
    let number = |wanted: &str| {
        let place = names.iter().position(|name| name == wanted);
        place
            .and_then(|place| u16::try_from(place).ok())
            .unwrap_or(NO_RULE)
    };
    let interfaces = Interface::ATTACHED.map(|interface| (interface.slot(), interface.name()));
    let bound = compiled.bind_until(&number, ends, interfaces);
    bound.expect("slots from 1 on").blocks().to_vec()
}
