//! A candidate beside the policy in force, on what the kernel side shows of traffic.

use std::{
    net::IpAddr,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use bytemuck::Zeroable;
use firewall_agent::{
    control::protocol::{FailureKind, NewFile, Shadow, ShadowReport},
    daemon::Agent,
    dataplane::{CapturedFrame, FlowTable},
    engine::Segment,
};
use firewall_common::{
    address::Address,
    capture::{CapturedHead, Cause, Viewer},
    flow::{FlowKey, State},
    reason::Reason,
    verdict::{NO_RULE, Verdict},
};

use crate::host::{Host, operator, refused};

const MORE: &str = "\n[[rule]]\nname = \"more\"\nallow = [\"tcp/9090\", \"icmp/13\"]\nfrom = \"any\"\n";

fn request(host: &Host, more: &str) -> Shadow {
    Shadow {
        files: vec![NewFile {
            path: "web.toml".into(),
            text: format!("{}{more}", host.read("web.toml")),
        }],
        seconds: 1,
        every: 1,
        per_second: 1000,
    }
}

/// A run, and what happens meanwhile.
fn shadow(host: &Host, agent: &Agent, request: &Shadow, meanwhile: impl FnOnce() + Send) -> ShadowReport {
    scope(|scope| {
        scope.spawn(move || {
            let begun = Instant::now();
            while !host.kernel.is_capturing(Viewer::Shadow) {
                assert!(begun.elapsed() < Duration::from_secs(10), "it does not begin");
                sleep(Duration::from_millis(10));
            }
            meanwhile();
        });
        agent.shadow(&operator(), request).expect("it is right")
    })
}

/// A frame that comes in from a stranger and is dropped for a reason.
fn frame(protocol: u8, port: u16, reason: Reason) -> CapturedFrame {
    let segment = Segment {
        source: IpAddr::from([198, 51, 100, 9]),
        destination: IpAddr::from([10, 77, 2, 10]),
        protocol,
        source_port: 4711,
        destination_port: port,
    };
    let mut bytes = segment.opening();
    if protocol == 1 {
        // An echo request becomes a timestamp request.
        bytes[34] = 13;
    }
    let rule = if reason == Reason::Default { 0 } else { NO_RULE };
    CapturedFrame {
        head: CapturedHead {
            interface: 2,
            length: u32::try_from(bytes.len()).expect("it is short"),
            captured: u16::try_from(bytes.len()).expect("it is short"),
            cause: Cause {
                rule,
                reason: reason as u8,
                verdict: Verdict::Drop as u8,
            },
            ..CapturedHead::zeroed()
        },
        bytes,
    }
}

#[test]
fn dropped_packets_are_asked_about_by_what_they_are_whether_logged_or_not() {
    let host = Host::new();
    let agent = host.start();
    let report = shadow(&host, &agent, &request(&host, MORE), || {
        for _ in 0..3 {
            assert!(host.kernel.drop_packet(&frame(6, 9090, Reason::Default)));
        }
        for (protocol, port) in [(6, 9091), (1, 0), (47, 0)] {
            assert!(host.kernel.drop_packet(&frame(protocol, port, Reason::Default)));
        }
        assert!(
            !host.kernel.drop_packet(&frame(6, 9090, Reason::TcpNoState)),
            "no policy decides about it"
        );
    });
    assert!(report.clean && report.kept_out.is_empty(), "{report:?}");
    assert_eq!(report.dropped, 4, "alike are one: {report:?}");
    assert_eq!((report.drops.decided, report.drops.sampled), (6, 6));
    let let_in: Vec<_> = report.let_in.iter().map(|group| &*group.service).collect();
    assert_eq!(let_in, ["in icmp 13/0", "in tcp 9090"]);
    let [default, more] = report.rules.as_slice() else {
        panic!("{report:?}")
    };
    assert_eq!((&*default.decider, default.connections), ("default in", 2));
    assert_eq!((default.newly_let_in, &default.origin), (0, &None));
    assert_eq!(more.rule.as_deref(), Some("more"));
    assert_eq!(more.origin.as_deref(), Some("web.toml:8"), "{more:?}");
    assert_eq!((more.newly_let_in, more.packets_let_in), (2, 4));
    assert!(!host.kernel.is_capturing(Viewer::Shadow), "it has ended");
}

/// A visit of the site, which lies in the tables.
fn visit(host: &Host, port: u16, state: State) {
    let key = FlowKey {
        remote: Address::from_ip("198.51.100.9".parse().expect("an address")).1,
        local: Address::from_ip("10.77.2.10".parse().expect("an address")).1,
        remote_port: port,
        local_port: 443,
        protocol: 6,
        family: 4,
        reserved: 0,
    };
    let _ = host.kernel.insert_flow(FlowTable::Assured, key, state, 3);
}

#[test]
fn a_flow_that_opens_and_ends_within_the_run_is_asked_about_and_one_from_before_is_not() {
    let host = Host::new();
    let agent = host.start();
    visit(&host, 1, State::Reset);
    host.kernel.advance(Duration::from_mins(2));
    let mut wanted = request(&host, "");
    let site = &mut wanted.files[0].text;
    *site = site.replace("from = \"any\"", "from = \"203.0.113.0/24\"");
    let report = shadow(&host, &agent, &wanted, || {
        visit(&host, 2, State::Reset);
        // It idles out between two looks.
        host.kernel.advance(Duration::from_mins(2));
    });
    assert_eq!((report.passed, report.opened.seen), (1, 1), "{report:?}");
    assert!(!report.clean, "{report:?}");
    assert_eq!(
        report.kept_out[0].samples,
        ["tcp 198.51.100.9:2 to 10.77.2.10:443"]
    );
    let report = shadow(&host, &agent, &wanted, || {});
    assert_eq!((report.passed, report.opened.seen), (0, 0), "{report:?}");
}

#[test]
fn a_run_that_cannot_be_is_refused() {
    let host = Host::new();
    let agent = host.start();
    let right = request(&host, "");
    for wrong in [
        Shadow {
            seconds: 0,
            ..right.clone()
        },
        Shadow {
            seconds: 3601,
            ..right.clone()
        },
        Shadow {
            every: 0,
            ..right.clone()
        },
        Shadow {
            per_second: 0,
            ..right.clone()
        },
        Shadow {
            per_second: 10_001,
            ..right
        },
    ] {
        let failure = refused(agent.shadow(&operator(), &wrong));
        assert_eq!(failure.kind, FailureKind::BadRequest, "{wrong:?}");
    }
    assert!(!host.kernel.is_capturing(Viewer::Shadow));
}
