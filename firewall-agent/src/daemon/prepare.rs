//! From policy files to something that can be loaded; nothing is changed on the way.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::tz::TimeZone;

use super::timed;
use crate::{
    calendar,
    compile::{CompileError, CompiledImage, compile},
    control::protocol::{Failure, FailureKind, Finding},
    diagnostic::{SourceFile, SourceSet},
    policy::{
        Date, Options, Scope, Target, check,
        model::{Action, Defaults, Failsafe, Forwarded, PolicySettings, Timers, ValidPolicy},
    },
    settings::{InterfaceGlob, Settings},
    state::PolicyFile,
};

/// A policy that is checked and compiled, and not loaded yet.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) policy: Arc<ValidPolicy>,
    pub(super) image: CompiledImage,
    pub(super) files: Vec<PolicyFile>,
    pub(super) warnings: Vec<Finding>,
}

/// Why a policy cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    /// It has errors.
    #[error("the policy has {}; the first: {first}", plural(*errors))]
    Rejected {
        errors: usize,
        first: String,
        findings: Vec<Finding>,
    },
    /// A rule that ends by itself in a file that an operator writes.
    #[error(
        "{file} has rules that end by themselves, and no policy file holds those: `fwctl rule add … --for 2h` adds one"
    )]
    StrayTimed {
        /// The file.
        file: Arc<str>,
    },
    /// It does not fit.
    #[error("the policy cannot be compiled: {0}")]
    Compile(#[from] CompileError),
}

fn plural(errors: usize) -> String {
    format!("{errors} error{}", if errors == 1 { "" } else { "s" })
}

impl PrepareError {
    /// For the operator.
    pub(super) fn failure(self) -> Failure {
        let message = self.to_string();
        let mut failure = Failure::new(FailureKind::Policy, message)
            .hint("mend the files; `fwctl check` shows everything that is wrong with them");
        if let Self::Rejected { findings, .. } = self {
            failure.findings = findings;
        }
        failure
    }
}

/// Checks and compiles.
pub(super) fn prepare(sources: SourceSet, settings: &Settings) -> Result<Prepared, PrepareError> {
    let options = Options {
        scope: Scope::One(target(settings)),
        failsafe: Some(settings.failsafe.resolve()),
        today: Some(today()),
        kernel_forwards: kernel_forwards(),
    };
    let checked = check(sources, &options);
    let findings: Vec<Finding> = checked
        .diagnostics
        .iter()
        .map(|diagnostic| Finding::of(diagnostic, &checked.sources))
        .collect();
    let Some(policy) = checked.policies.into_iter().next() else {
        return Err(rejected(findings));
    };
    let own = timed::path(settings);
    let is_stray = |file: &str| Path::new(file) != own;
    let mut ending = policy.rules.iter().filter(|rule| rule.term.is_some());
    if let Some(rule) = ending.find(|rule| is_stray(&rule.origin.file)) {
        return Err(PrepareError::StrayTimed {
            file: rule.origin.file.clone(),
        });
    }
    let image = compile(&policy)?;
    Ok(Prepared {
        policy: Arc::new(policy),
        image,
        files: files(&checked.sources),
        warnings: findings,
    })
}

/// Nothing but the failsafe, on the interfaces that the settings name for this.
pub(super) fn prepare_failsafe(settings: &Settings) -> Result<Prepared, PrepareError> {
    let interfaces = settings.failsafe.interfaces.iter().map(InterfaceGlob::pattern);
    without_rules(
        Action::Drop,
        interfaces.map(str::to_owned).collect(),
        settings.failsafe.resolve(),
        settings,
    )
}

/// What is there before the first policy, and what that goes back to where nobody confirms it: everything passes, and no
/// interface is filtered. The same whatever the settings say, so that a start knows it again.
pub(super) fn prepare_open(settings: &Settings) -> Result<Prepared, PrepareError> {
    without_rules(Action::Allow, Vec::new(), Failsafe::default(), settings)
}

fn without_rules(
    action: Action,
    interfaces: Vec<String>,
    failsafe: Failsafe,
    settings: &Settings,
) -> Result<Prepared, PrepareError> {
    let policy = ValidPolicy {
        role: settings.role.as_deref().unwrap_or_default().into(),
        host: settings.host.as_deref().map(Arc::from),
        settings: PolicySettings {
            defaults: Defaults {
                input: action,
                output: action,
                forward: action,
            },
            timers: Timers::default(),
            interfaces,
            forwarded: Forwarded::default(),
            tcp_midflow_pickup: false,
            keep_live_flows: false,
            allow_icmp_redirects: false,
            allow_source_routing: false,
            allowed_ether_types: Vec::new(),
        },
        failsafe,
        rules: Vec::new(),
        lists: Vec::new(),
    };
    let image = compile(&policy)?;
    Ok(Prepared {
        policy: Arc::new(policy),
        image,
        files: Vec::new(),
        warnings: Vec::new(),
    })
}

/// The texts of a stored revision, under the names that they were read by.
pub(super) fn sources_of(files: &[PolicyFile]) -> SourceSet {
    files
        .iter()
        .map(|file| {
            let (name, text) = (file.path.to_string_lossy(), file.text.clone());
            if file.is_list {
                SourceFile::list(name, text)
            } else {
                SourceFile::new(name, text)
            }
        })
        .collect()
}

/// The texts of sources that could all be read.
pub(super) fn files(sources: &SourceSet) -> Vec<PolicyFile> {
    sources
        .all()
        .map(|(_, source)| PolicyFile {
            path: PathBuf::from(&**source.name()),
            text: source.shared_text(),
            is_list: source.is_list(),
        })
        .collect()
}

fn rejected(findings: Vec<Finding>) -> PrepareError {
    let errors = findings.iter().filter(|finding| finding.is_error());
    let first = errors.clone().next().map_or_else(
        || "there is nothing for this host or role".to_owned(),
        |finding| {
            format!(
                "{}:{}: {} {}",
                finding.file, finding.line, finding.code, finding.message
            )
        },
    );
    PrepareError::Rejected {
        errors: errors.count(),
        first,
        findings,
    }
}

/// For whom the policy is resolved.
pub(crate) fn target(settings: &Settings) -> Target {
    Target {
        role: settings.role.as_deref().map(Arc::from),
        host: settings.host.as_deref().map(Arc::from).or_else(machine_name),
    }
}

/// The machine's name up to its first dot.
fn machine_name() -> Option<Arc<str>> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim().split('.').next()?;
    (!name.is_empty()).then(|| name.into())
}

/// Whether the kernel forwards packets between any interfaces of this network namespace.
pub(crate) fn kernel_forwards() -> bool {
    ["/proc/sys/net/ipv4/conf", "/proc/sys/net/ipv6/conf"]
        .iter()
        .filter_map(|family| std::fs::read_dir(family).ok())
        .flatten()
        .flatten()
        // What interfaces to come start with, and loopback, say nothing about packets now.
        .filter(|entry| entry.file_name() != "default" && entry.file_name() != "lo")
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("forwarding")).ok())
        .any(|text| text.trim() != "0")
}

/// The day in UTC.
pub(crate) fn today() -> Date {
    let day = calendar::now().to_zoned(TimeZone::UTC).date();
    // Four-digit years and one-based months and days of a calendar are never negative.
    Date {
        year: day.year().unsigned_abs(),
        month: day.month().unsigned_abs(),
        day: day.day().unsigned_abs(),
    }
}
