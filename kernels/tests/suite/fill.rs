use crate::support::{Guarded, LAYOUTS, Layout, Random, for_each_isa};
use feature_contamination_kernels::{Executor, MatMut, reference};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Interval ends whose sums and scales round in every way.
const ENDS: [(f32, f32); 9] = [
    (0.0, 1.0),
    (0.0, -1.0),
    (-1.0, 1.0),
    (0.2, 0.9),
    (0.1, 0.3),
    (1.0, 1.0 + f32::EPSILON),
    (-1000.0, -999.9),
    (0.5, 0.5),
    (1e-38, 3e38),
];

fn run(executor: Executor, seed: u64, ends: (f32, f32), s: Option<&[i8]>, out: &mut Guarded) -> Vec<f32> {
    executor.fill_uniform(seed, ends, s, out.view_mut()).unwrap();
    out.check_guards().unwrap();
    out.entries()
}

fn assert_same_bits(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (place, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.to_bits(), want.to_bits(), "entry {place}: {got} for {want}");
    }
}

/// Every number of columns up to three steps, in every layout, with and without signs.
#[test]
fn the_scalar_definition_to_the_bit() {
    for_each_isa(|executor| {
        let (mut random, mut cases) = (Random(41), 0);
        for (rows, cols) in (0..=49).map(|cols| (1 + cols % 7, cols)).chain([(0, 5), (64, 32), (1, 5000)]) {
            for layout in LAYOUTS {
                let (seed, ends) = (random.next(), ENDS[random.below(ENDS.len())]);
                let s: Vec<i8> = (0..rows).map(|_| random.sign(80)).collect();
                for s in [None, Some(&s[..])] {
                    let got = run(executor, seed, ends, s, &mut Guarded::new(layout, rows, cols, || f32::NAN));
                    assert_same_bits(&got, &reference::fill_uniform(seed, ends, s, (rows, cols)));
                    cases += 1;
                }
            }
        }
        cases
    });
}

/// Lane 0 is the generator that `rand_xoshiro` seeds with the same number; the others continue its seeding.
#[test]
fn the_generators_are_those_of_rand_xoshiro() {
    let seed = 0x0123_4567_89ab_cdef;
    let mut splitmix = rand_xoshiro::SplitMix64::seed_from_u64(seed);
    let lanes: Vec<Xoshiro256PlusPlus> = (0..8)
        .map(|_| {
            let mut words = [0; 32];
            splitmix.fill_bytes(&mut words);
            Xoshiro256PlusPlus::from_seed(words)
        })
        .collect();
    assert_eq!(lanes[0], Xoshiro256PlusPlus::seed_from_u64(seed));
    for_each_isa(|executor| {
        let mut lanes = lanes.clone();
        let got = run(executor, seed, (0.0, 1.0), None, &mut Guarded::vector(16 * 1000, || f32::NAN));
        for step in got.chunks(16) {
            for (lane, pair) in lanes.iter_mut().zip(step.chunks(2)) {
                let bits = lane.next_u64();
                let unit = |bits: u64| 0.5 + bits as i32 as f32 / (1_u64 << 32) as f32;
                assert_eq!(pair, [unit(bits), unit(bits >> 32)]);
            }
        }
        got.len()
    });
}

/// The first values for seed 1, so that no change of the definition goes unnoticed.
#[test]
fn known_answers() {
    let values = reference::fill_uniform(1, (0.0, 1.0), None, (2, 17));
    let bits: Vec<u32> = [0, 1, 2, 15, 16, 17, 33].iter().map(|&i: &usize| values[i].to_bits()).collect();
    assert_eq!(bits, KNOWN);
}

const KNOWN: [u32; 7] =
    [1_064_240_066, 1_050_643_361, 1_063_812_487, 1_052_996_496, 1_035_075_332, 1_062_710_005, 1_057_344_855];

#[test]
fn no_draw_passes_an_end() {
    for_each_isa(|executor| {
        let mut random = Random(42);
        let random_ends = (0..200).map(|_| (random.real(), random.real()));
        let mut cases = 0;
        for (low, high) in ENDS.into_iter().chain(random_ends.collect::<Vec<_>>()) {
            let values = run(executor, 7, (low, high), None, &mut Guarded::vector(4000, || f32::NAN));
            let (low, high) = (low.min(high), low.max(high));
            assert!(values.iter().all(|z| (low..=high).contains(z)), "{low} {high}");
            // An interval of many numbers is used whole.
            if high - low > 0.01 {
                let (least, most) = values.iter().fold((high, low), |(a, b), &z| (a.min(z), b.max(z)));
                assert!(least - low < 0.01 * (high - low) && high - most < 0.01 * (high - low), "{low} {high}");
            }
            cases += 1;
        }
        cases
    });
}

#[test]
fn more_rows_leave_the_first_as_they_are() {
    for_each_isa(|executor| {
        let long = run(executor, 3, (0.0, 1.0), None, &mut Guarded::new(Layout::RowMajor, 40, 19, || 0.0));
        let short = run(executor, 3, (0.0, 1.0), None, &mut Guarded::new(Layout::PaddedCols, 9, 19, || 0.0));
        assert_same_bits(&short, &long[..9 * 19]);
        1
    });
}

#[test]
fn a_sign_that_is_missing_is_an_error() {
    let (executor, mut out) = (Executor::detect().unwrap(), [7.0; 6]);
    let view = MatMut::from_row_major(&mut out, 3, 2).unwrap();
    let error = executor.fill_uniform(1, (0.0, 1.0), Some(&[1, 1]), view).unwrap_err().to_string();
    assert!(error.contains("out is 3 x 2") && error.contains("s has length 2"), "{error}");
    assert_eq!(out, [7.0; 6]);
}

/// Smoke tests of 2^20 draws: moments, correlations at lags within and across lanes and between neighbouring seeds, and
/// the frequencies of the leading 8 bits. All bounds are five standard errors.
#[test]
fn looks_uniform() {
    let n = 1 << 20;
    let draw = |seed| reference::fill_uniform(seed, (0.0, 1.0), None, (1, n));
    for seed in [0, 1, u64::MAX] {
        let (z, next) = (draw(seed), draw(seed.wrapping_add(1)));
        let centred = |z: f32| f64::from(z) - 0.5;
        let sigma = 5.0 / (n as f64).sqrt();
        let mean = z.iter().map(|&z| centred(z)).sum::<f64>() / n as f64;
        assert!(mean.abs() < sigma * (1.0_f64 / 12.0).sqrt(), "mean {mean}");
        let variance = z.iter().map(|&z| centred(z).powi(2)).sum::<f64>() / n as f64;
        // Var (u − ½)² = 1/80 − 1/144 = 1/180.
        assert!((variance - 1.0 / 12.0).abs() < sigma / 180.0_f64.sqrt(), "variance {variance}");
        let correlation = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).map(|(&a, &b)| centred(a) * centred(b)).sum::<f64>() / n as f64 * 12.0
        };
        for lag in (1..=33).chain([64, 128, 1024]) {
            let r = correlation(&z[lag..], &z);
            assert!(r.abs() < sigma, "lag {lag}: {r}");
        }
        let r = correlation(&z, &next);
        assert!(r.abs() < sigma, "next seed: {r}");
        let mut counts = [0_u32; 256];
        z.iter().for_each(|&z| counts[((z * 256.0) as usize).min(255)] += 1);
        let expected = n as f64 / 256.0;
        let chi_square: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
        // Mean 255, variance 2 · 255.
        assert!((chi_square - 255.0).abs() < 5.0 * 510.0_f64.sqrt(), "chi-square {chi_square}");
        // The 20 bits that all draws have.
        for bit in 0..20 {
            let ones = z.iter().filter(|&&z| (z * (1 << 20) as f32) as u32 >> bit & 1 == 1).count() as f64;
            assert!((ones / n as f64 - 0.5).abs() < sigma / 2.0, "bit {bit}: {ones}");
        }
    }
}
