//! Fully connected networks and their gradients, for any depth and activation.

use feature_contamination_kernels::{Executor, MatMut, MatRef, Pass, ShapeError, Workspace};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::activation::{Function, with_function};
use super::{Activation, Real};
use crate::error::SpecError;
use crate::rng::{Stream, stream};

/// Size and kind of a network, of one output unless it is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Number of inputs.
    pub inputs: usize,
    /// Neurons of each hidden layer.
    pub hidden: usize,
    /// Number of linear layers, at least 2.
    pub layers: usize,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// Whether layers have biases.
    pub bias: bool,
    /// Output weights ±1/hidden, the first half positive, and not trained; nor is the output's bias.
    pub frozen_output: bool,
}

impl Architecture {
    /// (inputs, outputs) of every layer.
    pub fn shapes(&self) -> Vec<(usize, usize)> {
        self.shapes_to(1)
    }

    fn shapes_to(&self, outputs: usize) -> Vec<(usize, usize)> {
        (0..self.layers)
            .map(|layer| {
                let inputs = if layer == 0 { self.inputs } else { self.hidden };
                (inputs, if layer + 1 == self.layers { outputs } else { self.hidden })
            })
            .collect()
    }

    /// # Errors
    /// A size of 0, or fewer than two layers.
    pub fn validate(&self) -> Result<(), SpecError> {
        for (field, value, least) in
            [("inputs", self.inputs, 1), ("hidden", self.hidden, 1), ("layers", self.layers, 2)]
        {
            if value < least {
                return Err(SpecError::new(field, value, format!("at least {least}")));
            }
        }
        Ok(())
    }
}

/// A layer x ↦ W x + b.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear<T = f32> {
    /// Number of inputs.
    pub inputs: usize,
    /// W, \[outputs × inputs\], row-major.
    pub weight: Vec<T>,
    /// b, \[outputs\].
    pub bias: Option<Vec<T>>,
}

impl<T> Linear<T> {
    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.weight.len() / self.inputs.max(1)
    }
}

/// h(x) = W_L act(… act(W₁ x + b₁) …) + b_L.
#[derive(Clone, Debug, PartialEq)]
pub struct Network<T = f32> {
    /// The layers, the one that reads the input first; at least two.
    pub layers: Vec<Linear<T>>,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// Whether the last layer stays as it is.
    pub frozen_output: bool,
}

impl<T: Real> Network<T> {
    /// PyTorch's default: weights and biases uniform on ±1/√inputs. A frozen output has ±1/hidden in halves, its bias
    /// drawn like the others.
    ///
    /// # Errors
    /// An architecture that is none.
    pub fn init(architecture: &Architecture, seed: u64) -> Result<Self, SpecError> {
        Self::init_to(architecture, 1, seed)
    }

    /// [`Network::init`] with this many outputs: a representation to be learnt. The numbers are those of one output where
    /// both have them.
    ///
    /// # Errors
    /// An architecture that is none, no output, or a frozen output of more than one.
    pub fn init_to(architecture: &Architecture, outputs: usize, seed: u64) -> Result<Self, SpecError> {
        architecture.validate()?;
        if outputs == 0 || (outputs > 1 && architecture.frozen_output) {
            return Err(SpecError::new("outputs", outputs, "at least 1, and 1 if the output layer is frozen"));
        }
        let shapes = architecture.shapes_to(outputs);
        let mut layers: Vec<Linear<T>> = Vec::with_capacity(shapes.len());
        for (index, (inputs, outputs)) in shapes.into_iter().enumerate() {
            let bound = 1.0 / (inputs as f64).sqrt();
            let mut rng = stream(seed, Stream::Mlp, 0, index as u64);
            let mut draw =
                |len: usize| -> Vec<T> { (0..len).map(|_| T::of(rng.random_range(-bound..bound))).collect() };
            let weight = draw(outputs * inputs);
            layers.push(Linear { inputs, weight, bias: architecture.bias.then(|| draw(outputs)) });
        }
        if architecture.frozen_output
            && let Some(output) = layers.last_mut()
        {
            let hidden = architecture.hidden;
            for (k, a) in output.weight.iter_mut().enumerate() {
                *a = T::of(if k < hidden / 2 { 1.0 } else { -1.0 } / hidden as f64);
            }
        }
        Ok(Self { layers, activation: architecture.activation, frozen_output: architecture.frozen_output })
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, Linear::outputs)
    }

    /// Layers that are trained.
    pub fn trained(&self) -> usize {
        self.layers.len() - usize::from(self.frozen_output)
    }
}

/// The layers' gradients, in their own shapes; 0 for what is not trained.
pub type Gradients<T> = Vec<Linear<T>>;

/// Gradients of 0 in the shapes of the layers.
pub fn zero_gradients<T: Real>(network: &Network<T>) -> Gradients<T> {
    let zeros = |values: &Vec<T>| vec![T::ZERO; values.len()];
    let zero = |layer: &Linear<T>| Linear {
        inputs: layer.inputs,
        weight: zeros(&layer.weight),
        bias: layer.bias.as_ref().map(zeros),
    };
    network.layers.iter().map(zero).collect()
}

/// Forward and backward pass by dense products: any depth, any activation.
#[derive(Debug, Default)]
pub struct Dense<T> {
    /// act(s) of every hidden layer, \[N × hidden\].
    hidden: Vec<Vec<T>>,
    /// s, then act′(s), then ∂L/∂s of every hidden layer.
    slope: Vec<Vec<T>>,
    /// Of hidden biases, and of output weights.
    sums: [ColumnSums<T>; 2],
    workspace: Workspace,
}

impl<T: Real> Dense<T> {
    /// No buffers yet.
    pub fn new() -> Self {
        Self { hidden: vec![], slope: vec![], sums: Default::default(), workspace: Workspace::new() }
    }

    /// h_i of every row of `x`, \[N × inputs\], into `output`, \[N × outputs\].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(
        &mut self,
        executor: Executor,
        network: &Network<T>,
        x: MatRef<'_, T>,
        output: &mut [T],
    ) -> Result<(), ShapeError> {
        let n = x.rows();
        let (last, hidden_layers) = match network.layers.split_last() {
            Some(split) if !split.1.is_empty() => split,
            _ => return Ok(()),
        };
        self.hidden.resize_with(hidden_layers.len(), Vec::new);
        self.slope.resize_with(hidden_layers.len(), Vec::new);
        for (index, layer) in hidden_layers.iter().enumerate() {
            let width = layer.outputs();
            let (before, hidden) = self.hidden.split_at_mut(index);
            let (hidden, slope) = (&mut hidden[0], &mut self.slope[index]);
            hidden.resize(n * width, T::ZERO);
            slope.resize(n * width, T::ZERO);
            let input = match before.last() {
                None => x,
                Some(before) => MatRef::from_row_major(before, n, layer.inputs)?,
            };
            executor.gemm(
                T::ONE,
                input,
                MatRef::from_row_major(&layer.weight, width, layer.inputs)?.t(),
                T::ZERO,
                MatMut::from_row_major(slope, n, width)?,
                &mut self.workspace,
            )?;
            // One output is read while the last hidden layer's rows are at hand, several are a product of their own.
            let head = (index + 1 == hidden_layers.len() && last.outputs() == 1).then(|| Head {
                weight: &last.weight,
                bias: last.bias.as_ref().map_or(T::ZERO, |bias| bias[0]),
                output: &mut *output,
            });
            let bias = layer.bias.as_deref();
            with_function!(network.activation, act => executor.run(Activate { act, width, bias, slope, hidden, head }));
        }
        let outputs = last.outputs();
        if outputs > 1 {
            executor.gemm(
                T::ONE,
                MatRef::from_row_major(&self.hidden[hidden_layers.len() - 1], n, last.inputs)?,
                MatRef::from_row_major(&last.weight, outputs, last.inputs)?.t(),
                T::ZERO,
                MatMut::from_row_major(output, n, outputs)?,
                &mut self.workspace,
            )?;
            if let Some(bias) = &last.bias {
                output.chunks_exact_mut(outputs).for_each(|h| h.iter_mut().zip(bias).for_each(|(h, &b)| *h += b));
            }
        }
        Ok(())
    }

    /// The gradients Σ_i Σ_c δ_ic ∂h_ic/∂θ, δ = ∂L/∂h, \[N × outputs\], of what is trained, after [`Dense::forward`] on the
    /// same `x`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn backward(
        &mut self,
        executor: Executor,
        network: &Network<T>,
        x: MatRef<'_, T>,
        delta: &[T],
        gradients: &mut Gradients<T>,
    ) -> Result<(), ShapeError> {
        let n = x.rows();
        let hidden_layers = network.layers.len() - 1;
        let (gradient_hidden, gradient_output) = gradients.split_at_mut(hidden_layers);
        let (output, gradient_output) = (&network.layers[hidden_layers], &mut gradient_output[0]);
        let outputs = output.outputs();
        if outputs > 1 && !network.frozen_output {
            executor.gemm(
                T::ONE,
                MatRef::from_row_major(delta, n, outputs)?.t(),
                MatRef::from_row_major(&self.hidden[hidden_layers - 1], n, output.inputs)?,
                T::ZERO,
                MatMut::from_row_major(&mut gradient_output.weight, outputs, output.inputs)?,
                &mut self.workspace,
            )?;
            if let Some(bias) = &mut gradient_output.bias {
                bias.fill(T::ZERO);
                delta.chunks_exact(outputs).for_each(|d| bias.iter_mut().zip(d).for_each(|(g, &d)| *g += d));
            }
        }
        for index in (0..hidden_layers).rev() {
            let layer = &network.layers[index];
            let width = layer.outputs();
            let gradient = &mut gradient_hidden[index];
            let (slope, above) = self.slope.split_at_mut(index + 1);
            let slope = &mut slope[index];
            let [sums, output_sums] = &mut self.sums;
            let bias = gradient.bias.as_deref_mut().map(|bias| (bias, sums));
            if index + 1 == hidden_layers && outputs == 1 {
                let hidden = &self.hidden[index];
                let trained = (!network.frozen_output).then_some((&mut *gradient_output, output_sums));
                executor.run(FromOutput { weight: &output.weight, delta, hidden, slope, bias, trained });
            } else {
                // ∂L/∂a = ∂L/∂s of the layer above, times its weights; a is not needed again.
                let into = &mut self.hidden[index];
                let next = &network.layers[index + 1];
                let above = above.first().map_or(delta, Vec::as_slice);
                executor.gemm(
                    T::ONE,
                    MatRef::from_row_major(above, n, next.outputs())?,
                    MatRef::from_row_major(&next.weight, next.outputs(), width)?,
                    T::ZERO,
                    MatMut::from_row_major(into, n, width)?,
                    &mut self.workspace,
                )?;
                executor.run(FromAbove { width, from: into, slope, bias });
            }
            let input = match index {
                0 => x,
                _ => MatRef::from_row_major(&self.hidden[index - 1], n, layer.inputs)?,
            };
            executor.gemm(
                T::ONE,
                MatRef::from_row_major(slope, n, width)?.t(),
                input,
                T::ZERO,
                MatMut::from_row_major(&mut gradient.weight, width, layer.inputs)?,
                &mut self.workspace,
            )?;
        }
        Ok(())
    }
}

/// Partial sums that a vectorised sum is made of: a register of `f32`.
const LANES: usize = 16;

/// Σ_k a_k b_k.
#[inline(always)]
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut sums = [T::ZERO; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = a.mul_add(b, *sum);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    a_rest.iter().zip(b_rest).fold(sums[0], |sum, (&a, &b)| sum + a * b)
}

/// Partial sums of PyTorch's: each is made of blocks of 2^power terms, of 2^power blocks, and so on.
const LEVELS: usize = 4;

/// The power for so many terms.
fn cascade_power(terms: usize) -> usize {
    (terms.next_power_of_two().trailing_zeros() as usize / LEVELS).max(4)
}

/// Σ of rows of R, column by column, as PyTorch cascades it.
#[inline(always)]
fn cascade<T: Real, const R: usize>(rows: impl ExactSizeIterator<Item = [T; R]>) -> [T; R] {
    let add = |a: &mut [T; R], b: &[T; R]| a.iter_mut().zip(b).for_each(|(a, &b)| *a += b);
    let power = cascade_power(rows.len());
    let mut levels = [[T::ZERO; R]; LEVELS];
    for (i, row) in rows.enumerate() {
        add(&mut levels[0], &row);
        // A full block goes up a level, and with it every level that it fills.
        for level in 1..LEVELS {
            if !(i + 1).is_multiple_of(1 << (level * power)) {
                break;
            }
            let below = std::mem::replace(&mut levels[level - 1], [T::ZERO; R]);
            add(&mut levels[level], &below);
        }
    }
    let [mut sums, above @ ..] = levels;
    above.iter().for_each(|level| add(&mut sums, level));
    sums
}

/// Σ_i x_i in the order in which PyTorch adds a vector up: 4 interleaved rows of 8 lanes, each a cascade.
///
/// The output bias's gradient is Σ_i δ_i, and under the hinge δ_i = ∓1/N: at first the sum over balanced classes is 0 but
/// for rounding. Adam makes steps of full length of what rounding leaves, always the same way, so to come to PyTorch's
/// numbers one has to round as it does. Hidden biases' gradients are such sums too, see [`ColumnSums`].
pub(super) fn sum_as_pytorch<T: Real>(x: &[T]) -> T {
    const WIDTH: usize = 8;
    const ROWS: usize = 4;
    let (rows, rest) = x.as_chunks::<{ WIDTH * ROWS }>();
    let sums = cascade(rows.iter().copied());
    let (vectors, rest) = rest.as_chunks::<WIDTH>();
    let (sums, _) = sums.as_chunks::<WIDTH>();
    let mut lanes = [T::ZERO; WIDTH];
    for vector in sums[..1].iter().chain(vectors).chain(&sums[1..]) {
        lanes.iter_mut().zip(vector).for_each(|(lane, &x)| *lane += x);
    }
    rest.iter().chain(&lanes).fold(T::ZERO, |sum, &x| sum + x)
}

/// Σ_i x_ik of a matrix that comes row by row, in the order in which PyTorch sums a contiguous matrix over its rows: every
/// column is a cascade; of those beyond the last multiple of 32, four interleaved ones.
///
/// Under the hinge, of a hidden neuron with act′ of two values, the bias's gradient is a_k times a count of signs, and
/// where the count is 0, what rounding leaves moves Adam as it moves the output bias.
#[derive(Debug, Default)]
pub(super) struct ColumnSums<T> {
    width: usize,
    rows: usize,
    row: usize,
    /// \[level\]\[column\].
    levels: Vec<T>,
    /// What the columns beyond have, row by row.
    beyond: Vec<T>,
}

impl<T: Real> ColumnSums<T> {
    const COLUMNS: usize = 32;

    fn columns(&self) -> usize {
        self.width - self.width % Self::COLUMNS
    }

    /// Begins with 0 for `rows` rows of `width`.
    #[inline(always)]
    pub(super) fn begin(&mut self, rows: usize, width: usize) {
        (self.width, self.rows, self.row) = (width, rows, 0);
        self.levels.clear();
        self.levels.resize(LEVELS * self.columns(), T::ZERO);
        self.beyond.clear();
    }

    /// Adds a row.
    #[inline(always)]
    pub(super) fn add(&mut self, row: impl Iterator<Item = T> + Clone) {
        let (columns, power) = (self.columns(), cascade_power(self.rows));
        self.levels[..columns].iter_mut().zip(row.clone()).for_each(|(sum, x)| *sum += x);
        if columns < self.width {
            self.beyond.extend(row.skip(columns));
        }
        self.row += 1;
        for level in 1..LEVELS {
            if !self.row.is_multiple_of(1 << (level * power)) {
                break;
            }
            let (below, above) = self.levels.split_at_mut(level * columns);
            for (below, above) in below[(level - 1) * columns..].iter_mut().zip(above) {
                *above += std::mem::replace(below, T::ZERO);
            }
        }
    }

    /// The sums, \[width\].
    #[inline(always)]
    pub(super) fn end(&mut self, out: &mut [T]) {
        let columns = self.columns();
        out[..columns].copy_from_slice(&self.levels[..columns]);
        for level in 1..LEVELS {
            out[..columns].iter_mut().zip(&self.levels[level * columns..]).for_each(|(sum, &x)| *sum += x);
        }
        let beyond = self.width - columns;
        for (k, out) in out[columns..].iter_mut().enumerate() {
            let at = |i: usize| self.beyond[i * beyond + k];
            let fours = self.rows / 4;
            let mut sums = cascade((0..fours).map(|i| [at(4 * i), at(4 * i + 1), at(4 * i + 2), at(4 * i + 3)]));
            (4 * fours..self.rows).for_each(|i| sums[0] += at(i));
            *out = sums[0] + sums[1] + sums[2] + sums[3];
        }
    }
}

/// The output layer, read while the last hidden layer's rows are at hand.
struct Head<'a, T> {
    weight: &'a [T],
    bias: T,
    output: &'a mut [T],
}

/// s ← s + b; hidden ← act(s), slope ← act′(s), and the output if this is the last hidden layer.
struct Activate<'a, A, T> {
    act: A,
    width: usize,
    bias: Option<&'a [T]>,
    slope: &'a mut [T],
    hidden: &'a mut [T],
    head: Option<Head<'a, T>>,
}

impl<A: Function, T: Real> Pass for Activate<'_, A, T> {
    #[inline(always)]
    fn run(self) {
        let Self { act, width, bias, slope, hidden, mut head } = self;
        for (i, (slope, hidden)) in slope.chunks_exact_mut(width).zip(hidden.chunks_exact_mut(width)).enumerate() {
            if let Some(bias) = bias {
                slope.iter_mut().zip(bias).for_each(|(s, &b)| *s += b);
            }
            for (slope, hidden) in slope.iter_mut().zip(&mut *hidden) {
                (*hidden, *slope) = act.at(*slope);
            }
            if let Some(head) = &mut head {
                head.output[i] = dot(hidden, head.weight) + head.bias;
            }
        }
    }
}

/// ∂L/∂s_ik = δ_i a_k act′(s_ik); its sums over i are the biases' gradient, and Σ_i δ_i act(s_ik) the output weights'.
struct FromOutput<'a, T> {
    weight: &'a [T],
    delta: &'a [T],
    hidden: &'a [T],
    slope: &'a mut [T],
    bias: Option<(&'a mut [T], &'a mut ColumnSums<T>)>,
    trained: Option<(&'a mut Linear<T>, &'a mut ColumnSums<T>)>,
}

impl<T: Real> Pass for FromOutput<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { weight, delta, hidden, slope, mut bias, trained } = self;
        let width = weight.len();
        // In blocks: of one sum of N terms, rounding makes more than PyTorch's has.
        let mut output = trained.map(|(linear, sums)| {
            if let Some(bias) = &mut linear.bias {
                bias[0] = sum_as_pytorch(delta);
            }
            sums.begin(delta.len(), width);
            (linear.weight.as_mut_slice(), sums)
        });
        if let Some((_, sums)) = &mut bias {
            sums.begin(delta.len(), width);
        }
        for ((&d, hidden), slope) in delta.iter().zip(hidden.chunks_exact(width)).zip(slope.chunks_exact_mut(width)) {
            slope.iter_mut().zip(weight).for_each(|(s, &a)| *s *= d * a);
            if let Some((_, sums)) = &mut output {
                sums.add(hidden.iter().map(|&h| d * h));
            }
            if let Some((_, sums)) = &mut bias {
                sums.add(slope.iter().copied());
            }
        }
        for (out, sums) in [bias, output].into_iter().flatten() {
            sums.end(out);
        }
    }
}

/// ∂L/∂s = ∂L/∂a · act′(s), and the biases' gradient.
struct FromAbove<'a, T> {
    width: usize,
    from: &'a [T],
    slope: &'a mut [T],
    bias: Option<(&'a mut [T], &'a mut ColumnSums<T>)>,
}

impl<T: Real> Pass for FromAbove<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { width, from, slope, mut bias } = self;
        if let Some((_, sums)) = &mut bias {
            sums.begin(slope.len() / width, width);
        }
        for (from, slope) in from.chunks_exact(width).zip(slope.chunks_exact_mut(width)) {
            slope.iter_mut().zip(from).for_each(|(s, &d)| *s *= d);
            if let Some((_, sums)) = &mut bias {
                sums.add(slope.iter().copied());
            }
        }
        if let Some((bias, sums)) = bias {
            sums.end(bias);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_rounds_as_pytorchs() {
        // torch.sum of ±1/n, the first half negative, in single precision (PyTorch 2.15 on x86-64).
        for (n, expected) in [
            (1000, 1.839_362e-8_f32),
            (100, 0.0),
            (24, 7.450_581e-9),
            (70, 3.725_290_3e-9),
            (1001, 0.000_998_982_6),
            (2000, 1.396_983_9e-8),
            (37, 0.027_027_026),
        ] {
            let x: Vec<f32> = (0..n).map(|i| if i < n / 2 { -1.0 } else { 1.0 } / n as f32).collect();
            assert_eq!(sum_as_pytorch(&x), expected, "{n}");
        }
        // Through all levels: integers add up without rounding.
        let x: Vec<f32> = (0..70_001).map(|i| (i % 7) as f32).collect();
        assert_eq!(sum_as_pytorch(&x), x.iter().sum());
    }

    /// Column sums of a matrix.
    fn column_sums(rows: usize, width: usize, at: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let (mut sums, mut out) = (ColumnSums::default(), vec![f32::NAN; width]);
        // Twice, to see that nothing is left over.
        for _ in 0..2 {
            sums.begin(rows, width);
            (0..rows).for_each(|i| sums.add((0..width).map(|k| at(i, k))));
            sums.end(&mut out);
        }
        out
    }

    #[test]
    fn column_sums_round_as_pytorchs() {
        // torch.sum(0) of x_ik = ((i (k + 3)) mod 7 − 3) / 7 in single precision (PyTorch 2.15 on x86-64, any threads).
        let at = |i: usize, k: usize| (((i * (k + 3)) % 7) as f32 - 3.0) / 7.0;
        for (rows, width, expected) in [
            (1000, 44, &[(0, -0.142_857_37_f32), (31, 0.285_713_97), (33, -0.428_571_22), (43, 2.682_209e-7)][..]),
            (1000, 256, &[(33, -0.428_571_05), (255, 0.285_713_97)]),
            (333, 40, &[(31, 0.428_571_3), (33, -0.857_142_7), (39, -142.714_25)]),
            (20, 31, &[(0, -0.142_857_13), (30, 0.142_857_15)]),
            (5000, 71, &[(31, -1.341_104_5e-6), (41, -0.571_427_2), (70, -0.428_572_77)]),
        ] {
            let found = column_sums(rows, width, at);
            for &(k, expected) in expected {
                assert_eq!(found[k], expected, "{rows} x {width}, column {k}");
            }
        }
    }

    #[test]
    fn column_sums_add_up() {
        for (rows, width) in [(1, 1), (3, 5), (16, 32), (70_001, 33), (257, 96), (1000, 71), (5, 31)] {
            let found = column_sums(rows, width, |i, k| ((i * (k + 3)) % 7) as f32);
            for (k, found) in found.iter().enumerate() {
                let expected: usize = (0..rows).map(|i| (i * (k + 3)) % 7).sum();
                assert_eq!(*found, expected as f32, "{rows} x {width}, column {k}");
            }
        }
    }
}
