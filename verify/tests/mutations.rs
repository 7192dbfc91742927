//! Every defect of the simulator is noticed by a claim, and every claim notices one. Compiled with the feature
//! `mutations`: the defect is the whole process's, so that this test has a program of its own.

use feature_contamination_verify::instrument::mutations;

#[test]
fn every_defect_is_noticed_and_every_claim_notices_one() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let matrix = mutations::measure(1, threads).unwrap();
    assert_eq!(matrix.gaps(), Vec::<String>::new());
}
