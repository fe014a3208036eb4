//! Follows the interfaces of the host.

use super::agent::Agent;

impl Agent {
    /// Attaches wanted interfaces that have appeared, and forgets those that are gone.
    pub fn follow_network(&self) {
        let mut kernel = self.kernel();
        let before = kernel.failures.clone();
        match kernel.follow_network() {
            Ok(changes) => {
                for attached in &changes.attached {
                    tracing::info!(interface = attached.name, mode = %attached.mode, reason = %attached.reason, "filtering an interface");
                }
                for gone in &changes.gone {
                    tracing::info!(interface = gone.name, "an interface is gone");
                }
                let failures = kernel.failures.iter().filter(|failure| !before.contains(failure));
                for failure in failures {
                    tracing::error!(
                        interface = failure.name,
                        error = failure.error,
                        "an interface is not filtered"
                    );
                }
            }
            Err(error) => tracing::error!(%error, "cannot follow the interfaces of the host"),
        }
    }
}
