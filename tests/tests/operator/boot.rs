//! What a boot puts in force.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use firewall_tests::netns::output;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::Signal,
};

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

/// A file system of its own in the place of the state directory, which goes when the value is dropped.
struct Disk(PathBuf);

impl Disk {
    fn over(directory: PathBuf) -> Self {
        let files = output(
            Command::new("tar")
                .arg("-C")
                .arg(&directory)
                .args(["-c", "-f", "-", "."]),
        );
        let files = files.expect("it is read");
        mount(
            Some("tmpfs"),
            &directory,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=256k"),
        )
        .expect("root may mount");
        let mut unpack = Command::new("tar")
            .arg("-C")
            .arg(&directory)
            .args(["-x", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("tar is there");
        let mut input = unpack.stdin.take().expect("piped");
        input.write_all(files.as_bytes()).expect("it reads");
        drop(input);
        assert!(unpack.wait().expect("it ends").success());
        Self(directory)
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("full")).expect("there is room yet");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_read_only(&self) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>).expect("root may");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_or_read_only_disk_keeps_no_revision_from_being_enforced() {
    let mut site = Site::started();
    let (_site, _more) = (site.listen(443), site.listen(8080));
    site.said("rule add more --allow tcp/8080 --from any");
    site.reboot();
    let disk = Disk::over(site.path("state"));
    for what in ["full", "read-only"] {
        match what {
            "full" => disk.fill(),
            _ => disk.make_read_only(),
        }
        site.start();
        let status = site.json("status");
        assert_eq!(status["enforcing"], "policy", "{what}: {status}");
        assert_eq!(status["revision"]["number"], 2, "{what}: {status}");
        assert!(
            site.connect(STRANGER, 443).is_some() && site.connect(STRANGER, 8080).is_some(),
            "{what}"
        );
        // Nothing can be changed that could not be kept, and the file stays as it was.
        let before = site.read("web.toml");
        let refused = site.fwctl("rule delete more");
        assert_eq!(refused.code, Some(1), "{what}: {refused:?}");
        assert!(refused.stderr.contains("hint:"), "{what}: {refused:?}");
        assert_eq!(site.read("web.toml"), before, "{what}");
        let refused = site.fwctl(&format!("ban {STRANGER}"));
        assert_eq!(refused.code, Some(1), "{what}: {refused:?}");
        assert!(site.connect(STRANGER, 8080).is_some(), "{what}");
        site.reboot();
    }
}

#[test]
fn policy_files_that_cannot_be_written_stay_in_force_as_they_are() {
    let site = Site::started();
    let _listener = site.listen(8080);
    let disk = Disk::over(site.path("policy"));
    for what in ["full", "read-only"] {
        match what {
            "full" => disk.fill(),
            _ => disk.make_read_only(),
        }
        let before = site.json("status")["generation"].clone();
        for edit in [
            "rule add debug --allow tcp/8080 --from any",
            "rule disable site",
            "rule move metrics first",
        ] {
            let refused = site.fwctl(edit);
            assert_eq!(refused.code, Some(1), "{what}: {refused:?}");
            assert!(
                refused.stderr.contains(".toml") && refused.stderr.contains("hint:"),
                "{what}: {refused:?}"
            );
        }
        assert_eq!(site.json("status")["generation"], before, "{what}");
        assert_eq!(site.read("web.toml"), WEB, "{what}");
        assert!(site.connect(STRANGER, 8080).is_none(), "{what}");
    }
}

#[test]
fn broken_settings_keep_no_agent_from_starting_that_has_started_with_others() {
    let mut site = Site::new();
    let good = fs::read_to_string(&site.settings).expect("ours");
    let broken = good.replace("host = ", "hots = ");
    fs::write(&site.settings, &broken).expect("ours");
    let refused = site.try_to_run();
    assert_eq!(refused.code, Some(2), "nothing stands in for them: {refused:?}");
    let place = "agent.toml:2:1: unknown field `hots`";
    assert!(refused.stderr.contains(place), "{refused:?}");
    assert!(!site.is_attached("eth0"));

    fs::write(&site.settings, &good).expect("ours");
    site.start();
    let _listener = site.listen(443);
    assert_eq!(site.json("status")["settings"]["state"], "in-use");
    site.reboot();
    fs::write(&site.settings, &broken).expect("ours");
    site.start();
    assert!(site.connect(STRANGER, 443).is_some() && site.connect(STRANGER, 22).is_none());
    assert!(site.log().contains(place), "{}", site.log());
    let settings = &site.json("status")["settings"];
    assert_eq!(settings["state"], "broken", "{settings}");
    assert!(site.said("status").contains(place), "{}", site.said("status"));
    let doctor = site.fwctl("doctor").stdout;
    assert!(
        doctor.contains("the settings on disk cannot be used") && doctor.contains("check-settings"),
        "{doctor}"
    );
    let metric = "firewall_settings{state=\"broken\"}";
    assert!(site.page("/metrics").contains(&format!("{metric} 1")));

    // Mended: nothing has to be restarted for it to be known.
    fs::write(&site.settings, &good).expect("ours");
    assert_eq!(site.json("status")["settings"]["state"], "in-use");
    assert!(site.page("/metrics").contains(&format!("{metric} 0")));
    fs::write(&site.settings, format!("{good}# more\n")).expect("ours");
    assert!(site.said("status").contains("changed: a restart takes it"));

    // A copy that is broken, too, is none.
    site.reboot();
    fs::write(&site.settings, &broken).expect("ours");
    let copy = site.path("state/settings.toml");
    let text = fs::read_to_string(&copy).expect("there");
    fs::write(&copy, text.replace("host = ", "hots = ")).expect("ours");
    assert_eq!(site.try_to_run().code, Some(2));
}
