//! Converts OpenMetrics text to the text format of Prometheus (0.0.4). The samples do not change.
//! In the Prometheus format a counter has its whole name in its descriptor, build information is a
//! gauge, and there is no end mark.

use std::fmt::{self, Write};

/// Converts OpenMetrics text to the text format of Prometheus.
pub(super) fn plain(openmetrics: &str) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(openmetrics.len());
    // The description comes before the type, and the type determines the name.
    let mut description = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            description = rest.split_once(' ').map(|(_, description)| description);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
            let (end, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some(description) = description.take() {
                writeln!(text, "# HELP {name}{end} {description}")?;
            }
            writeln!(text, "# TYPE {name}{end} {kind}")?;
        } else if !line.starts_with('#') {
            writeln!(text, "{line}")?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_have_the_names_of_their_samples() {
        let openmetrics = "# HELP a_build Version.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
             # HELP a_sent Messages.\n# TYPE a_sent counter\na_sent_total 3\n\
             # HELP a_wait_seconds Time.\n# TYPE a_wait_seconds histogram\n# UNIT a_wait_seconds seconds\n\
             a_wait_seconds_sum 0.5\n# EOF\n";
        let text = "# HELP a_build_info Version.\n# TYPE a_build_info gauge\n\
             a_build_info{version=\"1\"} 1\n\
             # HELP a_sent_total Messages.\n# TYPE a_sent_total counter\na_sent_total 3\n\
             # HELP a_wait_seconds Time.\n# TYPE a_wait_seconds histogram\na_wait_seconds_sum 0.5\n";
        assert_eq!(plain(openmetrics).as_deref(), Ok(text));
    }
}
