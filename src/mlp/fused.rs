//! Forward and backward pass of two-layer networks whose activation is linear on either side of 0, by the fused kernels.
//!
//! With act(s) = c s + (1 − c) max(s, 0), and a bias as the weight of an input that is 1, h is the fused forward pass
//! plus one inner product. Backward, all gradients follow from G_k = Σ_i δ_i act′(s_ik) x_i: ∂L/∂v_k = a_k G_k, and,
//! since act(s) = act′(s) s, ∂L/∂a_k = Σ_i δ_i act′(s_ik) ⟨v_k, x_i⟩ = ⟨v_k, G_k⟩. G is the masked sum of rows δ_i x_i.
//!
//! A pre-activation of exactly 0 counts as active here and as inactive in [`Dense`](super::network::Dense); it comes up
//! by rounding alone.

use feature_contamination_kernels::{self as kernels, Executor, Mask, MatMut, MatRef, Pass, ShapeError, Workspace};

use super::network::{ColumnSums, Gradients, Linear, Network, dot, sum_as_pytorch};

/// The buffers of the two passes.
#[derive(Debug, Default)]
pub(super) struct Fused {
    /// v_k, the bias last, \[m × width\].
    v: Vec<f32>,
    mask: Mask,
    /// δ_i x_i where δ is more than a sign, \[N × width\].
    scaled: Vec<f32>,
    signs: Vec<i8>,
    /// G, \[m × width\].
    g: Vec<f32>,
    /// Σ_k a_k v_k forward, Σ_i δ_i x_i backward, \[width\].
    sum: Vec<f32>,
    column_sums: ColumnSums<f32>,
    workspace: Workspace,
}

impl Fused {
    /// The slope of the network's activation left of 0, if the fused passes are for it.
    pub(super) fn serves(network: &Network<f32>) -> Option<f32> {
        (network.layers.len() == 2).then(|| network.activation.left_slope()).flatten().map(|slope| slope as f32)
    }

    /// h_i of every row of `x`, \[N × width\], its last column 1 if the first layer has biases.
    pub(super) fn forward(
        &mut self,
        executor: Executor,
        network: &Network<f32>,
        left: f32,
        x: MatRef<'_, f32>,
        output: &mut [f32],
    ) -> Result<(), ShapeError> {
        let (first, last) = (&network.layers[0], &network.layers[1]);
        let (n, m, width) = (x.rows(), first.outputs(), x.cols());
        self.v.resize(m * width, 0.0);
        for (k, (v, w)) in self.v.chunks_exact_mut(width).zip(first.weight.chunks_exact(first.inputs)).enumerate() {
            v[..first.inputs].copy_from_slice(w);
            if let Some(bias) = &first.bias {
                v[first.inputs] = bias[k];
            }
        }
        let act = if left == 1.0 { kernels::Activation::Identity } else { kernels::Activation::Relu };
        let v = MatRef::from_row_major(&self.v, m, width)?;
        executor.forward(act, x, v, &last.weight, output, &mut self.mask, &mut self.workspace)?;
        if left != 0.0 && left != 1.0 {
            self.sum.clear();
            self.sum.resize(width, 0.0);
            for (v, &a) in self.v.chunks_exact(width).zip(&last.weight) {
                self.sum.iter_mut().zip(v).for_each(|(sum, v)| *sum += a * v);
            }
            // c ⟨Σ_k a_k v_k, x⟩ + (1 − c) Σ_k a_k max(s_k, 0).
            executor.gemm(
                left,
                x,
                MatRef::from_row_major(&self.sum, width, 1)?,
                1.0 - left,
                MatMut::from_row_major(output, n, 1)?,
                &mut self.workspace,
            )?;
        }
        if let Some(bias) = &last.bias {
            output.iter_mut().for_each(|h| *h += bias[0]);
        }
        Ok(())
    }

    /// The gradients Σ_i δ_i ∂h_i/∂θ after [`Fused::forward`] on the same `x`.
    pub(super) fn backward(
        &mut self,
        executor: Executor,
        network: &Network<f32>,
        left: f32,
        x: MatRef<'_, f32>,
        delta: &[f32],
        gradients: &mut Gradients<f32>,
    ) -> Result<(), ShapeError> {
        let (n, width, m) = (x.rows(), x.cols(), network.layers[0].outputs());
        self.g.resize(m * width, 0.0);
        // A hinge's δ are 0 and ±1/N: rows are added as they are, and those of δ = 0 left out.
        let unit = delta.iter().fold(0.0f32, |unit, d| unit.max(d.abs()));
        let signed = delta.iter().all(|d| *d == 0.0 || d.abs() == unit);
        self.signs.clear();
        let (rows, scale) = if signed {
            self.signs.extend(delta.iter().map(|&d| i8::from(d > 0.0) - i8::from(d < 0.0)));
            (x, unit)
        } else {
            self.signs.resize(n, 1);
            self.scaled.resize(n * width, 0.0);
            executor.run(Scale { rows: x.data(), width, by: delta, out: &mut self.scaled });
            (MatRef::from_row_major(&self.scaled, n, width)?, 1.0)
        };
        let g = MatMut::from_row_major(&mut self.g, m, width)?;
        executor.backward(rows, &self.signs, &self.mask, g, &mut self.workspace)?;
        let both_sides = left != 0.0 && left != 1.0;
        if both_sides {
            self.sum.clear();
            self.sum.resize(width, 0.0);
            for (row, &d) in x.data().chunks_exact(width).zip(delta) {
                self.sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += d * x);
            }
        }
        let (first, last) = gradients.split_at_mut(1);
        executor.run(Spread {
            g: &mut self.g,
            scale: if both_sides { (1.0 - left) * scale } else { scale },
            plus: if both_sides { Some((left, &self.sum)) } else { None },
            v: &self.v,
            a: &network.layers[1].weight,
            width,
            first: &mut first[0],
            last: (!network.frozen_output).then_some(&mut last[0]),
        });
        if signed && let Some(out) = &mut first[0].bias {
            let (words, signs) = (self.mask.words(), self.signs.as_slice());
            let (a, sums) = (network.layers[1].weight.as_slice(), &mut self.column_sums);
            executor.run(SignedBias { words, signs, unit, a, left, sums, out });
        }
        if !network.frozen_output
            && let Some(bias) = &mut last[0].bias
        {
            bias[0] = sum_as_pytorch(delta);
        }
        Ok(())
    }
}

/// out_i ← by_i rows_i.
struct Scale<'a> {
    rows: &'a [f32],
    width: usize,
    by: &'a [f32],
    out: &'a mut [f32],
}

impl Pass for Scale<'_> {
    #[inline(always)]
    fn run(self) {
        for ((out, row), &by) in
            self.out.chunks_exact_mut(self.width).zip(self.rows.chunks_exact(self.width)).zip(self.by)
        {
            out.iter_mut().zip(row).for_each(|(out, x)| *out = by * x);
        }
    }
}

/// G_k ← scale G_k + c · sum; ∂L/∂v_k = a_k G_k and ∂L/∂a_k = ⟨v_k, G_k⟩.
struct Spread<'a> {
    g: &'a mut [f32],
    scale: f32,
    plus: Option<(f32, &'a [f32])>,
    v: &'a [f32],
    a: &'a [f32],
    width: usize,
    first: &'a mut Linear<f32>,
    last: Option<&'a mut Linear<f32>>,
}

impl Pass for Spread<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { g, scale, plus, v, a, width, first, mut last } = self;
        let inputs = first.inputs;
        for (k, ((g, v), &a)) in g.chunks_exact_mut(width).zip(v.chunks_exact(width)).zip(a).enumerate() {
            g.iter_mut().for_each(|g| *g *= scale);
            if let Some((by, sum)) = plus {
                g.iter_mut().zip(sum).for_each(|(g, sum)| *g += by * sum);
            }
            if let Some(last) = &mut last {
                last.weight[k] = dot(v, g);
            }
            first.weight[k * inputs..][..inputs].iter_mut().zip(&*g).for_each(|(out, g)| *out = a * g);
            if let Some(bias) = &mut first.bias {
                bias[k] = a * g[inputs];
            }
        }
    }
}

/// Σ_i δ_i a_k act′(s_ik) of δ_i = ±unit or 0, rounded as PyTorch rounds it; see [`ColumnSums`]. G has the exact sums.
struct SignedBias<'a> {
    /// Of the mask, \[block\]\[neuron\].
    words: &'a [u64],
    signs: &'a [i8],
    unit: f32,
    a: &'a [f32],
    left: f32,
    sums: &'a mut ColumnSums<f32>,
    out: &'a mut [f32],
}

impl Pass for SignedBias<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { words, signs, unit, a, left, sums, out } = self;
        sums.begin(signs.len(), a.len());
        for (words, signs) in words.chunks_exact(a.len()).zip(signs.chunks(u64::BITS as usize)) {
            for (r, &sign) in signs.iter().enumerate() {
                let delta = f32::from(sign) * unit;
                let slope = |word: &u64| if word >> r & 1 == 1 { 1.0 } else { left };
                sums.add(words.iter().zip(a).map(|(word, a)| delta * a * slope(word)));
            }
        }
        sums.end(out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::{Architecture, Dense, zero_gradients};
    use super::super::{Activation, Labels, Toy};
    use super::*;

    fn double(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&x| x.into()).collect()
    }

    /// Both passes against dense products in double precision, on every instruction set. Elementwise bounds: γ times the
    /// sum of the terms' magnitudes, γ = ε (terms + 8).
    #[test]
    fn passes_are_the_dense_ones() {
        let (n, inputs, hidden) = (150, 9, 37);
        let toy = Toy::draw(Labels::Linear, n, 3, 2, inputs, 5).unwrap();
        let mut cases = 0;
        for executor in Executor::available() {
            for activation in [Activation::Relu, Activation::LeakyRelu, Activation::Identity] {
                for (bias, frozen_output) in [(false, false), (false, true), (true, false), (true, true)] {
                    let architecture = Architecture { inputs, hidden, layers: 2, activation, bias, frozen_output };
                    let network = Network::<f32>::init(&architecture, 3).unwrap();
                    let exact = Network {
                        layers: network
                            .layers
                            .iter()
                            .map(|layer| Linear {
                                inputs: layer.inputs,
                                weight: double(&layer.weight),
                                bias: layer.bias.as_deref().map(double),
                            })
                            .collect(),
                        activation,
                        frozen_output,
                    };
                    let width = inputs + usize::from(bias);
                    let rows = toy.train_x.chunks_exact(inputs);
                    let x: Vec<f32> = rows.flat_map(|x| x.iter().copied().chain(bias.then_some(1.0))).collect();
                    for signed in [false, true] {
                        let delta: Vec<f32> = (0..n)
                            .map(|i| match signed {
                                true => [0.25, -0.25, 0.0][i % 3],
                                false => ((i * 37) % 101) as f32 / 101.0 - 0.4,
                            })
                            .collect();
                        let left = Fused::serves(&network).unwrap();
                        let (mut fused, mut found, mut h) = (Fused::default(), zero_gradients(&network), vec![0.0; n]);
                        let view = MatRef::from_row_major(&x, n, width).unwrap();
                        fused.forward(executor, &network, left, view, &mut h).unwrap();
                        fused.backward(executor, &network, left, view, &delta, &mut found).unwrap();

                        let (mut dense, mut expected) = (Dense::new(), zero_gradients(&exact));
                        let (plain, mut plain_h) = (double(&toy.train_x), vec![0.0; n]);
                        let view = MatRef::from_row_major(&plain, n, inputs).unwrap();
                        dense.forward(executor, &exact, view, &mut plain_h).unwrap();
                        dense.backward(executor, &exact, view, &double(&delta), &mut expected).unwrap();

                        let gamma = f64::from(f32::EPSILON) * (n + hidden + width + 8) as f64;
                        let magnitude = |x: &[f32]| x.iter().map(|x| f64::from(x.abs())).sum::<f64>();
                        // |x| ≤ 1.5, |v| ≤ 1/3, |a| ≤ 1/√37 in this case.
                        let reach = 1.5 * width as f64 / 3.0;
                        let bound_h = gamma * (magnitude(&network.layers[1].weight) * reach + 1.0);
                        assert!(h.iter().zip(&plain_h).all(|(&h, e)| (f64::from(h) - e).abs() <= bound_h));
                        let bound = gamma * magnitude(&delta) * reach.max(1.5);
                        for (found, expected) in found.iter().zip(&expected) {
                            let found = found.weight.iter().chain(found.bias.iter().flatten());
                            let expected = expected.weight.iter().chain(expected.bias.iter().flatten());
                            for (&found, &expected) in found.zip(expected) {
                                let difference = (f64::from(found) - expected).abs();
                                assert!(difference <= bound, "{activation:?}: {found}, densely {expected}");
                            }
                        }
                        assert_eq!(found[1].weight.iter().all(|g| *g == 0.0), frozen_output);
                        cases += 1;
                    }
                }
            }
        }
        assert_eq!(cases, Executor::available().len() * 3 * 4 * 2);
    }
}
