//! Metrics before they are written in any format.

/// What a family counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only ever rises; its samples are called `…_total`.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Labels only; its samples are called `…_info` and are 1.
    Info,
}

/// Base unit of a family, which its name ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    None,
    Bytes,
    Seconds,
}

/// Label names and values.
pub(super) type Labels = Vec<(&'static str, String)>;

/// A number with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: Labels,
    pub(super) value: Value,
}

/// A value. Counters are whole numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

/// Samples of one name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family {
    /// Without unit and suffix.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) samples: Vec<Sample>,
}

impl Family {
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Counter)
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Gauge)
    }

    pub(super) const fn info(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Info)
    }

    const fn new(name: &'static str, help: &'static str, kind: Kind) -> Self {
        Self {
            name,
            help,
            kind,
            unit: Unit::None,
            samples: Vec::new(),
        }
    }

    pub(super) const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    pub(super) fn add(&mut self, labels: Labels, value: u64) {
        self.samples.push(Sample {
            labels,
            value: Value::Whole(value),
        });
    }

    /// With one sample that has no labels.
    pub(super) fn of(mut self, value: u64) -> Self {
        self.add(Labels::new(), value);
        self
    }

    /// With one sample that has no labels.
    pub(super) fn of_real(mut self, value: f64) -> Self {
        self.samples.push(Sample {
            labels: Labels::new(),
            value: Value::Real(value),
        });
        self
    }
}
