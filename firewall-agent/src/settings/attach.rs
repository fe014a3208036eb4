//! How XDP attaches to which interface.

use globset::{Glob, GlobMatcher};
use serde::Deserialize;

/// How XDP attaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachMode {
    /// Chosen by driver: native where the driver runs XDP itself and loses nothing by it, else generic.
    #[default]
    Auto,
    /// In the driver, before the kernel allocates anything for a frame.
    Native,
    /// In the kernel's receive path, after it has.
    Generic,
}

impl AttachMode {
    /// The word in settings, status and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// One `[[attach]]` entry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachChoice {
    /// The interfaces it speaks of.
    pub interface: InterfaceGlob,
    /// How XDP attaches to them.
    pub mode: AttachMode,
}

impl AttachChoice {
    /// How XDP attaches to the interface of this name: as the first choice that fits says.
    #[must_use]
    pub fn mode_of(choices: &[Self], interface: &str) -> AttachMode {
        let choice = choices.iter().find(|choice| choice.interface.matches(interface));
        choice.map_or(AttachMode::Auto, |choice| choice.mode)
    }
}

/// A pattern for interface names: `*` is any run of characters, `?` any one, `[ab]` one of some.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct InterfaceGlob {
    matcher: GlobMatcher,
}

impl InterfaceGlob {
    /// Whether the name fits.
    #[must_use]
    pub fn matches(&self, interface: &str) -> bool {
        self.matcher.is_match(interface)
    }

    /// Every interface.
    pub(super) fn everything() -> Self {
        Self::try_from("*".to_owned()).expect("a lone star is a pattern")
    }

    /// As it is written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.matcher.glob().glob()
    }
}

impl TryFrom<String> for InterfaceGlob {
    type Error = globset::Error;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        Ok(Self {
            matcher: Glob::new(&pattern)?.compile_matcher(),
        })
    }
}

impl PartialEq for InterfaceGlob {
    fn eq(&self, other: &Self) -> bool {
        self.pattern() == other.pattern()
    }
}

impl Eq for InterfaceGlob {}
