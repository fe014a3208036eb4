//! A host with a container behind it, the way that Docker sets it up: a bridge-side interface, a published port by
//! address translation in, and the host's own address out.

use std::{io::Write, net::TcpListener, process::Stdio};

use firewall_tests::netns::NetNs;

use crate::site::{STRANGER, Site, WEB, connect_from, exchange};

const TRANSLATION: &str = "
table ip nat {
  chain in { type nat hook prerouting priority dstnat; iifname \"eth0\" tcp dport 8080 dnat to 172.17.0.2:80; }
  chain out { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 oifname \"eth0\" masquerade; }
}
";

/// The container's namespace, behind `docker0` of the site's server.
fn with_container(site: &Site) -> NetNs {
    let container = NetNs::new("op-container").expect("root may make namespaces");
    site.server
        .join("docker0", &container, "eth0")
        .expect("they are joined");
    site.server
        .address("docker0", "172.17.0.1/16")
        .expect("it is given");
    container.address("eth0", "172.17.0.2/16").expect("it is given");
    container
        .ip("route add default via 172.17.0.1")
        .expect("it is added");
    site.server.sysctl("net/ipv4/ip_forward", "1").expect("root may");
    let mut nft = site
        .server
        .command("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nftables is there: apt-get install nftables, or cargo xtask setup");
    let mut rules = nft.stdin.take().expect("piped");
    rules.write_all(TRANSLATION.as_bytes()).expect("it reads");
    drop(rules);
    assert!(nft.wait().expect("it ends").success());
    container
}

fn listen(namespace: &NetNs, port: u16) -> TcpListener {
    namespace
        .run(|| TcpListener::bind(("0.0.0.0", port)))
        .expect("a free port")
}

#[test]
fn a_published_port_is_filtered_by_the_port_that_is_published() {
    let mut site = Site::new();
    let container = with_container(&site);
    let inside = listen(&container, 80);
    assert!(
        site.connect(STRANGER, 8080).is_some(),
        "it works without a firewall"
    );
    site.start();
    let before = site.packets("(default in)");
    assert!(site.connect(STRANGER, 8080).is_none());
    assert!(site.packets("(default in)") > before);
    // The port inside is no way to say it.
    site.said("rule add inside --allow tcp/81 --from any");
    assert!(site.connect(STRANGER, 8080).is_none());
    site.said("rule add published --allow tcp/8080 --from any");
    while inside.set_nonblocking(true).is_ok() && inside.accept().is_ok() {}
    inside.set_nonblocking(false).expect("it can block");
    let mut client = site.connect(STRANGER, 8080).expect("the rule lets it in");
    let (mut server, _) = inside.accept().expect("it has come");
    assert!(exchange(&mut client, &mut server));
    assert!(site.packets("published") > 0);

    // Out, it is the host that speaks.
    let outside = listen(&site.peer, 9000);
    let out = || {
        let (from, to) = ("172.17.0.2:0", "10.77.2.1:9000");
        container.run(|| connect_from(from.parse().expect("one"), to.parse().expect("one")))
    };
    assert!(out().is_none(), "the outgoing default rejects");
    site.said("rule add fetch --allow tcp/9000 --to any");
    let mut client = out().expect("the rule lets it out");
    let (mut server, from) = outside.accept().expect("it has come");
    assert_eq!(from.ip().to_string(), "10.77.2.10");
    assert!(exchange(&mut client, &mut server));
    assert!(site.packets("fetch") > 0);
}

#[test]
fn containers_that_are_reached_by_their_own_addresses_are_behind_forward_rules() {
    let site = Site::started();
    let container = with_container(&site);
    let _inside = listen(&container, 80);
    site.peer
        .ip("route add 172.17.0.0/16 via 10.77.2.10")
        .expect("it is added");
    let inwards = || {
        let (from, to) = ("10.77.2.1:0", "172.17.0.2:80");
        site.peer
            .run(|| connect_from(from.parse().expect("one"), to.parse().expect("one")))
    };
    // Nothing is declared: it is judged as if it were for this host, whose site is open.
    assert!(inwards().is_some());
    let forwarded = format!("{WEB}\n[forwarded]\nnetworks = [\"172.17.0.0/16\"]\n");
    site.write("web.toml", &forwarded);
    site.said("reload");
    let before = site.packets("(default forward)");
    assert!(inwards().is_none());
    assert!(site.packets("(default forward)") > before);
    site.said("rule add through --allow tcp/80 --forward --from any --to 172.17.0.0/16");
    assert!(inwards().is_some());
    assert!(site.packets("through") > 0);

    // The bridge side as well: every packet there is forwarded, and opens a flow of its own.
    let both = site.read("web.toml").replace(
        "networks = [\"172.17.0.0/16\"]",
        "networks = [\"172.17.0.0/16\"]\ninterfaces = [\"docker*\"]",
    );
    site.write("web.toml", &both);
    site.write(
        "base.toml",
        &site
            .read("base.toml")
            .replace("[\"eth*\"]", "[\"eth*\", \"docker*\"]"),
    );
    site.said("reload");
    assert!(site.is_attached("docker0"));
    assert!(inwards().is_some(), "the rule holds on both interfaces");
    site.said("rule delete through");
    assert!(inwards().is_none());
}
