//! Prometheus sees everything through the firewalls: all targets, and the company's figures.

use std::{cell::RefCell, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;

use super::report::{Decision, Report, Row};
use crate::{
    lab::{
        Lab, daemon,
        network::{CLIENT, Host, LB, MONITOR, SERVERS},
        probe::Probe,
        web_client::Client,
    },
    process,
};

/// Agents and node exporters of three servers, and HAProxy's exporter, over both IP versions.
const TARGETS: usize = 14;
/// How long figures may take until they show what has just happened: a few scrapes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Web requests a second, as HAProxy has counted them.
const REQUESTS: &str = r#"sum(rate(haproxy_frontend_http_requests_total{proxy="shop"}[10s]))"#;
/// A port that no policy opens.
const TELNET: u16 = 23;

/// Packets dropped or rejected a second on one server, as its agent has counted them by rule; defaults are among the
/// rules.
fn drops(host: Host) -> String {
    let instance = format!("{}:9464", host.v4);
    format!("sum(rate(firewall_rule_packets_total{{action!=\"allow\",instance=\"{instance}\"}}[10s]))")
}

/// Makes some traffic, and asks for it.
pub(crate) fn rows(lab: &Lab, report: &mut Report) {
    report.add(targets());
    let customer = Client {
        from: CLIENT,
        authority: lab.authority.certificate(),
    };
    report.add(until_positive(
        "Prometheus is asked for web requests a second (HAProxy's exporter)",
        REQUESTS,
        || customer.get("https", LB.v4.into(), "/").map(drop),
    ));
    for host in SERVERS {
        let tried = format!(
            "Prometheus is asked for packets dropped a second on {}",
            host.name
        );
        report.add(until_positive(&tried, &drops(host), || {
            Probe::Tcp(TELNET).send(CLIENT, host.v4.into()).map(drop)
        }));
    }
}

/// All that is to be scraped, and whether it could be.
fn targets() -> Row {
    let down = RefCell::new(Vec::new());
    let found = RefCell::new(0);
    let settled = daemon::wait_for("Prometheus to reach all targets", PATIENCE, || {
        let answer = ask("/api/v1/targets", None)?;
        let targets = answer["data"]["activeTargets"]
            .as_array()
            .context("Prometheus named no targets")?;
        *found.borrow_mut() = targets.len();
        *down.borrow_mut() = targets
            .iter()
            .filter(|target| target["health"] != "up")
            .map(|target| format!("{}: {}", target["scrapeUrl"], target["lastError"]))
            .collect();
        Ok(targets.len() == TARGETS && down.borrow().is_empty())
    });
    let seen = match settled {
        Ok(()) => format!("{TARGETS} of {TARGETS} up"),
        Err(error) => format!(
            "{error:#}; of {} down: {}",
            found.borrow(),
            down.borrow().join(", ")
        ),
    };
    Row::new(
        "Prometheus scrapes agents, node exporters and HAProxy through the firewalls",
        format!("{TARGETS} of {TARGETS} up"),
        seen,
    )
}

/// Makes traffic until the query says that there is some.
fn until_positive(tried: &str, query: &str, mut traffic: impl FnMut() -> Result<()>) -> Row {
    let mut found = 0.0;
    let outcome = daemon::wait_for(query, PATIENCE, || {
        traffic()?;
        found = value(query)?;
        Ok(found > 0.0)
    });
    let seen = match outcome {
        Ok(()) => "more than 0".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    Row::new(tried, "more than 0", seen).decided(Decision::noted(format!("{found:.2} a second")))
}

/// The one number that a query asks for; 0 as long as there is nothing to make it from.
fn value(query: &str) -> Result<f64> {
    let answer = ask("/api/v1/query", Some(query))?;
    let sample = &answer["data"]["result"][0]["value"][1];
    match sample.as_str() {
        Some(number) => number.parse().with_context(|| format!("{number} is no number")),
        None => Ok(0.0),
    }
}

fn ask(path: &str, query: Option<&str>) -> Result<Value> {
    let mut curl = MONITOR.namespace().command("curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "10", "--get"]);
    if let Some(query) = query {
        curl.args(["--data-urlencode", &format!("query={query}")]);
    }
    let text = process::output(curl.arg(format!("http://127.0.0.1:9090{path}")))?;
    serde_json::from_str(&text).context("reading Prometheus' answer")
}
