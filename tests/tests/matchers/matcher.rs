//! A rule, what it is for and what it is not for.

use firewall_tests::{engine::InKernel, host};

use crate::probe::{Probe, Way};

pub(crate) type Host = host::Host<InKernel>;

/// The verdicts of the language and their names in [`host::Host::frame_on`].
const VERDICTS: [(&str, &str); 3] = [("allow", "pass"), ("drop", "drop"), ("reject", "reject")];

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Matcher {
    /// The rule but for its name. `VERDICT` stands for the verdict's key, `WHO` for `from` or `to`: whichever makes the
    /// rule one for the packet's way.
    pub(crate) rule: &'static str,
    /// What the rule decides about.
    pub(crate) hits: Vec<Probe>,
    /// What it does not.
    pub(crate) misses: Vec<Probe>,
}

impl Matcher {
    /// Tries it both ways with each verdict.
    pub(crate) fn check(&self) {
        assert!(!self.hits.is_empty() && !self.misses.is_empty(), "{}", self.rule);
        for way in Way::BOTH {
            self.check_way(way);
        }
    }

    /// Tries it one way with each verdict.
    pub(crate) fn check_way(&self, way: Way) {
        let (who, default) = match way {
            Way::In => ("from", "drop default"),
            Way::Out => ("to", "reject default"),
        };
        for (key, verdict) in VERDICTS {
            let rule = self.rule.replace("VERDICT", key).replace("WHO", who);
            let host = Host::new(&format!("[[rule]]\nname = \"under-test\"\n{rule}"));
            let by_rule = format!("{verdict} rule under-test");
            for (probes, expected) in [(&self.hits, &*by_rule), (&self.misses, default)] {
                for probe in probes {
                    assert_eq!(
                        judged(&host, probe, way),
                        expected,
                        "{way:?} {probe:?} under {rule}"
                    );
                }
            }
        }
    }
}

/// The verdict on a probe that belongs to no flow.
pub(crate) fn judged(host: &Host, probe: &Probe, way: Way) -> String {
    host.engine.clear_flows();
    host.frame_on(probe.interface, &probe.frame(way), way.hook())
}
