//! Quantiles beside published and thirty-digit values, with statrs' own for comparison.
//!
//! The values agree with the printed tables as far as those go: Student's t with Fisher and Yates (12.706, 4.303, …,
//! 1.980 at ν = 120), the normal law with Abramowitz and Stegun, table 26.5, and the binomial limits with Clopper and
//! Pearson's. Beyond the tables they were computed with sixty digits, and from ν = 10⁵ on by Abramowitz and Stegun's
//! 26.7.5 to the order ν⁻³.

use statrs::distribution::{Beta, ContinuousCDF, Normal, StudentsT};

use crate::stats::beta::inverse_regularized_beta;
use crate::stats::normal::normal_upper_quantile;
use crate::stats::student::student_upper_quantile;

/// `(q, z)`: `Pr[Z ≥ z] = q`.
const NORMAL: [(f64, f64); 12] = [
    (0.25, 0.674_489_750_196_081_7),
    (0.1, 1.281_551_565_544_600_5),
    (0.025, 1.959_963_984_540_054_2),
    (0.005, 2.575_829_303_548_901),
    (0.0005, 3.290_526_731_491_895),
    (1e-6, 4.753_424_308_822_899),
    (1e-9, 5.997_807_015_007_687),
    (1e-12, 7.034_483_825_301_132),
    (1e-20, 9.262_340_089_798_408),
    (1e-50, 14.933_337_534_788_49),
    (1e-100, 21.273_453_560_965_325),
    (1e-300, 37.047_096_299_361_2),
];

/// Upper tails of [`STUDENT`].
const TAILS: [f64; 5] = [0.025, 0.0005, 1e-6, 1e-9, 1e-12];

/// `(ν, t at each of TAILS)`: `Pr[T ≥ t] = q`.
const STUDENT: [(f64, [f64; 5]); 9] = [
    (
        1.0,
        [
            12.706_204_736_174_705,
            636.619_248_768_719_6,
            318_309.886_182_743_5,
            318_309_886.183_790_7,
            318_309_886_183.790_7,
        ],
    ),
    (
        2.0,
        [
            4.302_652_729_749_464,
            31.599_054_576_443_62,
            707.105_720_525_933_8,
            22_360.679_741_456_877,
            707_106.781_185_486_9,
        ],
    ),
    (
        5.0,
        [
            2.570_581_835_636_315_5,
            6.868_826_625_881_11,
            24.771_029_720_515_944,
            98.937_224_648_369_96,
            393.956_959_577_603_8,
        ],
    ),
    (
        10.0,
        [
            2.228_138_851_986_275,
            4.586_893_858_702_636,
            9.751_995_490_940_58,
            20.144_697_766_673_99,
            40.532_096_178_662_6,
        ],
    ),
    (
        30.0,
        [
            2.042_272_456_301_238,
            3.645_958_635_042_022,
            5.871_117_120_418_882,
            8.445_862_796_274_243,
            11.397_217_523_311_41,
        ],
    ),
    (
        120.0,
        [
            1.979_930_405_082_441,
            3.373_453_768_562_500_4,
            4.997_443_829_589_943,
            6.491_938_092_506_852,
            7.845_254_551_022_93,
        ],
    ),
    (
        1000.0,
        [
            1.962_339_080_826_408_5,
            3.300_282_648_423_913,
            4.781_608_620_458_351,
            6.053_690_272_079_834,
            7.124_228_925_314_409,
        ],
    ),
    (
        1e5,
        [
            1.959_987_707_534_61,
            3.290_624_031_411_883,
            4.753_704_716_391_288,
            5.998_361_461_679_076,
            7.035_371_742_393_576,
        ],
    ),
    (
        1e7,
        [
            1.959_964_221_767_205_5,
            3.290_527_704_465_222_4,
            4.753_427_112_755_577,
            5.997_812_559_038_371,
            7.034_492_703_526_16,
        ],
    ),
];

/// `(k, n, q, p)`: `Pr[Bin(n, p) ≥ k] = q`, the lower limit of Clopper and Pearson.
const BINOMIAL: [(f64, f64, f64, f64); 16] = [
    (1.0, 20.0, 0.025, 0.001_265_089_497_949_803_7),
    (5.0, 10.0, 0.025, 0.187_086_028_447_398_53),
    (5.0, 10.0, 1e-12, 0.001_318_856_166_367_201),
    (8.0, 20.0, 0.025, 0.191_190_060_725_307_2),
    (10.0, 100.0, 0.025, 0.049_004_689_221_485_96),
    (10.0, 100.0, 1e-8, 0.008_030_217_545_587_98),
    (50.0, 100.0, 0.025, 0.398_321_129_503_301),
    (50.0, 100.0, 1e-12, 0.184_691_018_760_222_48),
    (3.0, 1000.0, 1e-4, 8.625_862_627_812_676e-5),
    (3.0, 1000.0, 1e-12, 1.819_022_610_573_226_5e-7),
    (100.0, 1000.0, 1e-8, 0.054_889_871_073_516_16),
    (1.0, 16_384.0, 1e-12, 6.103_515_625_003_052e-17),
    (12.0, 16_384.0, 0.025, 0.000_378_508_517_434_941_75),
    (12.0, 16_384.0, 1e-12, 3.368_875_241_856_593e-5),
    (2.0, 1e7, 0.025, 2.422_092_877_211_627_6e-8),
    (2.0, 1e7, 1e-12, 1.414_214_299_750_810_6e-13),
];

/// A quantile, three times.
#[derive(Clone, Debug)]
pub struct Row {
    /// The law and its parameters.
    pub law: String,
    /// The tail probability.
    pub tail: f64,
    /// The published or thirty-digit value.
    pub value: f64,
    /// Relative error of the quantile that the intervals use.
    pub error: f64,
    /// Relative error of statrs' own; NaN or infinite where it gives none, or never ends.
    pub statrs: f64,
}

/// The greatest relative error that a quantile may have.
pub const TOLERANCE: f64 = 1e-11;

/// Every value of the tables.
pub fn measure() -> Vec<Row> {
    let error = |x: f64, value: f64| (x / value - 1.0).abs();
    let mut rows = vec![];
    let mut row = |law: &str, tail: f64, value: f64, ours: f64, statrs: f64| {
        rows.push(Row { law: law.to_owned(), tail, value, error: error(ours, value), statrs: error(statrs, value) });
    };
    for (q, z) in NORMAL {
        // statrs takes the lower tail: the upper one by symmetry.
        let statrs = Normal::new(0.0, 1.0).map_or(f64::NAN, |law| -law.inverse_cdf(q));
        row("normal", q, z, normal_upper_quantile(q).unwrap_or(f64::NAN), statrs);
    }
    for (nu, values) in STUDENT {
        for (q, t) in TAILS.into_iter().zip(values) {
            let statrs = StudentsT::new(0.0, 1.0, nu).map_or(f64::NAN, |law| -law.inverse_cdf(q));
            let ours = student_upper_quantile(nu, q).unwrap_or(f64::NAN);
            row(&format!("Student, ν = {nu}"), q, t, ours, statrs);
        }
    }
    for (k, n, q, p) in BINOMIAL {
        // At n = 10⁷ its iteration does not end.
        let law = if n < 1e7 { Beta::new(k, n - k + 1.0).ok() } else { None };
        let statrs = law.map_or(f64::NAN, |law| law.inverse_cdf(q));
        row(&format!("binomial, {k} of {n}"), q, p, inverse_regularized_beta(k, n - k + 1.0, q), statrs);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_meet_published_values() {
        for row in measure() {
            assert!(row.error < TOLERANCE, "{row:?}");
        }
    }

    /// Why the other quantiles are not taken from the library: should it become good enough, this says so.
    #[test]
    fn the_librarys_own_are_not_good_enough() {
        let worst = |law: &str| {
            let errors = measure().into_iter().filter(|row| row.law.starts_with(law)).map(|row| row.statrs);
            errors.fold(0.0, |worst: f64, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) })
        };
        assert!(worst("normal") < 1e-15);
        for law in ["Student", "binomial"] {
            assert!(worst(law) > TOLERANCE, "{law}: {}", worst(law));
        }
    }
}
