//! New connections and requests through a stateful firewall.

use std::{fs, process::Child, time::Duration};

use anyhow::{Context, Result, ensure};
use firewall_agent::settings::AttachMode;
use firewall_tests::{netns::output, tiny::Attached, wait::wait_until};

use crate::{
    Bench,
    case::not_measured,
    guard::Guard,
    pair::{INTERFACE, Pair},
    peers::StatefulNft,
    plain_rule::drop_rules,
    policies::load_balancer,
    report::Report,
    results::{Case, Unit},
    rounds::take_turns,
    tcp,
};

/// What the shipped policy of a load balancer opens, and nothing else uses.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;
/// Addresses in the block list.
const LISTED: u32 = 1_000_000;
/// Rules in front of the policy's own, and how many times better than nftables with as many.
const RULES: [(u16, f64); 3] = [(0, 1.1), (100, 1.2), (1000, 2.0)];
/// The same for a first look.
const FEW_RULES: [(u16, f64); 2] = [RULES[0], RULES[2]];
const NFT: &str = "nftables, conntrack";
const NOTHING: &str = "no firewall";
const PASSING: &str = "native XDP that passes";
/// Seconds of each turn of wrk, which takes whole ones.
const REQUEST_SECONDS: &str = "1";

/// What stands before a server.
enum Wall {
    Nothing,
    /// A program that passes everything.
    Passing {
        _attached: Attached,
    },
    Nft,
    Ours {
        guard: Guard,
        rule: u16,
    },
}

/// A server behind it.
struct Server {
    pair: Pair,
    wall: Wall,
}

impl Server {
    fn bare() -> Result<Self> {
        Ok(Self {
            pair: Pair::new()?,
            wall: Wall::Nothing,
        })
    }

    fn passing() -> Result<Self> {
        let pair = Pair::new()?;
        let attached = pair.pass_all()?;
        Ok(Self {
            pair,
            wall: Wall::Passing { _attached: attached },
        })
    }

    fn nft(rules: u16) -> Result<Self> {
        let pair = Pair::new()?;
        StatefulNft::new(&pair.server, &drop_rules(rules), HTTP)?;
        Ok(Self {
            pair,
            wall: Wall::Nft,
        })
    }

    fn ours(rules: u16) -> Result<Self> {
        let pair = Pair::new()?;
        let policy = load_balancer(&drop_rules(rules), LISTED)?;
        let rule = policy.rules.iter().position(|rule| &*rule.name == "public-web");
        let rule = u16::try_from(rule.context("the policy opens no web")?)?;
        let guard = Guard::new(&pair.server, INTERFACE, AttachMode::Native, policy)?;
        Ok(Self {
            pair,
            wall: Wall::Ours { guard, rule },
        })
    }

    /// Connections that the firewall says to have let in.
    fn allowed(&self) -> Result<Option<u64>> {
        match &self.wall {
            Wall::Nothing | Wall::Passing { .. } => Ok(None),
            Wall::Nft => StatefulNft::allowed(&self.pair.server).map(Some),
            Wall::Ours { guard, rule, .. } => guard.matches(*rule).map(Some),
        }
    }
}

/// Connections, and requests over TLS.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    connections(bench, report)?;
    requests(bench, report).unwrap_or_else(|error| report.add(10, not_measured("HTTPS requests", &error)));
    Ok(())
}

fn connections(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut servers = vec![Server::bare()?, Server::passing()?];
    let asked = bench.effort.either(&RULES[..], &FEW_RULES[..]);
    for &(rules, _) in asked {
        eprintln!("  connections, {rules} rules");
        servers.push(Server::nft(rules)?);
        servers.push(Server::ours(rules)?);
    }
    for server in &servers {
        tcp::close_each(&server.pair, HTTP)?;
    }
    let span = Duration::from_millis(bench.effort.either(400, 200));
    let places: Vec<_> = (0..servers.len()).collect();
    let figures = take_turns(bench.effort.rounds, &places, |place| {
        let server = &servers[place];
        let before = server.allowed()?;
        let (rate, count) = tcp::connections(&server.pair, HTTP, span)?;
        if let (Some(before), Some(after)) = (before, server.allowed()?) {
            let allowed = after - before;
            ensure!(
                allowed >= count,
                "a firewall has let in {allowed} of {count} connections"
            );
        }
        Ok(rate)
    })?;
    for (place, &(rules, target)) in asked.iter().enumerate() {
        let case = Case::new(format!("connections, {rules} rules"), Unit::PerSecond)
            .of_series("connections", rules.into())
            .ours(figures[3 + 2 * place].clone())
            .with(NFT, figures[2 + 2 * place].clone())
            .with(NOTHING, figures[0].clone())
            .with(PASSING, figures[1].clone())
            .better_than(target, NFT);
        report.add(10, case);
    }
    Ok(())
}

/// A web server; it ends with the value, or with this process.
struct Nginx(Child);

impl Nginx {
    fn start(pair: &Pair, name: &str) -> Result<Self> {
        let directory = std::path::Path::new(firewall_tests::mounts::STATE).join(name);
        fs::create_dir(&directory)?;
        let path = |file: &str| directory.join(file).to_string_lossy().into_owned();
        let (key, certificate, configuration) = (path("key"), path("certificate"), path("nginx.conf"));
        let mut openssl = pair.server.command("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]);
        output(openssl.args(["-subj", "/CN=bench", "-keyout", &key, "-out", &certificate]))?;
        fs::write(&configuration, configuration_text(&key, &certificate))?;
        let mut nginx = pair.server.command("setpriv");
        nginx.args(["--pdeathsig", "KILL", "nginx", "-e", "stderr"]);
        let child = nginx
            .arg("-p")
            .arg(&directory)
            .args(["-c", &configuration])
            .spawn()?;
        let nginx = Self(child);
        let end = Pair::end(HTTPS)?;
        let listens = wait_until(Duration::from_secs(10), || {
            pair.client.run(|| std::net::TcpStream::connect(end).is_ok())
        });
        ensure!(listens, "nginx does not listen");
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn configuration_text(key: &str, certificate: &str) -> String {
    format!(
        "daemon off; master_process off; error_log stderr crit; pid nginx.pid;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; keepalive_requests 1000000;\n\
         server {{ listen {HTTPS} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
         location / {{ return 200 \"a page\\n\"; }} }} }}\n"
    )
}

/// HTTPS requests a second over connections that stay, with and without us.
fn requests(bench: &Bench, report: &mut Report) -> Result<()> {
    eprintln!("  HTTPS requests");
    let servers = [Server::bare()?, Server::passing()?, Server::ours(0)?];
    let _running = [
        Nginx::start(&servers[0].pair, "bare")?,
        Nginx::start(&servers[1].pair, "passing")?,
        Nginx::start(&servers[2].pair, "ours")?,
    ];
    let rounds = bench.effort.either(bench.effort.rounds, 3);
    let figures = take_turns(rounds, &[0, 1, 2], |place: usize| {
        let mut wrk = servers[place].pair.client.command("wrk");
        let load = [
            "--threads",
            "1",
            "--connections",
            "16",
            "--duration",
            REQUEST_SECONDS,
        ];
        let text = output(wrk.args(load).arg(format!("https://{}/", Pair::end(HTTPS)?)))?;
        rate(&text).with_context(|| format!("wrk says {text}"))
    })?;
    let case = Case::new("HTTPS requests", Unit::PerSecond)
        .ours(figures[2].clone())
        .with(NOTHING, figures[0].clone())
        .with(PASSING, figures[1].clone())
        .better_than(0.97, NOTHING)
        .note("nginx and wrk, sixteen connections that stay, native XDP");
    report.add(10, case);
    Ok(())
}

/// Requests a second, as wrk tells them, where none has failed.
fn rate(text: &str) -> Option<f64> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_from_what_wrk_says() {
        let text = "  9 requests in 1.00s, 1.0MB read\nRequests/sec:   9183.22\nTransfer/sec:      1.0MB\n";
        assert!(rate(text).is_some_and(|rate| (rate - 9183.22).abs() < 1e-9));
        assert_eq!(rate(&format!("{text}  Socket errors: connect 1, read 0")), None);
        assert_eq!(rate("unable to connect"), None);
    }
}
