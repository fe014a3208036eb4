//! A candidate beside the policy in force.

use std::{
    net::UdpSocket,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use firewall_tests::wait::wait_until;
use nix::sys::socket::{setsockopt, sockopt};
use serde_json::Value;

use crate::site::{SERVER, STRANGER, Site, WEB, fits_schema};

/// A policy that drops a service without a word in the log, and one that lets it in.
const SILENT: &str = "\n[[rule]]\nname = \"no-telnet\"\ndrop = \"tcp/23\"\nfrom = \"any\"\n";
const OPEN: &str = "\n[[rule]]\nname = \"telnet\"\nallow = [\"tcp/23\", \"udp/7\"]\nfrom = \"any\"\n";

/// How long a run takes until it is on.
const START: Duration = Duration::from_secs(10);

#[test]
fn a_shadow_run_tells_what_would_be_let_in_and_kept_out_and_changes_nothing() {
    let site = Site::started();
    let (_site, _more) = (site.listen(443), site.listen(8080));
    let generation = site.json("status")["generation"].clone();
    let candidate = site.path("web.toml");
    let other = WEB.replace("[\"http\", \"https\"]", "\"tcp/8080\"");
    std::fs::write(&candidate, other).expect("ours");
    let words = format!("shadow {} --for 5s --json", candidate.display());
    let ended = std::thread::scope(|scope| {
        let shadow = scope.spawn(|| site.fwctl(&words));
        sleep(Duration::from_secs(1));
        let _kept = site.connect(STRANGER, 443).expect("the policy in force decides");
        assert!(
            site.connect(STRANGER, 8080).is_none(),
            "the policy in force decides"
        );
        shadow.join().expect("it ends")
    });
    assert_eq!(ended.code, Some(1), "it is not clean: {ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let is = |groups: &Value, service: &str| {
        let groups = groups.as_array().expect("groups");
        groups.iter().any(|group| group["service"] == service)
    };
    assert!(is(&report["kept_out"], "in tcp 443"), "{report:#}");
    assert!(is(&report["let_in"], "in tcp 8080"), "{report:#}");
    assert!(!is(&report["kept_out"], "in tcp 8080") && !is(&report["let_in"], "in tcp 443"));
    let rules = report["rules"].as_array().expect("rules");
    let site_rule = rules
        .iter()
        .find(|rule| rule["decider"] == "rule site (web.toml:4)");
    assert_eq!(site_rule.expect("it decides")["newly_let_in"], 1, "{report:#}");

    assert_eq!(site.json("status")["generation"], generation);
    assert!(site.connect(STRANGER, 8080).is_none() && site.read("web.toml") == WEB);
    let planned = site.said(&format!("plan {}", candidate.display()));
    assert!(
        planned.contains("refused lately, and would pass") && planned.contains("in tcp 8080"),
        "{planned}"
    );
    let words = format!("apply --require-shadow --no-confirm {}", candidate.display());
    let refused = site.fwctl(&words);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("was not clean"), "{refused:?}");
    // What is in force is clean beside itself.
    let _kept = site.connect(STRANGER, 443).expect("it is let in");
    site.said("shadow --for 1s");
    assert_eq!(site.fwctl("shadow --for 2h").code, Some(1), "that is too long");
}

/// A shadow run under way; ended where a test fails.
struct Running(Option<Child>);

impl Running {
    /// Waits until it is on.
    fn start(site: &Site, words: &str) -> Self {
        let mut command = site.command(&format!("shadow {words} --json"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let running = Self(Some(command.spawn().expect("it runs")));
        assert!(wait_until(START, || is_on(site)), "it does not begin");
        // From when it is announced the kernel side is told.
        sleep(Duration::from_millis(300));
        running
    }

    fn report(mut self) -> Value {
        let child = self.0.take().expect("running");
        let output = child.wait_with_output().expect("it ends");
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        fits_schema("shadow", &report);
        report
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn is_on(site: &Site) -> bool {
    let status = site.json("status");
    let watches = status["watches"].as_array().cloned().unwrap_or_default();
    watches.iter().any(|watch| watch["kind"] == "shadow")
}

#[test]
fn what_is_dropped_without_a_log_is_asked_about_beside_a_capture_and_there_is_one_run_at_a_time() {
    let site = Site::started();
    let _site = site.listen(443);
    site.write("web.toml", &format!("{WEB}{SILENT}"));
    site.said("reload");
    let candidate = site.path("web.toml");
    std::fs::write(&candidate, format!("{WEB}{OPEN}")).expect("ours");
    let candidate = candidate.display();

    let running = Running::start(&site, &format!("{candidate} --for 4s"));
    let second = site.fwctl(&format!("shadow {candidate} --for 1s"));
    assert_eq!(second.code, Some(1), "one at a time: {second:?}");
    assert!(
        second.stderr.contains("root has a shadow run under way") && second.stderr.contains("try again in"),
        "{second:?}"
    );
    let file = site.path("beside.pcapng");
    let words = format!("capture --rule no-telnet --for 2s --json -o {}", file.display());
    let captured = std::thread::scope(|scope| {
        let capture = scope.spawn(|| site.json_of(&words));
        sleep(Duration::from_millis(500));
        assert!(site.connect(STRANGER, 23).is_none());
        // It opens and ends within the run.
        let brief = site.connect(STRANGER, 443).expect("the site is open");
        setsockopt(
            &brief,
            sockopt::Linger,
            &libc::linger {
                l_onoff: 1,
                l_linger: 0,
            },
        )
        .expect("it is set");
        drop(brief);
        capture.join().expect("it ends")
    });
    assert!(captured["packets"].as_u64() > Some(0), "{captured}");
    let report = running.report();
    let (rules, drops) = (report["rules"].as_array().expect("rules"), &report["drops"]);
    let telnet = rules.iter().find(|rule| rule["rule"] == "telnet");
    let telnet = telnet.unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(telnet["origin"], "web.toml:9", "{report:#}");
    assert_eq!(telnet["newly_let_in"], 1, "{report:#}");
    assert_eq!(telnet["packets_let_in"], captured["packets"], "{report:#}");
    assert_eq!(
        report["let_in"][0]["now"], "rule no-telnet (web.toml:9)",
        "{report:#}"
    );
    assert_eq!(
        drops["sampled"], drops["decided"],
        "all were looked at: {report:#}"
    );
    assert!(
        report["passed"].as_u64() >= Some(1) && report["clean"] == true,
        "{report:#}"
    );
    assert!(report["opened"]["seen"].as_u64() >= Some(1), "{report:#}");
    let logged = site.said("events -n 1000 --rule no-telnet");
    assert_eq!(logged, "", "nothing of it was logged");
}

#[test]
fn a_flood_is_sampled_and_what_was_not_looked_at_is_counted() {
    const PACKETS: u64 = 1000;
    let site = Site::started();
    let candidate = site.path("web.toml");
    std::fs::write(&candidate, format!("{WEB}{OPEN}")).expect("ours");
    let flood = |words: &str| {
        let running = Running::start(&site, &format!("{} --for 2s {words}", candidate.display()));
        site.peer.run(|| {
            let socket = UdpSocket::bind((STRANGER, 4711)).expect("an address of the peer");
            for _ in 0..PACKETS {
                let _ = socket.send_to(b"echo", (SERVER, 7));
            }
        });
        running.report()
    };
    let of = |report: &Value, what: &str| report["drops"][what].as_u64().expect("a number");
    for (words, why) in [("--rate 10", "limited"), ("--every 100", "skipped")] {
        let report = flood(words);
        let [sampled, left_out, decided] = ["sampled", why, "decided"].map(|what| of(&report, what));
        assert!((1..=40).contains(&sampled), "{words}: {report:#}");
        assert!(decided >= PACKETS, "{words}: {report:#}");
        assert_eq!(
            sampled + left_out + of(&report, "lost"),
            decided,
            "{words}: {report:#}"
        );
        assert!(of(&report, "counted") >= decided, "{words}: {report:#}");
        assert_eq!(report["let_in"][0]["service"], "in udp 7", "{words}: {report:#}");
        let rule = report["rules"]
            .as_array()
            .and_then(|rules| rules.iter().find(|rule| rule["rule"] == "telnet").cloned());
        let rule = rule.expect("it would let it in");
        assert_eq!(rule["newly_let_in"], 1, "one sender: {report:#}");
        assert_eq!(rule["packets_let_in"].as_u64(), Some(sampled), "{report:#}");
    }

    // Whoever goes away makes room for others at once, and leaves nothing behind.
    let abandoned = Running::start(&site, "--for 1h");
    drop(abandoned);
    let free = wait_until(Duration::from_secs(3), || !is_on(&site));
    assert!(free, "it goes on without anybody");
    site.said("shadow --for 1s");
}
