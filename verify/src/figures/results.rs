//! Finished runs, by setting.

use std::sync::Arc;

use super::COLUMNS;
use super::setting::{Setting, Sizes};
use crate::report::model::Point;
use crate::stats::{median, quantile};
use crate::studies::Observed;

/// Ends of the bands.
pub(super) const BAND: [f64; 2] = [0.1, 0.9];

/// All runs.
#[derive(Debug)]
pub(super) struct Results {
    pub sizes: Sizes,
    pub groups: Vec<Group>,
}

/// The runs of one setting.
#[derive(Debug)]
pub(super) struct Group {
    pub setting: Setting,
    /// Iterations recorded.
    pub schedule: Vec<u64>,
    /// Seed 1, 2, ….
    pub runs: Vec<Arc<Observed>>,
}

impl Results {
    /// `runs` has the seeds of the first setting, then those of the second, ….
    pub fn new(sizes: Sizes, settings: Vec<Setting>, runs: Vec<Arc<Observed>>) -> Self {
        let mut runs = runs.into_iter();
        let groups = settings.into_iter().map(|setting| Group {
            schedule: sizes.schedule(&setting),
            runs: runs.by_ref().take(sizes.seeds as usize).collect(),
            setting,
        });
        Self { groups: groups.collect(), sizes }
    }

    /// The runs of a setting that was simulated.
    pub fn of(&self, setting: &Setting) -> Option<&Group> {
        self.groups.iter().find(|group| group.setting == *setting)
    }

    /// `series/runs.csv`: every curve of every run.
    pub fn csv(&self) -> String {
        let mut out = format!("setting,seed,iteration,{}\n", COLUMNS.join(","));
        for group in &self.groups {
            let id = group.setting.id();
            for (run, seed) in group.runs.iter().zip(1..) {
                let columns = COLUMNS.map(|name| run.series(name));
                for (at, iteration) in group.schedule.iter().enumerate() {
                    let values = columns.map(|column| format!("{:.5e}", column[at])).join(",");
                    out.push_str(&format!("{id},{seed},{iteration},{values}\n"));
                }
            }
        }
        out
    }
}

impl Group {
    /// A column at a record, by seed.
    fn at(&self, column: usize, record: usize) -> Vec<f64> {
        self.runs.iter().filter_map(|run| run.series(COLUMNS[column]).get(record).copied()).collect()
    }

    /// A column's median over the seeds at every iteration, with the ends of the band.
    pub fn band(&self, column: usize) -> Vec<Point> {
        let point = |(record, &iteration): (usize, &u64)| {
            let values = self.at(column, record);
            let [lo, hi] = BAND.map(|q| quantile(&values, q).unwrap_or(f64::NAN));
            Point { x: iteration as f64, y: median(&values).unwrap_or(f64::NAN), lo, hi }
        };
        self.schedule.iter().enumerate().map(point).collect()
    }

    /// A column before the first step, by seed.
    pub fn start(&self, column: usize) -> Vec<f64> {
        self.at(column, 0)
    }

    /// A column after the last step, by seed.
    pub fn end(&self, column: usize) -> Vec<f64> {
        self.at(column, self.schedule.len() - 1)
    }
}
