//! `/metrics` in both formats, and `/healthz`.

use std::{
    io::Write as _,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
};

use firewall_common::{counters::Hook, reason::Reason};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    exposition::{Exposition, open_metrics, text_format},
    host::{Host, operator, refused},
};
use firewall_agent::{daemon::Agent, state::Cause, telemetry::MetricsServer};

/// A listening endpoint.
struct Endpoint {
    agent: Arc<Agent>,
    address: SocketAddr,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Endpoint {
    fn new(host: &Host) -> Self {
        let agent = Arc::new(host.start());
        let address = "127.0.0.1:0".parse().expect("an address");
        let server = MetricsServer::bind(address, agent.clone()).expect("a free port");
        let address = server.local_address().expect("it listens");
        tokio::spawn(server.serve());
        Self { agent, address }
    }

    async fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or(0),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    async fn get(&self, path: &str, accept: &str) -> Answer {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: agent\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    async fn metrics(&self) -> Exposition {
        let answer = self
            .get("/metrics", "application/openmetrics-text; version=1.0.0")
            .await;
        open_metrics(&answer.body).expect("valid")
    }
}

#[tokio::test]
async fn both_formats_are_valid_and_say_the_same() {
    let endpoint = Endpoint::new(&Host::new());
    let text = endpoint.get("/metrics", "text/plain").await;
    assert_eq!(text.status, 200);
    assert!(
        text.head
            .contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        text.head
    );
    let open = endpoint
        .get("/metrics", "application/openmetrics-text; version=1.0.0")
        .await;
    assert!(
        open.head
            .contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{}",
        open.head
    );
    let in_text = text_format(&text.body).expect("valid");
    let in_open = open_metrics(&open.body).expect("valid");
    assert_eq!(in_text.samples, in_open.samples);
}

#[tokio::test]
async fn without_a_wish_it_is_the_older_format() {
    let endpoint = Endpoint::new(&Host::new());
    let answer = endpoint
        .send("GET /metrics HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.head.contains("text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    text_format(&answer.body).expect("valid");
    open_metrics(&answer.body).expect_err("it is not the newer one");
}

#[tokio::test]
async fn promtool_finds_nothing_wrong() {
    let endpoint = Endpoint::new(&Host::new());
    let answer = endpoint.get("/metrics", "text/plain").await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: apt-get install prometheus, or cargo xtask setup");
    let mut stdin = promtool.stdin.take().expect("piped");
    stdin.write_all(answer.body.as_bytes()).expect("it reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("it ends");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
}

#[tokio::test]
async fn everything_that_has_to_be_measured_is() {
    let host = Host::new();
    let endpoint = Endpoint::new(&host);
    host.kernel.set_counters(|counters| {
        counters.rules[3].packets = 7;
        counters.rules[3].bytes = 700;
        let place = firewall_common::counters::reason_index(Hook::Ingress, Reason::TcpNoState as u8) as usize;
        counters.reasons[place].packets = 5;
    });
    let metrics = endpoint.metrics().await;
    let value = |sample: &str| metrics.samples.get(sample).map(String::as_str);
    let site = "action=\"allow\",direction=\"in\",rule=\"site\"";
    assert_eq!(
        value(&format!("firewall_rule_packets_total{{{site}}}")),
        Some("7")
    );
    assert_eq!(
        value(&format!("firewall_rule_bytes_total{{{site}}}")),
        Some("700")
    );
    assert_eq!(
        value("firewall_drop_packets_total{hook=\"ingress\",reason=\"tcp-no-state\"}"),
        Some("5")
    );
    for (sample, expected) in [
        ("firewall_flows{state=\"established\"}", "0"),
        ("firewall_rule_info{origin=\"web.toml:3\",rule=\"site\"}", "1"),
        ("firewall_revision{}", "1"),
        ("firewall_rules{}", "3"),
        ("firewall_enforcing{what=\"policy\"}", "1"),
        ("firewall_enforcing{what=\"failsafe-only\"}", "0"),
        (
            "firewall_interface_attached{interface=\"eth0\",mode=\"native\"}",
            "1",
        ),
        (
            "firewall_interface_packets_total{hook=\"ingress\",interface=\"eth0\",outcome=\"dropped\"}",
            "0",
        ),
        ("firewall_last_reload_success{}", "1"),
        ("firewall_policy_pending{}", "0"),
    ] {
        assert_eq!(value(sample), Some(expected), "{sample}");
    }
    let hash = endpoint.agent.status().expect("the kernel answers").policy_hash;
    let has = |start: &str, part: &str| {
        metrics
            .samples
            .keys()
            .any(|name| name.starts_with(start) && name.contains(part))
    };
    assert!(has("firewall_policy_info{", &format!("hash=\"{hash}\"")));
    assert!(has("firewall_table_entries{", "table="));
    assert!(has("firewall_table_capacity{", "table="));
    assert!(has("firewall_generation{}", ""));
    assert!(has("firewall_events_total{}", ""));
    assert!(has("firewall_events_lost_total{}", ""));
}

#[tokio::test]
async fn a_failed_reload_shows() {
    let host = Host::new();
    let endpoint = Endpoint::new(&host);
    host.append("web.toml", "nonsense = ");
    refused(endpoint.agent.reload(&operator(), Cause::Reload, None));
    let metrics = endpoint.metrics().await;
    for (sample, expected) in [
        ("firewall_last_reload_success{}", "0"),
        ("firewall_policy_pending{}", "1"),
        ("firewall_reloads_total{result=\"failure\"}", "1"),
        ("firewall_revision{}", "1"),
    ] {
        assert_eq!(
            metrics.samples.get(sample).map(String::as_str),
            Some(expected),
            "{sample}"
        );
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let endpoint = Endpoint::new(&Host::new());
    assert_eq!(endpoint.get("/healthz", "*/*").await.body, "ok\n");
    assert_eq!(endpoint.get("/metric", "*/*").await.status, 404);
    let post = endpoint
        .send("POST /metrics HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(post.status, 405);
    let garbage = endpoint.send("\x16\x03\x01 garbage\r\n\r\n").await;
    assert_eq!(garbage.status, 400);
    let head = endpoint
        .send(&format!(
            "GET / HTTP/1.1\r\nHost: {}\r\n\r\n",
            "x".repeat(100_000)
        ))
        .await;
    assert!(matches!(head.status, 0 | 431), "{}", head.status);
    assert_eq!(
        endpoint.get("/healthz", "*/*").await.status,
        200,
        "and nobody else has suffered"
    );
}

/// The agent starts before the network does.
#[tokio::test]
async fn an_address_that_the_host_does_not_have_yet_is_listened_on() {
    let host = Host::new();
    let agent = Arc::new(host.start());
    for address in ["192.0.2.77:0", "[2001:db8::77]:0"] {
        let address = address.parse().expect("an address");
        let server = MetricsServer::bind(address, agent.clone()).expect("it is no matter of addresses");
        assert_eq!(server.local_address().expect("it listens").ip(), address.ip());
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it listens");
    assert!(MetricsServer::bind(address, agent.clone()).is_err());
}
