//! What a boot puts in force.

use std::fs;

use nix::sys::signal::Signal;

use crate::site::{MANAGER, STRANGER, Site, WEB};

const MORE: &str = "\n[[rule]]\nname = \"more\"\nallow = \"tcp/8080\"\nfrom = \"any\"\n";

#[test]
fn a_boot_enforces_the_last_revision_then_the_files_then_the_failsafe() {
    let mut site = Site::started();
    let (_ssh, _site, _more) = (site.listen(22), site.listen(443), site.listen(8080));
    site.reboot();
    site.write("web.toml", &format!("{WEB}{MORE}"));
    site.start();
    let status = site.json("status");
    assert_eq!(status["pending"], true);
    assert_eq!(status["revision"]["number"], 1);
    assert!(site.connect(STRANGER, 443).is_some() && site.connect(STRANGER, 8080).is_none());
    assert!(
        site.said("status").contains("web.toml changed"),
        "{}",
        site.said("status")
    );
    site.said("reload");
    assert!(site.connect(STRANGER, 8080).is_some());

    // A damaged revision is named, and the one before it enforced.
    site.reboot();
    let manifest = site.path("state/revisions/2/manifest.json");
    fs::write(&manifest, "{").expect("ours");
    site.start();
    assert_eq!(site.json("status")["revision"]["number"], 1);
    assert!(
        site.said("status").contains("revisions/2/manifest.json"),
        "{}",
        site.said("status")
    );

    // No revision: the files.
    site.reboot();
    fs::remove_dir_all(site.path("state")).expect("ours");
    site.start();
    assert!(site.connect(STRANGER, 8080).is_some());

    // Neither: the failsafe, and nothing else.
    site.reboot();
    fs::remove_dir_all(site.path("state")).expect("ours");
    site.write("web.toml", "layer = \"role web\"\nnonsense = true\n");
    site.start();
    assert_eq!(site.json("status")["enforcing"], "failsafe-only");
    assert!(
        site.connect(MANAGER, 22).is_some(),
        "who manages the host gets in"
    );
    for (from, port) in [(STRANGER, 22), (STRANGER, 443), (MANAGER, 443)] {
        assert!(site.connect(from, port).is_none(), "{from} to {port}");
    }
    site.write("web.toml", WEB);
    site.said("reload");
    assert!(site.connect(STRANGER, 443).is_some());
    site.end(Signal::SIGTERM);
}
