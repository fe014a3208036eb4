//! The suite that runs inside the virtual machine, on the oldest kernel that is supported. It needs nothing but
//! `ip`, `tc`, busybox, the agent's two programs and the shipped policies; it prints one line for each check, with
//! the seconds it took, and fails if any of them fails.

mod agent;
mod wire;

use std::{
    fs,
    net::{IpAddr, TcpStream},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aya::programs::loaded_programs;
use firewall_common::abi::{
    TC_SHARED_PROGRAMS, TC_SLOT_PROGRAMS, XDP_SHARED_PROGRAMS, XDP_SLOT_PROGRAMS, names,
};
use firewall_tests::{netns::output, pcap, wait::wait_until};
use serde_json::Value;

use agent::{Agent, PINS};
use wire::{DB, Ends, HOST, LB, MANAGEMENT, Outcome, STRANGER, Wire, ping};

/// How long the agent may take to load everything: the kernel verifies its programs under software emulation.
const LOAD_PATIENCE: Duration = Duration::from_mins(3);
/// How long it may take to take over what is loaded.
const ADOPT_PATIENCE: Duration = Duration::from_secs(30);

/// How long the kernel may take to free what nobody refers to any more.
const FREE_PATIENCE: Duration = Duration::from_secs(10);

/// What the checks share.
struct Guest {
    wire: Wire,
    agent: Agent,
    /// A connection that is open all the time, from the first check that opens one.
    session: Option<TcpStream>,
}

/// A check by name.
type Check = (&'static str, fn(&mut Guest) -> Result<()>);

const CHECKS: [Check; 14] = [
    ("the kernel is a 6.1", kernel_is_6_1),
    (
        "what is to be dropped passes without the agent",
        everything_passes,
    ),
    ("the agent loads the shipped policy", agent_starts),
    ("every program of the object is loaded", programs_are_loaded),
    ("XDP is attached in native mode, tc by clsact", attachments),
    ("what comes in is judged", incoming),
    ("what goes out is judged", outgoing),
    ("echo requests are judged, both ways", echo_requests),
    ("the programs explain packets, without a trace", explain),
    ("the programs replay a capture as user space does", replay),
    ("a killed agent leaves filtering in force", kill_agent),
    ("an agent that is started again takes over", agent_takes_over),
    ("an edit is put in force", edit),
    ("the unload leaves nothing", unload),
];

fn main() -> ExitCode {
    let mut guest = match Guest::new() {
        Ok(guest) => guest,
        Err(error) => {
            println!("FAILED  the set-up: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = 0;
    for (name, check) in CHECKS {
        let start = Instant::now();
        let outcome = check(&mut guest);
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("ok      {seconds:5.1} s  {name}"),
            Err(error) => {
                println!("FAILED  {seconds:5.1} s  {name}: {error:#}");
                failed += 1;
            }
        }
    }
    println!("{} of {} checks passed", CHECKS.len() - failed, CHECKS.len());
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        println!("{}", agent::log());
        ExitCode::FAILURE
    }
}

impl Guest {
    fn new() -> Result<Self> {
        Ok(Self {
            wire: Wire::new()?,
            agent: Agent::configure()?,
            session: None,
        })
    }

    /// A connection from somebody on the wire to a port of the host.
    fn connect_in(&self, from: Ends, port: u16) -> [Outcome; 2] {
        from.to(HOST)
            .map(|(source, target)| self.wire.peer.run(|| wire::connect(source, target, port)))
    }
}

/// Tries something, and says whether it ended as expected and the counter named rose by one.
fn counted(counter: &str, expected: Outcome, work: impl FnOnce() -> Outcome) -> Result<()> {
    let before = agent::matches(counter)?;
    let seen = work();
    let rise = agent::matches(counter)? - before;
    ensure!(
        seen == expected && rise == 1,
        "{seen:?} instead of {expected:?}, {counter} counted {rise} instead of 1"
    );
    Ok(())
}

fn kernel_is_6_1(_: &mut Guest) -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    ensure!(release.starts_with("6.1."), "it is {}", release.trim());
    Ok(())
}

fn everything_passes(guest: &mut Guest) -> Result<()> {
    for port in [22, 443] {
        let seen = guest.connect_in(STRANGER, port);
        ensure!(seen == [Outcome::Reached; 2], "port {port}: {seen:?}");
    }
    // Opened before the first enforcement, which has to take it over.
    let (source, target) = MANAGEMENT.to(HOST)[0];
    let session = guest.wire.peer.run(|| wire::open(source, target, 22))?;
    guest.session = Some(session);
    echo(guest)
}

fn agent_starts(guest: &mut Guest) -> Result<()> {
    guest.agent.start(&guest.wire.host, LOAD_PATIENCE)?;
    echo(guest).context("a connection from before was cut")
}

fn programs_are_loaded(_: &mut Guest) -> Result<()> {
    let chains = [
        &XDP_SLOT_PROGRAMS[..],
        &XDP_SHARED_PROGRAMS,
        &TC_SLOT_PROGRAMS,
        &TC_SHARED_PROGRAMS,
    ];
    let chains = chains.into_iter().flatten().map(|(name, _)| *name);
    let wanted: Vec<&str> = chains
        .chain([names::XDP_ENTRY, names::TC_ENTRY, names::ADMIN])
        .collect();
    let in_object = firewall_programs()?;
    ensure!(in_object == wanted.len(), "the object has {in_object} programs");
    let loaded = kernel_programs()?;
    let missing: Vec<_> = wanted
        .iter()
        .filter(|name| !loaded.iter().any(|loaded| kernel_name(name) == loaded))
        .collect();
    ensure!(missing.is_empty(), "missing: {missing:?}");
    Ok(())
}

fn attachments(guest: &mut Guest) -> Result<()> {
    let status = agent::fwctl(&["status"])?;
    let mode = &status["interfaces"][0]["mode"];
    ensure!(mode == "native", "the mode is {mode}");
    let link = output(
        guest
            .wire
            .host
            .command("ip")
            .args(["link", "show", "dev", "eth0"]),
    )?;
    // `xdpgeneric` where it is not native.
    ensure!(link.contains(" xdp "), "{link}");
    let filters = filters(guest)?;
    ensure!(filters.contains(names::TC_ENTRY), "{filters}");
    Ok(())
}

fn incoming(guest: &mut Guest) -> Result<()> {
    for (from, port, expected, counter) in [
        (MANAGEMENT, 22, Outcome::Reached, "ssh"),
        (STRANGER, 22, Outcome::Silence, "(default in)"),
        (LB, 443, Outcome::Reached, "lb-to-web"),
        (STRANGER, 443, Outcome::Silence, "around-the-lb"),
    ] {
        for (source, target) in from.to(HOST) {
            counted(counter, expected, || {
                guest.wire.peer.run(|| wire::connect(source, target, port))
            })
            .with_context(|| format!("from {source} to port {port}"))?;
        }
    }
    Ok(())
}

fn outgoing(guest: &mut Guest) -> Result<()> {
    for (to, port, expected, counter) in [
        (DB, 3306, Outcome::Reached, "web-to-db"),
        (DB, 22, Outcome::Refused, "(default out)"),
        (STRANGER, 443, Outcome::Refused, "(default out)"),
    ] {
        for (source, target) in HOST.to(to) {
            counted(counter, expected, || {
                guest.wire.host.run(|| wire::connect(source, target, port))
            })
            .with_context(|| format!("to {target} port {port}"))?;
        }
    }
    Ok(())
}

fn echo_requests(guest: &mut Guest) -> Result<()> {
    let host = HOST.addresses();
    for (source, target) in MANAGEMENT.addresses().into_iter().zip(host) {
        counted("ping", Outcome::Reached, || {
            ping(&guest.wire.peer, Some(source), target)
        })
        .with_context(|| format!("in from {source}"))?;
    }
    for (source, target) in STRANGER.addresses().into_iter().zip(host) {
        counted("(default in)", Outcome::Silence, || {
            ping(&guest.wire.peer, Some(source), target)
        })
        .with_context(|| format!("in from {source}"))?;
        counted("(default out)", Outcome::Silence, || {
            ping(&guest.wire.host, None, source)
        })
        .with_context(|| format!("out to {source}"))?;
    }
    Ok(())
}

/// The variant of the programs that writes nothing is loaded for each question, and judges over the live tables.
fn explain(_: &mut Guest) -> Result<()> {
    for (question, verdict, rule) in [
        ("in tcp 203.0.113.7:51000 10.77.2.10:443", "drop", "around-the-lb"),
        (
            "in tcp [2001:db8::7]:51000 [fd77:2::10]:443",
            "drop",
            "around-the-lb",
        ),
        ("in tcp 10.77.1.10:51000 10.77.2.10:443", "pass", "lb-to-web"),
        ("out tcp [fd77:2::10] [fd77:3::10]:3306", "pass", "web-to-db"),
        ("out udp 10.77.2.10 203.0.113.7:53", "reject", "(default out)"),
    ] {
        let before = agent::fwctl(&["counters"])?["rules"].take();
        let words: Vec<&str> = ["explain"].into_iter().chain(question.split(' ')).collect();
        let answer = agent::fwctl(&words)?;
        let kernel = &answer["kernel"];
        let is_right = kernel["agrees"] == true && kernel["verdict"] == verdict && kernel["rule"] == rule;
        ensure!(is_right, "{question}: {kernel}");
        let after = agent::fwctl(&["counters"])?["rules"].take();
        ensure!(after == before, "{question}: {before} became {after}");
    }
    Ok(())
}

fn replay(_: &mut Guest) -> Result<()> {
    const CAPTURE: &str = "/tmp/web.pcap";
    fs::write(CAPTURE, pcap::web_server())?;
    let totals = |engine| -> Result<Value> {
        let policy = [
            "--policy",
            "/etc/rules",
            "--host",
            "web-1",
            "--local",
            "10.77.2.10",
        ];
        let words = [&["replay", CAPTURE, "--quiet", "--engine", engine], &policy[..]].concat();
        let mut totals = agent::fwctl(&words)?["totals"].take();
        totals["seconds"].take();
        Ok(totals)
    };
    let (kernel, model) = (totals("kernel")?, totals("model")?);
    ensure!(
        kernel == model && kernel["packets"] == 6,
        "{kernel} instead of {model}"
    );
    Ok(())
}

fn kill_agent(guest: &mut Guest) -> Result<()> {
    guest.agent.note_counters()?;
    guest.agent.kill()?;
    let seen = guest.connect_in(STRANGER, 443);
    ensure!(seen == [Outcome::Silence; 2], "from a stranger: {seen:?}");
    let seen = guest.connect_in(LB, 443);
    ensure!(seen == [Outcome::Reached; 2], "from the load balancer: {seen:?}");
    let (source, target) = HOST.to(STRANGER)[0];
    let seen = guest.wire.host.run(|| wire::connect(source, target, 443));
    ensure!(seen == Outcome::Refused, "to a stranger: {seen:?}");
    echo(guest)
}

fn agent_takes_over(guest: &mut Guest) -> Result<()> {
    guest.agent.start(&guest.wire.host, ADOPT_PATIENCE)?;
    guest.agent.has_taken_over("around-the-lb", 2)?;
    echo(guest)
}

fn edit(guest: &mut Guest) -> Result<()> {
    let what = [
        "rule",
        "add",
        "a-test",
        "--allow",
        "tcp/8080",
        "--from",
        "management",
    ];
    agent::fwctl(&what)?;
    let seen = guest.connect_in(MANAGEMENT, 8080);
    ensure!(seen == [Outcome::Reached; 2], "after `rule add`: {seen:?}");
    agent::fwctl(&["rule", "delete", "a-test"])?;
    let seen = guest.connect_in(MANAGEMENT, 8080);
    ensure!(seen == [Outcome::Silence; 2], "after `rule delete`: {seen:?}");
    echo(guest)
}

fn unload(guest: &mut Guest) -> Result<()> {
    guest.agent.end()?;
    let seen = guest.connect_in(STRANGER, 443);
    ensure!(seen == [Outcome::Silence; 2], "with the agent stopped: {seen:?}");
    agent::unload(&guest.wire.host)?;
    ensure!(!Path::new(PINS).exists(), "{PINS} is still there");
    let filters = filters(guest)?;
    ensure!(filters.is_empty(), "{filters}");
    // The kernel frees what a program array held a moment after the array.
    let none_left = || kernel_programs().is_ok_and(|programs| programs.is_empty());
    ensure!(
        wait_until(FREE_PATIENCE, none_left),
        "programs are left: {:?}",
        kernel_programs()?
    );
    let seen = guest.connect_in(STRANGER, 443);
    ensure!(seen == [Outcome::Reached; 2], "unloaded: {seen:?}");
    echo(guest)
}

/// The session that is open all the time carries data both ways.
fn echo(guest: &mut Guest) -> Result<()> {
    let session = guest.session.as_mut().context("no session was opened")?;
    wire::echo(session)
}

/// What tc shows at the host's interface.
fn filters(guest: &Guest) -> Result<String> {
    let mut tc = guest.wire.host.command("tc");
    output(tc.args(["filter", "show", "dev", "eth0", "egress"]))
}

/// How many programs the object has that is built into the agent.
fn firewall_programs() -> Result<usize> {
    let object = aya_obj::Object::parse(firewall_agent::OBJECT)?;
    Ok(object.programs.len())
}

/// The firewall's programs that the kernel has, by the names that it keeps.
fn kernel_programs() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for program in loaded_programs() {
        let name = program?.name_as_str().unwrap_or_default().to_owned();
        if name.starts_with("fw_") {
            found.push(name);
        }
    }
    Ok(found)
}

/// The kernel keeps 15 bytes of a name (`BPF_OBJ_NAME_LEN`).
fn kernel_name(name: &str) -> &str {
    &name[..name.len().min(15)]
}

/// One address of each family.
type Addresses = [IpAddr; 2];
