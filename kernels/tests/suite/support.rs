//! Data, guarded buffers and comparisons; with tests of their own, since a helper that accepts everything proves
//! everything.

use feature_contamination_kernels::{Blocking, Element, Executor, MatMut, MatRef, Workspace};
use std::cell::RefCell;
use std::fmt::Debug;

/// An element type, as the tests need to know it.
pub trait Scalar: Element + From<i8> + Debug {
    const NAN: Self;
    const INFINITY: Self;
    /// Twice the error of one rounding of 1.
    const EPSILON: f64;

    /// A NaN that no kernel makes: if it turns up elsewhere, or is gone, someone read or wrote where nothing is.
    const GUARD: Self;

    fn from_f32(value: f32) -> Self;

    fn bits(self) -> u64;

    /// Uniform on (-1, 1), of 64 random bits.
    fn from_random(bits: u64) -> Self;
}

impl Scalar for f32 {
    const NAN: Self = Self::NAN;
    const INFINITY: Self = Self::INFINITY;
    const EPSILON: f64 = Self::EPSILON as f64;
    const GUARD: Self = Self::from_bits(0x7fc0_dead);

    fn from_f32(value: f32) -> Self {
        value
    }

    fn bits(self) -> u64 {
        self.to_bits().into()
    }

    fn from_random(bits: u64) -> Self {
        (bits >> 40) as Self / (1 << 23) as Self - 1.0
    }
}

impl Scalar for f64 {
    const NAN: Self = Self::NAN;
    const INFINITY: Self = Self::INFINITY;
    const EPSILON: f64 = Self::EPSILON;
    const GUARD: Self = Self::from_bits(0x7ff8_dead_dead_dead);

    fn from_f32(value: f32) -> Self {
        value.into()
    }

    fn bits(self) -> u64 {
        self.to_bits()
    }

    fn from_random(bits: u64) -> Self {
        (bits >> 11) as Self / (1_u64 << 52) as Self - 1.0
    }
}

/// SplitMix64: enough randomness for test data, the same on every host.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Uniform on (-1, 1).
    pub fn real<T: Scalar>(&mut self) -> T {
        T::from_random(self.next())
    }

    /// Uniform on {-4, ..., 4}: sums of up to 2^20 products of two of them are exact in `f32`.
    pub fn integer<T: Scalar>(&mut self) -> T {
        T::from(self.below(9) as i8 - 4)
    }

    pub fn sign(&mut self, percent_active: usize) -> i8 {
        if self.below(100) >= percent_active { 0 } else { 1 - 2 * (self.next() & 1) as i8 }
    }
}

/// Where entry (i, j) of a test matrix lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layout {
    RowMajor,
    ColMajor,
    /// Rows contiguous, a gap between them.
    PaddedRows,
    /// Columns contiguous, a gap between them.
    PaddedCols,
    /// No two entries next to one another.
    Sparse,
}

pub const LAYOUTS: [Layout; 5] =
    [Layout::RowMajor, Layout::ColMajor, Layout::PaddedRows, Layout::PaddedCols, Layout::Sparse];

/// Guards before and after, more than any register tile is wide. None with `FC_TEST_TIGHT` set, for runs under the
/// address sanitizer, which then sees every access past a slice.
fn margin() -> usize {
    if std::env::var_os("FC_TEST_TIGHT").is_some() { 0 } else { 70 }
}

/// A matrix in a sea of guards.
#[derive(Debug, Clone)]
pub struct Guarded<T = f32> {
    pub buffer: Vec<T>,
    pub rows: usize,
    pub cols: usize,
    row_stride: usize,
    col_stride: usize,
    margin: usize,
}

impl<T: Scalar> Guarded<T> {
    pub fn new(layout: Layout, rows: usize, cols: usize, mut entry: impl FnMut() -> T) -> Self {
        let (row_stride, col_stride) = match layout {
            Layout::RowMajor => (cols, 1),
            Layout::ColMajor => (1, rows),
            Layout::PaddedRows => (cols + 3, 1),
            Layout::PaddedCols => (1, rows + 5),
            Layout::Sparse => (2 * cols + 3, 2),
        };
        let mut guarded = Self { buffer: Vec::new(), rows, cols, row_stride, col_stride, margin: margin() };
        guarded.buffer = vec![T::GUARD; guarded.extent() + 2 * guarded.margin];
        for i in 0..rows {
            for j in 0..cols {
                let place = guarded.place(i, j);
                guarded.buffer[place] = entry();
            }
        }
        guarded
    }

    pub fn vector(len: usize, entry: impl FnMut() -> T) -> Self {
        Self::new(Layout::RowMajor, 1, len, entry)
    }

    fn extent(&self) -> usize {
        if self.rows == 0 || self.cols == 0 {
            0
        } else {
            (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride + 1
        }
    }

    pub fn place(&self, i: usize, j: usize) -> usize {
        self.margin + i * self.row_stride + j * self.col_stride
    }

    pub fn view(&self) -> MatRef<'_, T> {
        let data = &self.buffer[self.margin..][..self.extent()];
        MatRef::from_slice_with_strides(data, self.rows, self.cols, self.row_stride, self.col_stride).unwrap()
    }

    pub fn view_mut(&mut self) -> MatMut<'_, T> {
        let extent = self.extent();
        let data = &mut self.buffer[self.margin..][..extent];
        MatMut::from_slice_with_strides(data, self.rows, self.cols, self.row_stride, self.col_stride).unwrap()
    }

    pub fn slice(&self) -> &[T] {
        &self.buffer[self.margin..][..self.extent()]
    }

    pub fn slice_mut(&mut self) -> &mut [T] {
        let extent = self.extent();
        &mut self.buffer[self.margin..][..extent]
    }

    /// The entries, row-major.
    pub fn entries(&self) -> Vec<T> {
        (0..self.rows).flat_map(|i| (0..self.cols).map(move |j| self.buffer[self.place(i, j)])).collect()
    }

    /// Whether all that is not an entry is as it was.
    pub fn check_guards(&self) -> Result<(), String> {
        let mut is_entry = vec![false; self.buffer.len()];
        for i in 0..self.rows {
            for j in 0..self.cols {
                is_entry[self.place(i, j)] = true;
            }
        }
        match (0..self.buffer.len()).find(|&p| !is_entry[p] && self.buffer[p].bits() != T::GUARD.bits()) {
            Some(place) => {
                Err(format!("element {} of the slice is no entry, but was written", place as i64 - self.margin as i64))
            }
            None => Ok(()),
        }
    }
}

/// gamma = (terms + 4) eps: twice the a-priori bound of a sum of `terms` products in any order, scaled and added to
/// another (a sum of n roundings errs by at most n eps/2 in first order).
pub fn gamma(terms: usize) -> f64 {
    gamma_in::<f32>(terms)
}

/// [`gamma`] of another type. In `f64` the other half of it covers the reference, which rounds as well.
pub fn gamma_in<T: Scalar>(terms: usize) -> f64 {
    (terms as f64 + 4.0) * T::EPSILON
}

/// |got - want| <= gamma * magnitude for each entry, magnitude being the sum of the absolute values of all terms. A
/// result that is finite where it should not be, or the other way round, or infinite with the wrong sign, fails before
/// any threshold.
pub fn compare<T: Scalar>(got: &[T], want: &[f64], magnitude: &[f64], gamma: f64) -> Result<(), String> {
    if got.len() != want.len() || got.len() != magnitude.len() {
        return Err(format!("{} results, {} expected, {} magnitudes", got.len(), want.len(), magnitude.len()));
    }
    for (i, ((&got, &want), &magnitude)) in got.iter().zip(want).zip(magnitude).enumerate() {
        let got: f64 = got.into();
        if !got.is_finite() || !want.is_finite() {
            if got == want || (got.is_nan() && want.is_nan()) {
                continue;
            }
            return Err(format!("entry {i}: got {got}, expected {want}"));
        }
        let (error, bound) = ((got - want).abs(), gamma * magnitude);
        // Written so that a NaN, of a bad magnitude say, fails.
        if !matches!(error.partial_cmp(&bound), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)) {
            return Err(format!("entry {i}: got {got}, expected {want}, off by {error:e}, allowed {bound:e}"));
        }
    }
    Ok(())
}

/// got = want, exactly.
pub fn compare_exactly<T: Scalar>(got: &[T], want: &[f64]) -> Result<(), String> {
    compare(got, want, &vec![0.0; want.len()], 0.0)
}

/// Runs `suite` once per instruction set of this host. `suite` returns how many cases it ran; none is a failure.
/// Asserts that `run` gives the bits `expected` with several threads, however small the parts. Every call takes the next
/// number of threads, so that a suite goes through all of them many times.
pub fn same_bits_on_threads<B: PartialEq>(
    executor: Executor,
    expected: &B,
    run: impl Fn(Executor, &mut Workspace) -> B,
) {
    const THREADS: [usize; 4] = [2, 3, 4, 7];
    thread_local! {
        static WORKSPACES: RefCell<(usize, [Workspace; THREADS.len()])> = RefCell::default();
    }
    WORKSPACES.with_borrow_mut(|(calls, workspaces)| {
        let index = *calls % THREADS.len();
        *calls += 1;
        let executor = executor.with_blocking(Blocking { share_ns: 0, ..executor.blocking() });
        let got = run(executor.with_threads(THREADS[index]), &mut workspaces[index]);
        assert!(got == *expected, "{}: other bits with {} threads", executor.isa(), THREADS[index]);
    });
}

pub fn for_each_isa(mut suite: impl FnMut(Executor) -> usize) {
    let executors = Executor::available();
    assert!(!executors.is_empty());
    for executor in executors {
        let cases = suite(executor);
        assert!(cases > 0, "no case ran on {}", executor.isa());
        println!("{}: {cases} cases", executor.isa());
    }
}

mod tests {
    use super::*;

    #[test]
    fn comparison_accepts_what_is_right() {
        compare(&[1.0, 0.0, f32::NAN], &[1.0 + 1e-7, 0.0, f64::NAN], &[1.0, 1.0, 1.0], gamma(0)).unwrap();
        compare(&[f32::INFINITY, f32::NEG_INFINITY], &[f64::INFINITY, f64::NEG_INFINITY], &[1.0; 2], 0.0).unwrap();
        compare_exactly(&[3.0, -0.0], &[3.0, 0.0]).unwrap();
    }

    #[test]
    fn comparison_rejects_what_is_wrong() {
        let rejects = |got: f32, want: f64, magnitude: f64| {
            assert!(compare(&[got], &[want], &[magnitude], gamma(10)).is_err(), "{got} for {want} of {magnitude}");
            assert!(compare(&[1.0, got], &[1.0, want], &[1.0, magnitude], gamma(10)).is_err());
        };
        rejects(1.001, 1.0, 1.0);
        // Any error at all where 0 is expected of terms that are 0.
        rejects(1e-30, 0.0, 0.0);
        rejects(f32::MIN_POSITIVE, 0.0, 0.0);
        // Nothing but a NaN for a NaN, nothing but that infinity for an infinity, and neither for a number.
        rejects(f32::NAN, 0.0, 1e30);
        rejects(f32::NAN, 1.0, f64::INFINITY);
        rejects(0.0, f64::NAN, 1.0);
        rejects(f32::INFINITY, 1.0, f64::INFINITY);
        rejects(f32::MAX, f64::INFINITY, f64::INFINITY);
        rejects(f32::INFINITY, f64::NEG_INFINITY, 1.0);
        rejects(f32::NAN, f64::INFINITY, 1.0);
        rejects(1.0, 1.0, f64::NAN);
        assert!(compare(&[1.0], &[1.0, 2.0], &[1.0, 1.0], 1.0).is_err());
        assert!(compare::<f32>(&[], &[1.0], &[1.0], 1.0).is_err());
        assert!(compare_exactly(&[1.0 + f32::EPSILON], &[1.0]).is_err());
        assert!(compare_exactly(&[f32::MIN_POSITIVE], &[0.0]).is_err());
    }

    #[test]
    fn guards_notice_any_write() {
        for layout in LAYOUTS {
            for (rows, cols) in [(3, 4), (1, 1), (4, 1), (1, 5), (0, 3)] {
                let matrix = Guarded::new(layout, rows, cols, || 1.0);
                matrix.check_guards().unwrap();
                let entries: Vec<usize> =
                    (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))).map(|(i, j)| matrix.place(i, j)).collect();
                assert_eq!(matrix.entries(), vec![1.0; rows * cols]);
                for place in 0..matrix.buffer.len() {
                    for value in [0.0, f32::NAN] {
                        let mut written = matrix.clone();
                        written.buffer[place] = value;
                        assert_eq!(written.check_guards().is_ok(), entries.contains(&place), "{layout:?} {place}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "no case ran")]
    fn a_suite_without_cases_fails() {
        for_each_isa(|_| 0);
    }

    #[test]
    fn data_is_what_it_says() {
        let mut random = Random(1);
        let integers: Vec<f32> = (0..1000).map(|_| random.integer()).collect();
        assert!(integers.iter().all(|i| i.fract() == 0.0 && i.abs() <= 4.0) && integers.contains(&0.0));
        let reals: Vec<f32> = (0..1000).map(|_| random.real()).collect();
        assert!(reals.iter().all(|r| r.abs() <= 1.0));
        assert!(reals.iter().sum::<f32>().abs() < 100.0 && reals.iter().any(|r| r.abs() > 0.9));
        let signs: Vec<i8> = (0..1000).map(|_| random.sign(30)).collect();
        let zeros = signs.iter().filter(|&&s| s == 0).count();
        assert!((600..800).contains(&zeros) && signs.contains(&-1) && signs.contains(&1));
    }
}
