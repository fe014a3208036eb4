//! The policies in `rules/` are right for every host of the inventory.

use std::path::PathBuf;

use firewall_agent::{
    compile::{CompiledImage, compile},
    diagnostic::{SourceSet, Style, render_text},
    policy::{Options, Target, check, load, model::Failsafe, read_sources},
};

fn rules() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../rules")
}

#[test]
fn nothing_is_found() {
    let checked = check(read_sources(&[rules()]), &Options::default());
    let found: Vec<_> = checked
        .diagnostics
        .iter()
        .map(|one| render_text(one, &checked.sources, Style::Plain))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    let hosts: Vec<_> = checked
        .policies
        .iter()
        .filter_map(|policy| policy.host.as_deref())
        .collect();
    assert_eq!(
        hosts,
        ["db-1", "db-2", "dns-1", "lb-1", "lb-2", "monitor-1", "web-1"]
    );
}

#[test]
fn each_role_loads_for_its_host() {
    for (host, role) in [
        ("lb-1", "lb"),
        ("web-1", "web"),
        ("db-1", "db"),
        ("dns-1", "dns"),
        ("monitor-1", "monitoring"),
    ] {
        let target = Target {
            role: None,
            host: Some(host.into()),
        };
        let loaded =
            load(&[rules()], &target, &Failsafe::default(), None).expect("the shipped policy is valid");
        assert_eq!(&*loaded.policy.role, role);
        assert!(
            loaded.policy.rules.iter().any(|rule| &*rule.name == "ssh"),
            "{host}"
        );
    }
}

#[test]
fn an_unknown_host_does_not_load() {
    let target = Target {
        role: None,
        host: Some("web-9".into()),
    };
    assert!(load(&[rules()], &target, &Failsafe::default(), None).is_err());
}

/// Maps of the standard library are in another order each time that they are made.
#[test]
fn the_same_files_give_the_same_bytes_whatever_their_order() {
    let forwards = read_sources(&[rules()]);
    let mut files: Vec<_> = forwards.iter().map(|(_, file)| file.clone()).collect();
    files.reverse();
    let images = |sources: SourceSet| -> Vec<CompiledImage> {
        let checked = check(sources, &Options::default());
        let policies = checked.policies.iter();
        policies
            .map(|policy| compile(policy).expect("it compiles"))
            .collect()
    };
    let (first, second) = (images(forwards.clone()), images(forwards));
    let third = images(files.into_iter().collect());
    assert_eq!(first.len(), 7);
    for ((first, second), third) in first.iter().zip(&second).zip(&third) {
        for other in [second, third] {
            assert!(first.blocks() == other.blocks());
            assert_eq!(first.hash(), other.hash());
        }
    }
    let hashes: std::collections::BTreeSet<_> = first.iter().map(|image| image.hash().to_string()).collect();
    assert_eq!(hashes.len(), 7, "each host has a policy of its own");
}
