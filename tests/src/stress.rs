//! How long stress tests run. Also a module of the tests of `firewall-common`, by its path: that crate knows of no other.

use std::time::Duration;

/// The variable that has them run for longer.
const VARIABLE: &str = "FIREWALL_STRESS_SECONDS";

/// So many seconds, where the environment does not say otherwise.
///
/// # Panics
/// Where the variable is no number.
#[must_use]
pub fn stress(seconds: u64) -> Duration {
    let said = std::env::var(VARIABLE);
    Duration::from_secs(said.map_or(seconds, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{VARIABLE} is a number of seconds"))
    }))
}
