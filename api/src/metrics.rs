//! `/metrics`: what the rooms counted, in the Prometheus text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::ports::{Sample, SampleKind};

/// The media type of the text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The samples as text, one family after the other, each with its help and type once.
pub(crate) fn text(samples: &[Sample]) -> String {
    let mut families: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        families.entry(sample.name).or_default().push(sample);
    }
    let mut text = String::new();
    for (name, samples) in families {
        let Some(first) = samples.first() else { continue };
        let kind = match first.kind {
            SampleKind::Counter => "counter",
            SampleKind::Gauge => "gauge",
        };
        // Writing into a String cannot fail.
        _ = write!(text, "# HELP weir_{name} {}\n# TYPE weir_{name} {kind}\n", escape_help(first.help));
        for sample in samples {
            _ = write!(text, "weir_{name}");
            for (index, (label, value)) in sample.labels.iter().enumerate() {
                _ = write!(text, "{}{label}=\"{}\"", if index == 0 { '{' } else { ',' }, escape_label(value));
            }
            _ = writeln!(text, "{} {}", if sample.labels.is_empty() { "" } else { "}" }, number(sample.value));
        }
    }
    text
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

fn escape_help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn escape_label(text: &str) -> String {
    escape_help(text).replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_grouped_and_labels_escaped() {
        let sample = |name, labels: &[(&'static str, &str)], value| Sample {
            name,
            help: "Help.",
            kind: SampleKind::Counter,
            labels: labels.iter().map(|(key, value)| (*key, (*value).into())).collect(),
            value,
        };
        let samples = [
            sample("rule_matched_total", &[("rule", "a\"b\\c\nd")], 3.0),
            sample("up", &[], 1.0),
            sample("rule_matched_total", &[("rule", "z"), ("reason", "queue_full")], 0.5),
        ];
        assert_eq!(
            text(&samples),
            "# HELP weir_rule_matched_total Help.\n# TYPE weir_rule_matched_total counter\n\
             weir_rule_matched_total{rule=\"a\\\"b\\\\c\\nd\"} 3\nweir_rule_matched_total{rule=\"z\",reason=\"queue_full\"} 0.5\n\
             # HELP weir_up Help.\n# TYPE weir_up counter\nweir_up 1\n"
        );
    }
}
