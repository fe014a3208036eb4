//! The harness does what the suites rely on.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    time::Duration,
};

use firewall_tests::{
    bpffs::Bpffs,
    netns::{NetNs, output},
    wait::wait_until,
};

#[test]
fn namespaces_are_joined_and_gone_afterwards() {
    let one = NetNs::new("fw-harness").unwrap();
    let two = NetNs::new("fw-harness").unwrap();
    one.join("eth0", &two, "eth1").unwrap();
    for (namespace, interface, addresses) in [
        (&one, "eth0", ["192.0.2.1/24", "2001:db8::1/64"]),
        (&two, "eth1", ["192.0.2.2/24", "2001:db8::2/64"]),
    ] {
        for address in addresses {
            namespace.address(interface, address).unwrap();
        }
    }
    for address in ["192.0.2.2:4242", "[2001:db8::2]:4242"] {
        let listener = two.run(|| TcpListener::bind(address)).unwrap();
        assert!(one.run(|| TcpStream::connect(address)).is_ok());
        drop(listener);
        assert!(one.run(|| TcpStream::connect(address)).is_err());
    }
    let links = output(one.command("ip").args(["-br", "link"])).unwrap();
    assert!(links.contains("eth0@"), "{links}");
    let name = one.name().to_owned();
    drop(one);
    assert!(!fs::exists(format!("/run/netns/{name}")).unwrap());
    // The kernel takes a namespace apart in the background.
    let gone = || two.ip("link show eth1").is_err();
    assert!(
        wait_until(Duration::from_secs(10), gone),
        "the pair goes together"
    );
}

#[test]
fn settings_are_the_namespaces_own() {
    let namespace = NetNs::new("fw-harness").unwrap();
    let path = "net/ipv4/ip_forward";
    let outside = fs::read(format!("/proc/sys/{path}")).unwrap();
    let other = if outside == b"0\n" { "1" } else { "0" };
    namespace.sysctl(path, other).unwrap();
    assert_eq!(fs::read(format!("/proc/sys/{path}")).unwrap(), outside);
    let inside = namespace
        .run(|| fs::read_to_string(format!("/proc/sys/{path}")))
        .unwrap();
    assert_eq!(inside.trim(), other);
}

#[test]
fn a_file_system_of_ones_own_is_gone_afterwards() {
    let bpffs = Bpffs::mount().unwrap();
    let path = bpffs.path().to_owned();
    fs::create_dir(path.join("agent")).unwrap();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(mounts.contains(path.to_str().unwrap()));
    drop(bpffs);
    assert!(!path.exists());
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(path.to_str().unwrap()));
}
