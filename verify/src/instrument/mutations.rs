//! Which claims notice which defect of the simulator: every defect must be noticed by a claim, and every claim must
//! notice a defect.
//!
//! Studies are left out: they train networks of their own, which no defect touches.

use std::collections::BTreeMap;

use feature_contamination::Executor;
use feature_contamination::mutation::{self, Mutation};

use super::table;
use crate::claims;
use crate::cli::CliError;
use crate::execute::run_all;
use crate::plan::Plan;
use crate::report::model::{Check, Table, Verdict};
use crate::settings::Settings;

/// The verdict on every check of every claim, in the order of [`claims::all`].
type Outcome = Vec<Vec<Check>>;

/// What the claims make of every defect.
pub struct Matrix {
    /// Without a defect.
    sound: Outcome,
    /// With each.
    broken: Vec<(Mutation, Outcome)>,
    command: String,
}

/// Judges every claim on the controls' ladders of the quick profile, without a defect and with each in turn. Assumptions
/// are set aside, as for controls.
///
/// # Errors
/// A run fails, or a statistic refuses.
pub fn measure(seed: u64, threads: usize) -> Result<Matrix, CliError> {
    let executor = Executor::detect()?;
    let mut settings = Settings::profile("quick")?.for_controls();
    settings.seed = seed;
    let judge = |mutation: Option<Mutation>| {
        mutation::set(mutation);
        let outcome = outcome(&settings, executor, threads);
        mutation::set(None);
        outcome
    };
    let sound = judge(None)?;
    let broken = Mutation::ALL.into_iter().map(|mutation| Ok((mutation, judge(Some(mutation))?)));
    let broken = broken.collect::<Result<_, CliError>>()?;
    Ok(Matrix { sound, broken, command: format!("--features mutations -- mutations --seed {seed}") })
}

fn outcome(settings: &Settings, executor: Executor, threads: usize) -> Result<Outcome, CliError> {
    let claims = claims::all();
    let ladders: Vec<_> = claims.iter().map(|claim| claim.plan(settings)).collect();
    let mut plan = Plan::default();
    ladders.iter().for_each(|ladders| plan.add(ladders));
    let results = run_all(&plan, executor, threads, &|_| ())?;
    let judge = |(claim, ladders): (&&'static dyn claims::Claim, &Vec<_>)| {
        let measured = plan.resolve(ladders, &results.runs).unwrap_or_default();
        let judged = claim.judge(settings, &measured);
        Ok(judged.map_err(|source| CliError::Statistic { claim: claim.id(), source })?.checks)
    };
    claims.iter().zip(&ladders).map(judge).collect()
}

fn violated(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.verdict == Verdict::Violated)
}

impl Matrix {
    /// What is wrong with the claims, in words; nothing if each defect is noticed, each claim notices one, and none is
    /// violated without a defect.
    pub fn gaps(&self) -> Vec<String> {
        let claims = claims::all();
        let mut gaps = vec![];
        for (claim, checks) in claims.iter().zip(&self.sound) {
            if violated(checks) {
                gaps.push(format!("{} is violated without a defect", claim.id()));
            }
        }
        for (mutation, outcome) in &self.broken {
            if !outcome.iter().any(|checks| violated(checks)) {
                gaps.push(format!("{mutation:?} is noticed by no claim"));
            }
        }
        for (index, claim) in claims.iter().enumerate() {
            if !self.broken.iter().any(|(_, outcome)| violated(&outcome[index])) {
                gaps.push(format!("{} notices no defect", claim.id()));
            }
        }
        gaps
    }

    /// Defects by claims, and checks with the defects that turn them.
    pub fn tables(&self) -> Vec<Table> {
        let claims = claims::all();
        let word = |checks: &[Check]| {
            if violated(checks) {
                "violated"
            } else if checks.iter().any(|check| check.verdict == Verdict::Inconclusive) {
                "open"
            } else {
                "holds"
            }
            .to_owned()
        };
        let row = |name: &str, outcome: &Outcome| {
            std::iter::once(name.to_owned()).chain(outcome.iter().map(|checks| word(checks))).collect::<Vec<String>>()
        };
        let sound = std::iter::once(row("none", &self.sound));
        let rows = sound.chain(self.broken.iter().map(|(mutation, outcome)| row(mutation.description(), outcome)));
        let columns: Vec<&str> = std::iter::once("defect").chain(claims.iter().map(|claim| claim.id())).collect();
        let by_claim = table(
            "mutations",
            "Defects of the simulator and the claims that notice them",
            "The simulator broken on purpose, in a program compiled for that, and what every claim then says on the controls' \
             ladders. Each defect must be noticed: a claim is violated. Each claim must notice one."
                .to_owned(),
            self.command.clone(),
            &columns,
            rows.collect(),
        );
        let mut turned: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
        for (mutation, outcome) in &self.broken {
            for (claim, checks) in outcome.iter().enumerate() {
                for (index, check) in checks.iter().enumerate() {
                    let list = turned.entry((claim, index)).or_default();
                    if check.verdict == Verdict::Violated {
                        list.push(mutation.description());
                    }
                }
            }
        }
        let rows = turned.into_iter().map(|((claim, index), defects)| {
            let quantity = self.sound[claim].get(index).map_or("", |check| &check.quantity);
            let quantity = quantity.rsplit_once("; every ").map_or(quantity, |(quantity, _)| quantity);
            vec![claims[claim].id().to_owned(), quantity.to_owned(), defects.len().to_string(), defects.join("; ")]
        });
        let by_check = table(
            "mutations-checks",
            "Checks and the defects that turn them",
            "Every check with the defects at which it is violated. One that none turns is turned by a control, or holds what \
             none of these defects touches."
                .to_owned(),
            self.command.clone(),
            &["claim", "check", "defects", "which"],
            rows.collect(),
        );
        vec![by_claim, by_check]
    }
}
