//! Interfaces that come and go.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use firewall_agent::control::{
    client::Client,
    protocol::{Request, Response},
};
use firewall_tests::wait::wait_until;

use crate::site::Site;

/// The bound, from the moment that the interface is there.
const BOUND: Duration = Duration::from_millis(100);

fn filtered(socket: &Path) -> Vec<String> {
    let mut client = Client::connect(socket).expect("the agent is there");
    match client.ask(Request::Status {}) {
        Ok(Response::Status(status)) => status.interfaces.into_iter().map(|one| one.name).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn s68_an_interface_that_appears_is_filtered_within_100_ms() {
    let site = Site::started();
    let socket = site.socket.clone();
    let mut times = Vec::new();
    for number in 1..=5 {
        let name = format!("eth{number}");
        site.server
            .ip(&format!(
                "link add {name} type veth peer name {name} netns {}",
                site.peer.name()
            ))
            .expect("it is made");
        let start = Instant::now();
        assert!(
            wait_until(Duration::from_secs(5), || filtered(&socket).contains(&name)),
            "{name} is never filtered"
        );
        times.push(start.elapsed());
        assert!(site.is_attached(&name));
    }
    times.sort_unstable();
    println!("filtered after {times:?}");
    // The median, since a machine that does much else may be late at times.
    assert!(times[2] < BOUND, "{times:?}");
    site.server
        .ip("link add other0 type veth peer name other1")
        .expect("it is made");
    site.server.ip("link delete eth5").expect("it is there");
    assert!(wait_until(Duration::from_secs(5), || filtered(&socket).len() == 5));
    assert!(
        !site.is_attached("other0"),
        "a name that the policy does not name"
    );
    assert!(site.log().contains("an interface is gone"));
}
