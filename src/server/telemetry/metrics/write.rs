//! Writes metrics down, each with its help and all its series. Knows the library for it; not what the numbers mean.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::model::histogram::Counted;

/// Names and values.
type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// A name is without what OpenMetrics adds to it: the unit, and `_total` or `_info`.
pub(super) struct Writer<'a, 'e>(pub &'a mut DescriptorEncoder<'e>);

impl Writer<'_, '_> {
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &Labels<'_, 1>) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(labels)
    }

    pub(super) fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in series {
            labelled(&mut metric, &labels, |metric| {
                metric.encode_counter::<NoLabelSet, _, f64>(&count, None)
            })?;
        }
        Ok(())
    }

    pub(super) fn gauge<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        series: impl IntoIterator<Item = (Labels<'l, N>, impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in series {
            labelled(&mut metric, &labels, |metric| metric.encode_gauge(&value))?;
        }
        Ok(())
    }

    /// With a unit comes how many of what was counted make one.
    pub(super) fn histogram<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<(Unit, f64)>,
        series: impl IntoIterator<Item = (Labels<'l, N>, Counted)>,
    ) -> fmt::Result {
        let (unit, per_unit) = unit.unzip();
        let per_unit = per_unit.unwrap_or(1.0);
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        for (labels, counted) in series {
            let (sum, count) = (counted.sum as f64 / per_unit, counted.count());
            let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| bound as f64 / per_unit);
            let buckets: Vec<_> = counted.buckets.iter().map(|(at, count)| (bound(*at), *count)).collect();
            labelled(&mut metric, &labels, |metric| {
                metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            })?;
        }
        Ok(())
    }
}

/// Without labels there are no braces either.
fn labelled<const N: usize>(
    metric: &mut MetricEncoder<'_>,
    labels: &Labels<'_, N>,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    match N {
        0 => encode(metric),
        _ => encode(&mut metric.encode_family(labels)?),
    }
}
