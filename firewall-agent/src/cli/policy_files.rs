//! The policy that a command is to work with, as files.

use std::{path::PathBuf, sync::Arc};

use super::CliError;
use crate::{
    control::protocol::{Failure, FailureKind, Finding},
    policy::{self, Options, Scope, Target, model::ValidPolicy, read_for_check},
    settings,
};

/// Whom the files are for.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct PolicyTarget {
    /// Resolve the files for this role.
    #[arg(long)]
    role: Option<String>,
    /// Resolve the files for this host.
    #[arg(long)]
    host: Option<String>,
    /// Take the failsafe from the agent's settings; without, there is none.
    #[arg(long, value_name = "PATH")]
    settings: Option<PathBuf>,
}

impl PolicyTarget {
    /// The policy that these files make, which has to be one for one host or role, without errors.
    pub(super) fn load(&self, files: &[PathBuf]) -> Result<ValidPolicy, CliError> {
        let settings = self.settings.as_deref().map(settings::load).transpose();
        let settings = settings.map_err(|error| CliError::File(error.to_string()))?;
        let (sources, scope) = read_for_check(files);
        let scope = match (&self.role, &self.host) {
            (None, None) => scope,
            (role, host) => Scope::One(Target {
                role: role.as_deref().map(Arc::from),
                host: host.as_deref().map(Arc::from),
            }),
        };
        let options = Options {
            scope,
            failsafe: settings.map(|settings| settings.failsafe.resolve()),
            today: None,
            kernel_forwards: false,
        };
        let checked = policy::check(sources, &options);
        if checked.has_errors() {
            let message = "the policy has errors; `fwctl check` says more";
            let mut failure = Failure::new(FailureKind::Policy, message);
            let errors = checked.diagnostics.iter().filter(|one| one.is_error());
            failure.findings = errors.map(|one| Finding::of(one, &checked.sources)).collect();
            return Err(CliError::Policy(failure));
        }
        let mut policies = checked.policies;
        match (policies.pop(), policies.as_slice()) {
            (Some(policy), []) => Ok(policy),
            (None, _) => Err(CliError::Usage(
                "these files are for no role; say which by --role or --host".to_owned(),
            )),
            (Some(last), others) => {
                let names: Vec<String> = others.iter().chain([&last]).map(policy_name).collect();
                Err(CliError::Usage(format!(
                    "these files are for {}; say for which one by --host or --role",
                    names.join(", ")
                )))
            }
        }
    }
}

/// The host or role that a policy is for.
pub(super) fn policy_name(policy: &ValidPolicy) -> String {
    match &policy.host {
        Some(host) => format!("host {host}"),
        None => format!("role {}", policy.role),
    }
}
