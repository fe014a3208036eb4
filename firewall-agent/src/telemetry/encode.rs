//! Writes families in `OpenMetrics` 1.0.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::{Registry, Unit as ClientUnit},
};

use super::family::{Family, Kind, Sample, Unit, Value};

const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;

/// The families as `OpenMetrics` text, its end marker included.
pub(super) fn openmetrics(families: Vec<Family>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let unit = match family.unit {
                Unit::None => None,
                Unit::Bytes => Some(ClientUnit::Bytes),
                Unit::Seconds => Some(ClientUnit::Seconds),
            };
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Info => MetricType::Info,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, unit.as_ref(), kind)?;
            for sample in &family.samples {
                encode_sample(&mut metric, family.kind, sample)?;
            }
        }
        Ok(())
    }
}

fn encode_sample(metric: &mut MetricEncoder<'_>, kind: Kind, sample: &Sample) -> fmt::Result {
    // Labels of an info are its content.
    if kind == Kind::Info {
        return metric.encode_info(&sample.labels.as_slice());
    }
    if sample.labels.is_empty() {
        return encode_value(metric, kind, sample.value);
    }
    encode_value(&mut metric.encode_family(&sample.labels)?, kind, sample.value)
}

fn encode_value(metric: &mut MetricEncoder<'_>, kind: Kind, value: Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Whole(value)) => metric.encode_counter(&value, NO_EXEMPLAR),
        (Kind::Counter, Value::Real(value)) => metric.encode_counter(&value, NO_EXEMPLAR),
        (_, Value::Real(value)) => metric.encode_gauge(&value),
        (_, Value::Whole(value)) => match i64::try_from(value) {
            Ok(value) => metric.encode_gauge(&value),
            Err(_) => Err(fmt::Error),
        },
    }
}
