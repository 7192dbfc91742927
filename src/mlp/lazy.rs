//! Hinge, ReLU, frozen output: the passes of [`Fused`](super::fused::Fused), of which only what can have changed is
//! computed anew.
//!
//! A step moves v_k by Δ_k, so a pre-activation ⟨v_k, x_i⟩ by at most ‖Δ_k‖ ‖x_i‖, and an output by at most Σ_k |a_k| ‖Δ_k‖
//! ‖x_i‖. Hence, with the way a neuron has gone, D_k = Σ_t ‖Δ_k⁽ᵗ⁾‖, a bit of the mask whose pre-activation was s at D_k = D
//! stands as long as D_k < D + |s| / ‖x_i‖; and whether the hinge is active on a sample stands while the way S = Σ_k |a_k|
//! D_k is below what it was plus |1 − y h| / ‖x_i‖. Bits are looked at by blocks of 64 samples of a neuron. A bit that turns
//! changes G_k by one row; if a sample turns, G is summed anew over the active ones. Nothing is approximated. SGD's steps
//! are short, and of 10⁴ of them few turn anything. Where steps are long, plain passes take over.

use feature_contamination_kernels::{Activation, Executor, Mask, MatMut, MatRef, Pass, ShapeError, Workspace};

use super::network::{Gradients, Network};
use crate::snapshot::Field;

/// Samples of a block, the bits of a word.
const BLOCK: usize = 64;
/// Plain steps before laziness is tried again.
const PLAIN_STEPS: u32 = 64;
/// Share of a bound that is kept against rounding: relative, and in units of the way.
const KEPT: f32 = 0.999;
const ROUNDING: f32 = 1e-6;

/// What is known, and until when it holds.
pub(super) struct Lazy {
    width: usize,
    samples: usize,
    /// x by blocks of samples, \[block\]\[feature\]\[64\], 0 past the last sample.
    columns: Vec<f32>,
    /// 1 / ‖x_i‖.
    reach: Vec<f32>,
    y: Vec<f32>,
    /// v_k at the last pass, the bias last, \[m × width\].
    v: Vec<f32>,
    /// D_k.
    way: Vec<f64>,
    /// S.
    output_way: f64,
    /// D_k from which the word of (block, neuron) must be looked at, \[block\]\[neuron\].
    look: Vec<f64>,
    words: Vec<u64>,
    mask: Mask,
    turned: Vec<(usize, u64)>,
    /// S from which a sample must be looked at.
    sample_look: Vec<f64>,
    /// y_i 1[y_i h_i ≤ 1].
    signs: Vec<i8>,
    /// G_k, \[m × width\].
    g: Vec<f64>,
    plain: u32,
    fresh: bool,
    buffers: Buffers,
}

#[derive(Default)]
struct Buffers {
    due: Vec<usize>,
    rows: Vec<f32>,
    output: Vec<f32>,
    mask: Mask,
    g: Vec<f32>,
    workspace: Workspace,
}

impl Lazy {
    /// For samples `x`, \[N × width\], the last column 1 if there are biases.
    pub(super) fn new(x: &[f32], width: usize, y: &[f32], neurons: usize) -> Self {
        let samples = y.len();
        let blocks = samples.div_ceil(BLOCK);
        let mut columns = vec![0.0; blocks * width * BLOCK];
        for (i, row) in x.chunks_exact(width).enumerate() {
            let block = &mut columns[i / BLOCK * width * BLOCK..];
            row.iter().enumerate().for_each(|(j, &x)| block[j * BLOCK + i % BLOCK] = x);
        }
        let norm = |row: &[f32]| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        Self {
            width,
            samples,
            columns,
            reach: x.chunks_exact(width).map(|row| (1.0 / norm(row).max(1e-30)) as f32).collect(),
            y: y.to_vec(),
            v: vec![0.0; neurons * width],
            way: vec![0.0; neurons],
            output_way: 0.0,
            look: vec![0.0; blocks * neurons],
            words: vec![0; blocks * neurons],
            mask: Mask::new(samples, neurons),
            turned: vec![],
            sample_look: vec![0.0; samples],
            signs: vec![0; samples],
            g: vec![0.0; neurons * width],
            plain: 0,
            fresh: true,
            buffers: Buffers::default(),
        }
    }

    /// Lists what the next step depends on; the mask has the bits of the words.
    pub(super) fn visit(&mut self, visit: &mut dyn FnMut(&str, Field<'_>)) {
        let mut flags = [u64::from(self.plain), u64::from(self.fresh)];
        let mut way = [self.output_way];
        visit("lazy.flags", Field::U64(&mut flags));
        visit("lazy.output_way", Field::F64(&mut way));
        visit("lazy.v", Field::F32(&mut self.v));
        visit("lazy.way", Field::F64(&mut self.way));
        visit("lazy.look", Field::F64(&mut self.look));
        visit("lazy.words", Field::U64(&mut self.words));
        visit("lazy.sample_look", Field::F64(&mut self.sample_look));
        visit("lazy.signs", Field::I8(&mut self.signs));
        visit("lazy.g", Field::F64(&mut self.g));
        self.plain = u32::try_from(flags[0]).unwrap_or(u32::MAX);
        self.fresh = flags[1] != 0;
        self.output_way = way[0];
    }

    /// Makes the mask anew from the words, after a [visit](Lazy::visit) that has changed these. What no step leaves, and would
    /// lead out of the samples, is taken out of them.
    pub(super) fn restore_mask(&mut self) {
        let m = self.way.len();
        if !self.samples.is_multiple_of(BLOCK) {
            let last = self.words.len() - m;
            self.words[last..].iter_mut().for_each(|word| *word &= (1 << (self.samples % BLOCK)) - 1);
        }
        self.signs.iter_mut().for_each(|sign| *sign = sign.signum());
        self.mask.resize(self.samples, m);
        for i in 0..self.samples {
            for k in 0..m {
                if self.words[i / BLOCK * m + k] >> (i % BLOCK) & 1 == 1 {
                    self.mask.set(i, k, true);
                }
            }
        }
    }

    /// h_i of the samples at the weights of the last step's beginning.
    pub(super) fn outputs(
        &mut self,
        executor: Executor,
        network: &Network<f32>,
        x: MatRef<'_, f32>,
        output: &mut [f32],
    ) -> Result<(), ShapeError> {
        let last = &network.layers[1];
        let v = MatRef::from_row_major(&self.v, last.inputs, self.width)?;
        let Buffers { mask, workspace, .. } = &mut self.buffers;
        executor.forward(Activation::Relu, x, v, &last.weight, output, mask, workspace)?;
        let bias = last.bias.as_ref().map_or(0.0, |bias| bias[0]);
        output.iter_mut().for_each(|h| *h += bias);
        Ok(())
    }

    /// The gradient of the mean hinge loss over the samples `x`, and whether all weights were finite.
    pub(super) fn gradient(
        &mut self,
        executor: Executor,
        network: &Network<f32>,
        x: MatRef<'_, f32>,
        gradients: &mut Gradients<f32>,
    ) -> Result<bool, ShapeError> {
        let (first, last) = (&network.layers[0], &network.layers[1]);
        let (m, width) = (last.inputs, self.width);
        self.move_to(first.inputs, &first.weight, first.bias.as_deref(), &last.weight);
        if !self.output_way.is_finite() {
            return Ok(false);
        }
        if self.plain > 0 {
            self.plain -= 1;
            self.signs_of_all(executor, network, x)?;
            self.sum(executor, x)?;
            // What is known is out of date when laziness begins anew.
            self.fresh = true;
        } else {
            let words = self.words.len();
            self.turned.clear();
            if self.fresh {
                // Plain steps have left another mask.
                self.words.fill(0);
                self.mask.resize(self.samples, m);
            }
            let looked = &mut 0;
            executor.run(Look {
                fresh: self.fresh,
                width,
                columns: &self.columns,
                reach: &self.reach,
                v: &self.v,
                way: &self.way,
                look: &mut self.look,
                words: &self.words,
                turned: &mut self.turned,
                looked,
            });
            let many = !self.fresh && 4 * *looked > words;
            for &(at, word) in &self.turned {
                let (block, k) = (at / m, at % m);
                let mut bits = self.words[at] ^ word;
                self.words[at] = word;
                let g = &mut self.g[k * width..][..width];
                while bits != 0 {
                    let i = block * BLOCK + bits.trailing_zeros() as usize;
                    let on = word >> (i % BLOCK) & 1 == 1;
                    bits &= bits - 1;
                    self.mask.set(i, k, on);
                    let by = f64::from(self.signs[i]) * if on { 1.0 } else { -1.0 };
                    if by != 0.0 {
                        let row = &x.data()[i * width..][..width];
                        g.iter_mut().zip(row).for_each(|(g, &x)| *g += by * f64::from(x));
                    }
                }
            }
            if self.look_at_samples(executor, network, x)? || self.fresh {
                self.sum(executor, x)?;
            }
            self.fresh = false;
            if many {
                self.plain = PLAIN_STEPS;
            }
        }
        let n = self.samples as f64;
        let gradient = &mut gradients[0];
        for (k, (g, &a)) in self.g.chunks_exact(width).zip(&last.weight).enumerate() {
            let scale = -f64::from(a) / n;
            let out = &mut gradient.weight[k * first.inputs..][..first.inputs];
            out.iter_mut().zip(g).for_each(|(out, g)| *out = (scale * g) as f32);
            if let Some(bias) = &mut gradient.bias {
                bias[k] = (scale * g[first.inputs]) as f32;
            }
        }
        Ok(true)
    }

    /// Takes the weights over and adds up how far they have gone.
    fn move_to(&mut self, inputs: usize, weight: &[f32], bias: Option<&[f32]>, a: &[f32]) {
        let width = self.width;
        self.v.resize(weight.len() / inputs * width, 0.0);
        let rows = self.v.chunks_exact_mut(width).zip(weight.chunks_exact(inputs)).zip(self.way.iter_mut().zip(a));
        for (k, ((v, w), (way, &a))) in rows.enumerate() {
            let mut square = 0.0f64;
            for (v, &w) in v.iter_mut().zip(w.iter().chain(bias.map(|bias| &bias[k]))) {
                square += f64::from(w - *v).powi(2);
                *v = w;
            }
            // The subtraction rounds.
            let step = square.sqrt() * 1.000_001;
            *way += step;
            self.output_way += f64::from(a.abs()) * step;
        }
    }

    /// Looks at the samples that may have turned; whether any has.
    fn look_at_samples(
        &mut self,
        executor: Executor,
        network: &Network<f32>,
        x: MatRef<'_, f32>,
    ) -> Result<bool, ShapeError> {
        let (width, way) = (self.width, self.output_way);
        let mut due = std::mem::take(&mut self.buffers.due);
        let mut rows = std::mem::take(&mut self.buffers.rows);
        let mut output = std::mem::take(&mut self.buffers.output);
        due.clear();
        due.extend((0..self.samples).filter(|&i| self.fresh || way >= self.sample_look[i]));
        rows.clear();
        due.iter().for_each(|&i| rows.extend_from_slice(&x.data()[i * width..][..width]));
        output.clear();
        output.resize(due.len(), 0.0);
        self.outputs(executor, network, MatRef::from_row_major(&rows, due.len(), width)?, &mut output)?;
        let mut turned = false;
        for (&i, &h) in due.iter().zip(&output) {
            let margin = 1.0 - self.y[i] * h;
            let sign = if margin >= 0.0 { self.y[i] as i8 } else { 0 };
            turned |= sign != self.signs[i];
            self.signs[i] = sign;
            self.sample_look[i] = way + f64::from(margin.abs() * self.reach[i] * KEPT - ROUNDING);
        }
        self.buffers.due = due;
        self.buffers.rows = rows;
        self.buffers.output = output;
        Ok(turned)
    }

    /// Signs and mask of all samples, plainly.
    fn signs_of_all(
        &mut self,
        executor: Executor,
        network: &Network<f32>,
        x: MatRef<'_, f32>,
    ) -> Result<(), ShapeError> {
        let mut output = std::mem::take(&mut self.buffers.output);
        output.resize(self.samples, 0.0);
        self.outputs(executor, network, x, &mut output)?;
        std::mem::swap(&mut self.mask, &mut self.buffers.mask);
        for ((sign, &h), &y) in self.signs.iter_mut().zip(&output).zip(&self.y) {
            *sign = if y * h <= 1.0 { y as i8 } else { 0 };
        }
        self.buffers.output = output;
        Ok(())
    }

    /// G over the active samples.
    fn sum(&mut self, executor: Executor, x: MatRef<'_, f32>) -> Result<(), ShapeError> {
        let Buffers { g, workspace, .. } = &mut self.buffers;
        g.resize(self.g.len(), 0.0);
        let neurons = self.mask.neurons();
        executor.backward(x, &self.signs, &self.mask, MatMut::from_row_major(g, neurons, self.width)?, workspace)?;
        self.g.iter_mut().zip(g).for_each(|(sum, g)| *sum = f64::from(*g));
        Ok(())
    }
}

/// Computes the words of the mask that may have turned.
struct Look<'a> {
    /// Look at all of them.
    fresh: bool,
    width: usize,
    columns: &'a [f32],
    reach: &'a [f32],
    v: &'a [f32],
    way: &'a [f64],
    look: &'a mut [f64],
    words: &'a [u64],
    turned: &'a mut Vec<(usize, u64)>,
    looked: &'a mut usize,
}

impl Pass for Look<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { fresh, width, columns, reach, v, way, look, words, turned, looked } = self;
        let m = way.len();
        let blocks = columns.chunks_exact(width * BLOCK).zip(reach.chunks(BLOCK));
        for (block, (columns, reach)) in blocks.enumerate() {
            for k in 0..m {
                let at = block * m + k;
                if !fresh && way[k] < look[at] {
                    continue;
                }
                *looked += 1;
                let mut s = [0.0f32; BLOCK];
                for (column, &v) in columns.as_chunks::<BLOCK>().0.iter().zip(&v[k * width..][..width]) {
                    s.iter_mut().zip(column).for_each(|(s, &x)| *s += v * x);
                }
                let mut word = 0;
                let mut nearest = f32::INFINITY;
                for (i, (&s, &reach)) in s.iter().zip(reach).enumerate() {
                    word |= u64::from(s >= 0.0) << i;
                    nearest = nearest.min(s.abs() * reach);
                }
                look[at] = way[k] + f64::from(nearest * KEPT - ROUNDING);
                if word != words[at] {
                    turned.push((at, word));
                }
            }
        }
    }
}
