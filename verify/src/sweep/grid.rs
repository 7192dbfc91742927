//! The file of a sweep: the keys of a run's file, and a `[grid]` of what varies.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::SweepError;
use crate::run::{RunConfig, Seeds, number};
use crate::settings::syntax;

/// Most runs of a sweep.
pub const MAX_RUNS: usize = 1_000_000;
/// Most values of an axis.
const MAX_VALUES: u64 = 100_000;
/// Most values of all axes together, and most bytes of all points: a manifest has each point written out.
const MAX_TOTAL: usize = MAX_RUNS;
const MAX_POINT_BYTES: usize = 1 << 27;
/// Most bytes of a sweep's file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A sweep as its file says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// What does not vary, over the defaults: the keys of a run's file.
    pub base: Table,
    /// What varies, the dotted names of the fields.
    pub fields: Vec<String>,
    /// The values of `fields` at each point, the last axis changing fastest.
    pub points: Vec<Vec<Value>>,
    /// The seeds of every point.
    pub seeds: Vec<u64>,
}

/// Fields that change together, and their values.
struct Axis {
    fields: Vec<String>,
    /// One row a value of the axis, one entry a field.
    values: Vec<Vec<Value>>,
}

/// `{ from = A, to = B, count = N, spacing = "linear" }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    from: Value,
    to: Value,
    count: u64,
    #[serde(default)]
    spacing: Spacing,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Spacing {
    #[default]
    Linear,
    Geometric,
}

impl Sweep {
    /// The sweep of a file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has a key or value that is wrong.
    pub fn load(path: &Path) -> Result<Self, SweepError> {
        let read = |error: std::io::Error| SweepError::File(format!("{}: cannot be read: {error}", path.display()));
        let wrong = |message: String| SweepError::File(format!("{}: {message}", path.display()));
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(read)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(wrong(format!("has more than {MAX_FILE_BYTES} bytes; a sweep has a few thousand")));
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text".to_owned()))?;
        Self::parse(&text).map_err(wrong)
    }

    /// The sweep that a text says. The runs' values are not looked at yet.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut base: Table = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        let seeds = match base.remove("seeds") {
            Some(seeds) => {
                let only = Table::from_iter([("seeds".to_owned(), seeds)]);
                RunConfig::from_table(&only)?.seeds
            }
            None => Seeds::default(),
        };
        let grid = match base.remove("grid") {
            Some(Value::Table(grid)) => grid,
            Some(_) => return Err("grid: must be a table, [grid], of what varies".to_owned()),
            None => return Err("has no [grid]: add one, with the fields that vary and their values".to_owned()),
        };
        let axes = axes(grid)?;
        let seeds = seeds.list();
        let count = axes.iter().try_fold(1usize, |count, axis| count.checked_mul(axis.values.len()));
        let runs = count.and_then(|count| count.checked_mul(seeds.len()));
        let Some(count) = count.filter(|_| runs.is_some_and(|runs| runs <= MAX_RUNS)) else {
            return Err(format!("grid: has more than {MAX_RUNS} runs; take fewer values or seeds"));
        };
        // Every value of an axis comes at count / len points.
        let bytes = axes.iter().map(|axis| {
            let all: usize = axis.values.iter().flatten().map(size_bytes).sum();
            all.saturating_mul(count / axis.values.len())
        });
        if bytes.fold(0, usize::saturating_add) > MAX_POINT_BYTES {
            return Err(format!(
                "grid: its {count} points have more than {MAX_POINT_BYTES} bytes of values; let fewer fields vary"
            ));
        }
        let fields = axes.iter().flat_map(|axis| axis.fields.clone()).collect();
        let points = axes.iter().fold(vec![vec![]], |points, axis| {
            let extended = |point: &Vec<Value>| {
                let point = point.clone();
                axis.values.iter().map(move |values| [point.clone(), values.clone()].concat()).collect::<Vec<_>>()
            };
            points.iter().flat_map(extended).collect()
        });
        Ok(Self { base, fields, points, seeds })
    }
}

/// The configuration of a point: `base` with its values put in their places.
///
/// # Errors
/// A field names no place: a part of its path is no table.
pub fn place(base: &Table, fields: &[String], values: &[Value]) -> Result<Table, String> {
    let mut table = base.clone();
    for (field, value) in fields.iter().zip(values) {
        let (path, last) = field.rsplit_once('.').unwrap_or(("", field));
        let mut inner = &mut table;
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let entry = inner.entry(part).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(next) = entry else {
                return Err(format!("{field}: {part} is no table, but {entry}"));
            };
            inner = next;
        }
        inner.insert(last.to_owned(), value.clone());
    }
    Ok(table)
}

/// A point in words.
pub fn describe(fields: &[String], values: &[Value]) -> String {
    let pairs: Vec<String> =
        fields.iter().zip(values).map(|(field, value)| format!("{field} = {}", text(value))).collect();
    pairs.join(", ")
}

/// A value as a table has it: texts without quotes, whatever has parts as JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(x) => number(*x),
        Value::Array(_) | Value::Table(_) => serde_json::to_string(value).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// The axes in the order of their first field's name.
fn axes(mut grid: Table) -> Result<Vec<Axis>, String> {
    let groups = match grid.remove("zip") {
        None => vec![],
        Some(Value::Array(groups)) if groups.iter().all(Value::is_table) => groups,
        Some(_) => return Err("grid.zip: must be tables, [[grid.zip]], of fields that change together".to_owned()),
    };
    let mut axes = Vec::new();
    let mut total = 0;
    // Asked before they are multiplied, and after each list or range: none is large by itself.
    let mut values = |field: &str, value: Value| {
        let values = values(field, value)?;
        total += values.len();
        match total <= MAX_TOTAL {
            true => Ok(values),
            false => Err(format!("grid: has more than {MAX_TOTAL} values; take fewer")),
        }
    };
    for (field, value) in grid {
        axes.push(Axis {
            values: values(&field, value)?.into_iter().map(|value| vec![value]).collect(),
            fields: vec![field],
        });
    }
    for group in groups {
        let Value::Table(group) = group else { continue };
        let mut axis = Axis { fields: vec![], values: vec![] };
        for (field, value) in group {
            let values = values(&field, value)?;
            if axis.fields.is_empty() {
                axis.values = vec![vec![]; values.len()];
            } else if values.len() != axis.values.len() {
                let (first, length) = (&axis.fields[0], axis.values.len());
                return Err(format!("grid.zip: {field} has {} values; must be {length}, like {first}", values.len()));
            }
            axis.values.iter_mut().zip(values).for_each(|(row, value)| row.push(value));
            axis.fields.push(field);
        }
        if axis.fields.is_empty() {
            return Err("grid.zip: has no field; name those that change together".to_owned());
        }
        axes.push(axis);
    }
    axes.sort_by(|a, b| a.fields[0].cmp(&b.fields[0]));
    let mut fields: Vec<&String> = axes.iter().flat_map(|axis| &axis.fields).collect();
    fields.sort();
    for pair in fields.windows(2) {
        if pair[0] == pair[1] {
            return Err(format!("grid: {} varies twice; name it once", pair[0]));
        }
        if pair[1].starts_with(&format!("{}.", pair[0])) {
            return Err(format!("grid: {} is a part of {}, which varies too", pair[1], pair[0]));
        }
    }
    Ok(axes)
}

/// The values of a field: a list, or a range.
fn values(field: &str, value: Value) -> Result<Vec<Value>, String> {
    if field.split('.').any(str::is_empty) {
        return Err(format!("grid: {field:?} is no field; write it like \"network.m\""));
    }
    if field == "seeds" || field == "seed" {
        return Err(format!("grid: {field} does not vary here; give seeds = N or a list at the top of the file"));
    }
    let values = match value {
        Value::Array(values) => values,
        Value::Table(range) if range.contains_key("from") => {
            let range: Range = range.try_into().map_err(|error: toml::de::Error| {
                format!(
                    "grid.{field:?}: {}; a range is {{ from, to, count, spacing = \"linear\" or \"geometric\" }}",
                    error.message()
                )
            })?;
            range.values(field)?
        }
        // network.m = [64] below [grid] reads as a table.
        Value::Table(_) => {
            return Err(format!("grid: write fields of {field} in quotes, like {:?}", format!("{field}.x")));
        }
        other => {
            return Err(format!(
                "grid.{field:?} = {other}: must be a list of values, or a range {{ from, to, count }}"
            ));
        }
    };
    if values.is_empty() {
        return Err(format!("grid.{field:?}: must have at least one value"));
    }
    match values.iter().find(|value| !is_plain(value)) {
        Some(wrong) => Err(format!("grid.{field:?}: {wrong} is no value of a configuration")),
        None => Ok(values),
    }
}

/// What a value takes in memory, bytes.
fn size_bytes(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(size_bytes).sum(),
        Value::Table(table) => table.iter().map(|(key, value)| 64 + key.len() + size_bytes(value)).sum(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => 0,
    };
    size_of::<Value>() + inner
}

/// Whether a value is one that JSON has, too.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Boolean(_) => true,
        Value::Float(x) => x.is_finite(),
        Value::Datetime(_) => false,
        Value::Array(values) => values.iter().all(is_plain),
        Value::Table(table) => table.values().all(is_plain),
    }
}

impl Range {
    /// `x_i = A + (B − A) i/(N − 1)` or `A (B/A)^{i/(N − 1)}`, ends exact; rounded to whole numbers if both ends are whole.
    fn values(&self, field: &str) -> Result<Vec<Value>, String> {
        let wrong = |what: &str| Err(format!("grid.{field:?}: {what}"));
        let whole = self.from.is_integer() && self.to.is_integer();
        let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
        let (Some(from), Some(to)) = (number(&self.from), number(&self.to)) else {
            return wrong("from and to must be numbers");
        };
        if !(from.is_finite() && to.is_finite()) {
            return wrong("from and to must be finite");
        }
        if !(1..=MAX_VALUES).contains(&self.count) {
            return wrong(&format!("count = {}: must be between 1 and {MAX_VALUES}", self.count));
        }
        if self.count == 1 && from != to {
            return wrong("count = 1: must be at least 2, or from the same as to");
        }
        if self.spacing == Spacing::Geometric && !(from > 0.0 && to > 0.0) {
            return wrong("a geometric range has from and to above 0");
        }
        if whole && from.abs().max(to.abs()) > 2f64.powi(53) {
            return wrong("a range of whole numbers ends at 2^53");
        }
        let last = self.count - 1;
        let at = |i: u64| {
            let share = i as f64 / last.max(1) as f64;
            match self.spacing {
                _ if i == 0 => from,
                _ if i == last => to,
                Spacing::Linear => from + (to - from) * share,
                // Not the standard library's, whose last bit is the platform's.
                Spacing::Geometric => from * libm::pow(to / from, share),
            }
        };
        if !(0..self.count).all(|i| at(i).is_finite()) {
            return wrong("from and to are too far apart");
        }
        let value = |x: f64| if whole { Value::Integer(x.round() as i64) } else { Value::Float(x) };
        let values: Vec<Value> = (0..self.count).map(|i| value(at(i))).collect();
        match values.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => wrong(&format!("{} comes twice; take a smaller count", pair[0])),
            None => Ok(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(grid: &str) -> Vec<String> {
        let sweep = Sweep::parse(&format!("[grid]\n{grid}")).unwrap();
        sweep.points.iter().map(|point| describe(&sweep.fields, point)).collect()
    }

    #[test]
    fn lists_and_groups_are_multiplied_the_last_axis_fastest() {
        let grid = "\"network.m\" = [8, 16]\n[[grid.zip]]\n\"model.d_core\" = [4, 6]\n\"model.d_bg\" = { from = 2, to = 4, count = 2 }";
        assert_eq!(
            points(grid),
            [
                "model.d_bg = 2, model.d_core = 4, network.m = 8",
                "model.d_bg = 2, model.d_core = 4, network.m = 16",
                "model.d_bg = 4, model.d_core = 6, network.m = 8",
                "model.d_bg = 4, model.d_core = 6, network.m = 16",
            ]
        );
    }

    #[test]
    fn an_empty_grid_is_one_point() {
        let sweep = Sweep::parse("seeds = [3, 9]\n[network]\nm = 4\n[grid]").unwrap();
        assert_eq!((sweep.points.len(), sweep.seeds.as_slice()), (1, &[3, 9][..]));
        assert_eq!(place(&sweep.base, &sweep.fields, &sweep.points[0]).unwrap(), sweep.base);
    }

    #[test]
    fn ranges_have_exact_ends_and_stay_whole() {
        assert_eq!(points("a = { from = 0.1, to = 0.3, count = 3 }"), ["a = 0.1", "a = 0.2", "a = 0.3"]);
        let geometric = |range: &str| points(&format!("a = {{ {range}, spacing = \"geometric\" }}"));
        assert_eq!(geometric("from = 16, to = 256, count = 5"), ["a = 16", "a = 32", "a = 64", "a = 128", "a = 256"]);
        assert_eq!(geometric("from = 16, to = 64, count = 4"), ["a = 16", "a = 25", "a = 40", "a = 64"]);
        let down = Sweep::parse("[grid]\na = { from = 1.0, to = 0.01, count = 3, spacing = \"geometric\" }").unwrap();
        let down: Vec<f64> = down.points.iter().map(|point| point[0].as_float().unwrap()).collect();
        assert!(down == [1.0, 0.1, 0.01], "{down:?}");
        assert_eq!(points("a = { from = 7, to = 7, count = 1 }"), ["a = 7"]);
    }

    #[test]
    fn values_are_put_in_their_places() {
        let base: Table = toml::from_str("[model]\nd_core = 3\nd_bg = 5").unwrap();
        let fields = ["model.d_core".to_owned(), "network.m".to_owned(), "x".to_owned()];
        let placed = place(&base, &fields, &[Value::Integer(7), Value::Integer(9), Value::Boolean(true)]).unwrap();
        let expected: Table = toml::from_str("x = true\n[model]\nd_core = 7\nd_bg = 5\n[network]\nm = 9").unwrap();
        assert_eq!(placed, expected);
        let error = place(&base, &["model.d_core.x".to_owned()], &[Value::Integer(7)]).unwrap_err();
        assert_eq!(error, "model.d_core.x: d_core is no table, but 3");
    }

    /// What unfolds to far more than a file has is refused before it is unfolded.
    #[test]
    fn a_small_file_makes_no_large_sweep() {
        let range = "{ from = 1, to = 100000, count = 100000 }";
        let axes = |count: usize, values: &str| -> String {
            (0..count).map(|i| format!("\"network.x{i}\" = {values}\n")).collect()
        };
        for (grid, words) in [
            (axes(2, range), "more than 1000000 runs"),
            (axes(1000, range), "more than 1000000 values"),
            (format!("[[grid.zip]]\n{}", axes(1000, range)), "more than 1000000 values"),
            (format!("\"network.a\" = {range}\n{}", axes(1000, "[1]")), "bytes of values"),
            (format!("\"network.a\" = {range}\n\"network.b\" = [\"{}\"]\n", "x".repeat(10_000)), "bytes of values"),
        ] {
            let error = Sweep::parse(&format!("[grid]\n{grid}")).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("", &["no [grid]"][..]),
            ("grid = 3", &["grid: must be a table"]),
            ("[grid]\na = 3", &["grid.\"a\" = 3", "list of values", "range"]),
            ("[grid]\na = []", &["grid.\"a\"", "at least one value"]),
            ("[grid]\na = [nan]", &["grid.\"a\"", "nan is no value"]),
            ("[grid]\na = [1979-05-27]", &["grid.\"a\"", "no value"]),
            ("[grid]\nnetwork.m = [64]", &["fields of network in quotes"]),
            ("[grid]\n\"network..m\" = [64]", &["\"network..m\" is no field"]),
            ("[grid]\n\"\" = [64]", &["\"\" is no field"]),
            ("[grid]\nseed = [1, 2]", &["seed does not vary here", "seeds = N"]),
            ("[grid]\na = { from = 1, to = 2 }", &["grid.\"a\"", "count", "a range is"]),
            ("[grid]\na = { from = 1, to = 2, count = 2, by = 3 }", &["grid.\"a\"", "by", "a range is"]),
            ("[grid]\na = { from = 1, to = 2, count = 0 }", &["grid.\"a\"", "count = 0: must be between"]),
            ("[grid]\na = { from = 1, to = 2, count = 9000000 }", &["grid.\"a\"", "count = 9000000: must be between"]),
            ("[grid]\na = { from = 1, to = 2, count = 1 }", &["grid.\"a\"", "count = 1: must be at least 2"]),
            ("[grid]\na = { from = 1, to = 2, count = 3 }", &["grid.\"a\"", "2 comes twice"]),
            ("[grid]\na = { from = 0, to = 2, count = 2, spacing = \"geometric\" }", &["above 0"]),
            ("[grid]\na = { from = 1.0, to = inf, count = 2 }", &["finite"]),
            ("[grid]\na = { from = 1e-300, to = 1e300, count = 3, spacing = \"geometric\" }", &["too far apart"]),
            ("[grid]\na = { from = \"x\", to = 2, count = 2 }", &["numbers"]),
            ("[grid]\nzip = [3]", &["grid.zip: must be tables"]),
            ("[[grid.zip]]", &["grid.zip: has no field"]),
            ("[[grid.zip]]\na = [1, 2]\nb = [1]", &["grid.zip: b has 1 values; must be 2, like a"]),
            ("[grid]\na = [1]\n[[grid.zip]]\na = [1, 2]", &["a varies twice"]),
            ("[grid]\na = [{}]\n\"a.b\" = [1]", &["a.b is a part of a"]),
            ("seeds = 0\n[grid]", &["seeds = 0"]),
            ("seeds = 1000000\n[grid]\na = [1, 2]", &["more than 1000000 runs"]),
            ("[grid\n", &["line 1"]),
        ] {
            let error = Sweep::parse(text).expect_err(text);
            assert!(!error.contains('\n') && words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
    }
}
