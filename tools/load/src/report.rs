//! Figures, their medians, and their output.

use super::database::Store;
use serde_json::{Map, Value, json};

/// A figure with its name, which includes the unit.
pub struct Figure {
    name: &'static str,
    value: f64,
}

/// Returns a figure with this name and value.
pub fn figure(name: &'static str, value: f64) -> Figure {
    Figure { name, value }
}

/// The median of each figure over all turns. Every turn has equal figures in one order.
pub fn medians(turns: &[Vec<Figure>]) -> Vec<Figure> {
    let Some(first) = turns.first() else {
        return Vec::new();
    };
    let median = |at: usize| {
        let mut values: Vec<f64> = turns
            .iter()
            .filter_map(|t| Some(t.get(at)?.value))
            .collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        f64::midpoint(low, high)
    };
    let names = first.iter().enumerate();
    names
        .map(|(at, one)| figure(one.name, median(at)))
        .collect()
}

/// A scenario's figures as a line of text.
pub fn line(scenario: &str, store: Store, turns: usize, figures: &[Figure]) -> String {
    let shown: Vec<String> = figures
        .iter()
        .map(|figure| format!("{} {}", figure.name, readable(figure.value)))
        .collect();
    let turns = if turns == 1 {
        String::new()
    } else {
        format!(", median of {turns}")
    };
    format!("{scenario} ({}{turns}): {}", name(store), shown.join(" · "))
}

/// A scenario's figures as JSON.
pub fn json(scenario: &str, store: Store, turns: usize, figures: &[Figure]) -> Value {
    let figures: Map<String, Value> = figures
        .iter()
        .map(|figure| (figure.name.to_owned(), json!(figure.value)))
        .collect();
    json!({ "scenario": scenario, "store": name(store), "turns": turns, "figures": figures })
}

fn name(store: Store) -> &'static str {
    match store {
        Store::Sqlite => "sqlite",
        Store::Postgres => "postgres",
    }
}

/// Formats a value with three significant digits and separated thousands.
fn readable(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    let plain = format!("{value:.digits$}");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.len() - at;
        if at > 0 && left % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}
