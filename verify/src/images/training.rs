//! Odd against even digits: a network trained on images with a border, and what it made of the border.

use feature_contamination::Executor;
use feature_contamination::mlp::{
    Activation, Architecture, Examples, Loss, Method, Network, Optimizer, Problem, TrainError, Training,
};
use feature_contamination::rng::{Stream, derive};
use feature_contamination_kernels::{MatMut, MatRef, ShapeError, Workspace};
use serde::Serialize;

use super::border::{BORDER, Border, PIXELS, inside};
use super::digits::Digits;
use crate::studies::{Cost, Observed, TaskError};

/// Images to train on, the first half of a random order; the others are held out.
pub const TRAINED_ON: usize = 898;
/// Held-out images that a run hands out as it saw them.
const EXAMPLES: usize = 7;
/// Tints that trained networks are looked at under, one for all images.
pub const LEVELS: [f64; 15] = [-0.7, -0.6, -0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
/// The early phase ends when the mean hinge loss of the training images, 1 at the start, falls below this.
pub const EARLY_RISK: f64 = 0.5;

/// A network of two layers, its output weights ±1/neurons and frozen, trained on the hinge loss by SGD with momentum, all
/// training images at every step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spec {
    /// Decides the order of the images, the borders and the start.
    pub seed: u64,
    /// Border to train on.
    pub border: Border,
    /// Border to test on besides.
    pub shifted: Border,
    /// Activation of the neurons.
    pub activation: Activation,
    /// Number of neurons, m.
    pub neurons: usize,
    /// Steps.
    pub steps: u64,
    /// Step size η.
    pub learning_rate: f64,
    /// Momentum.
    pub momentum: f64,
}

impl Spec {
    /// What a run takes: three products a step at most, fewer once most neurons and images keep their side.
    pub fn cost(&self) -> Cost {
        let product = 2.0 * (TRAINED_ON * PIXELS * self.neurons) as f64;
        let images = 4 * 1797 * PIXELS;
        Cost { flops: 3.0 * product * self.steps as f64, bytes: (4 * (4 * images + TRAINED_ON * self.neurons)) as f64 }
    }
}

/// Images with their labels.
struct Set {
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Set {
    /// The images `indices` in borders; `draw` tells apart the sets that an image is in.
    fn new(digits: &Digits, indices: &[usize], border: Border, seed: u64, draw: u64) -> Self {
        let mut x = Vec::with_capacity(indices.len() * PIXELS);
        indices.iter().for_each(|&index| border.frame(digits.image(index), seed, draw, index, &mut x));
        Self { x, y: indices.iter().map(|&index| digits.label(index)).collect() }
    }
}

/// Indices of the images to train on and of those held out: the order is a random one that the seed decides.
pub fn split(images: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..images).collect();
    order.sort_by_key(|&index| derive(seed, &[Stream::ImageOrder as u64, index as u64]));
    let held_out = order.split_off(TRAINED_ON.min(images));
    (order, held_out)
}

/// What a network says of a set: every neuron's firing, and every output.
struct Look {
    /// 1\[s_ik > 0\], \[images × neurons\].
    fires: Vec<bool>,
    /// h_i.
    output: Vec<f32>,
}

impl Look {
    fn at(executor: Executor, network: &Network<f32>, x: &[f32]) -> Result<Self, ShapeError> {
        let (first, output_layer) = (&network.layers[0], &network.layers[1]);
        let (n, m) = (x.len() / first.inputs, first.outputs());
        let mut s = vec![0.0; n * m];
        let weight = MatRef::from_row_major(&first.weight, m, first.inputs)?;
        executor.gemm(
            1.0,
            MatRef::from_row_major(x, n, first.inputs)?,
            weight.t(),
            0.0,
            MatMut::from_row_major(&mut s, n, m)?,
            &mut Workspace::new(),
        )?;
        let linear = network.activation == Activation::Identity;
        let output = s
            .chunks_exact(m)
            .map(|s| s.iter().zip(&output_layer.weight).map(|(&s, a)| if linear { s } else { s.max(0.0) } * a).sum());
        Ok(Self { output: output.collect(), fires: s.iter().map(|&s| linear || s > 0.0).collect() })
    }

    /// Accuracy and mean hinge loss.
    fn accuracy_and_risk(&self, y: &[f32]) -> (f64, f64) {
        let n = y.len() as f64;
        let right = self.output.iter().zip(y).filter(|&(h, y)| h * y > 0.0).count() as f64;
        let loss: f64 = self.output.iter().zip(y).map(|(&h, &y)| f64::from(Loss::Hinge.value(h, y))).sum();
        (right / n, loss / n)
    }

    /// (1/N) Σ_i y_i α_k 1[s_ik > 0] 1[y_i h_i ≤ 1]: how much more often each neuron's own class pushes it than the other.
    fn asymmetry(&self, y: &[f32], signs: &[f32]) -> Vec<f64> {
        let mut sums = vec![0.0; signs.len()];
        for ((fires, &h), &y) in self.fires.chunks_exact(signs.len()).zip(&self.output).zip(y) {
            if y * h <= 1.0 {
                let fired = sums.iter_mut().zip(fires).zip(signs).filter(|((_, fires), _)| **fires);
                fired.for_each(|((sum, _), sign)| *sum += f64::from(y * sign));
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= y.len() as f64);
        sums
    }

    /// p_own and p_oth of every neuron.
    fn frequencies(&self, y: &[f32], signs: &[f32]) -> [Vec<f64>; 2] {
        [1.0, -1.0].map(|side| {
            let of = |(k, &sign): (usize, &f32)| {
                let class = || y.iter().zip(self.fires.chunks_exact(signs.len())).filter(|(y, _)| **y * sign == side);
                class().filter(|(_, fires)| fires[k]).count() as f64 / class().count() as f64
            };
            signs.iter().enumerate().map(of).collect()
        })
    }
}

/// How each neuron has moved since the start: along the tint's direction (the mean of the border's pixels, times √80), and
/// on the image within, as a length.
fn movement(network: &Network<f32>, start: &[f32]) -> [Vec<f64>; 2] {
    let weight = &network.layers[0].weight;
    let of = |(w, start): (&[f32], &[f32])| {
        let (mut along, mut core) = (0.0, 0.0);
        for (pixel, (w, start)) in w.iter().zip(start).enumerate() {
            let change = f64::from(w - start);
            match inside(pixel) {
                Some(_) => core += change * change,
                None => along += change,
            }
        }
        (along / (BORDER as f64).sqrt(), core.sqrt())
    };
    let (along, core) = weight.chunks_exact(PIXELS).zip(start.chunks_exact(PIXELS)).map(of).unzip();
    [along, core]
}

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// Trains and looks. Single numbers:
/// - `id.accuracy`, `id.risk`, `ood.accuracy`, `ood.risk`: on the held-out images, in the border of training and in the shifted
///   one; `train.accuracy`; `early.step`, at which the early phase ended.
///
/// Series, a number a neuron:
/// - `along`, `core`: how it moved from the start to the end, along the tint and on the image;
/// - `early.along`: along the tint in the early phase, and `early.asymmetry`, what eq. (7) makes of it but for the tint's mean:
///   SGD's own recursion with the gradient (1/m)·(1/N) Σ_i y_i α_k 1\[s_ik > 0\] 1\[y_i h_i ≤ 1\] for a feature that is 1;
/// - `sign` α_k, `own` p_own and `oth` p_oth on the held-out images in the border of training.
///
/// Others: `examples.id`, `examples.ood`, \[7 × 144\], and `examples.digit`, some of the held-out images; `weights`
/// at the end and `early.weights` when the early phase ended, \[neurons × 144\]; `level.accuracy` and `level.risk` on the held-out images at each of [`LEVELS`].
///
/// # Errors
/// A setting that is none, or outputs that are not finite.
pub fn run(spec: &Spec, executor: Executor) -> Result<Observed, TaskError> {
    let digits = Digits::load()?;
    let (trained, held_out) = split(digits.len(), spec.seed);
    let train = Set::new(&digits, &trained, spec.border, spec.seed, 0);
    let [id, ood] = [spec.border, spec.shifted].map(|border| Set::new(&digits, &held_out, border, spec.seed, 1));

    let architecture = Architecture {
        inputs: PIXELS,
        hidden: spec.neurons,
        layers: 2,
        activation: spec.activation,
        bias: false,
        frozen_output: true,
    };
    let network = Network::<f32>::init(&architecture, spec.seed)?;
    let start = network.layers[0].weight.clone();
    let signs: Vec<f32> = network.layers[1].weight.iter().map(|a| a.signum()).collect();
    let optimizer = Optimizer {
        method: Method::Sgd { momentum: spec.momentum },
        learning_rate: spec.learning_rate,
        weight_decay: 0.0,
    };
    let [examples, test] = [&train, &id].map(|set| Examples { x: &set.x, y: &set.y });
    let problem = Problem { train: examples, test, dictionary: &[] };
    let mut training = Training::new(executor, network, problem, Loss::Hinge, optimizer)?;

    let mut observed = Observed::default();
    let mut predicted = Recursion { velocity: vec![0.0; spec.neurons], sum: vec![0.0; spec.neurons] };
    let mut early = true;
    for step in 0..spec.steps {
        if early {
            let look = Look::at(executor, training.network(), &train.x)?;
            if look.accuracy_and_risk(&train.y).1 < EARLY_RISK {
                early = false;
                observed.numbers.insert("early.step".into(), step as f64);
                observed.series.insert("early.along".into(), movement(training.network(), &start)[0].clone());
                observed.series.insert("early.asymmetry".into(), predicted.sum.clone());
                observed.series.insert("early.weights".into(), double(&training.network().layers[0].weight));
            } else {
                predicted.step(&look.asymmetry(&train.y, &signs), spec);
            }
        }
        training.advance()?;
    }

    let network = training.network();
    for (name, set) in [("train", &train), ("id", &id), ("ood", &ood)] {
        let look = Look::at(executor, network, &set.x)?;
        let (accuracy, risk) = look.accuracy_and_risk(&set.y);
        if !risk.is_finite() {
            return Err(TrainError::NonFinite { iteration: training.iteration() }.into());
        }
        observed.numbers.insert(format!("{name}.accuracy"), accuracy);
        observed.numbers.insert(format!("{name}.risk"), risk);
        if name == "id" {
            let [own, oth] = look.frequencies(&set.y, &signs);
            observed.series.extend([("own".to_owned(), own), ("oth".to_owned(), oth)]);
        }
    }
    let (mut accuracies, mut risks) = (Vec::new(), Vec::new());
    for level in LEVELS {
        let set = Set::new(&digits, &held_out, Border::Tint { low: level, high: level }, spec.seed, 1);
        let (accuracy, risk) = Look::at(executor, network, &set.x)?.accuracy_and_risk(&set.y);
        accuracies.push(accuracy);
        risks.push(risk);
    }
    let [along, core] = movement(network, &start);
    let shown = EXAMPLES.min(held_out.len());
    observed.series.extend(
        [
            ("examples.id", double(&id.x[..shown * PIXELS])),
            ("examples.ood", double(&ood.x[..shown * PIXELS])),
            ("examples.digit", held_out[..shown].iter().map(|&index| digits.digits[index].into()).collect()),
            ("along", along),
            ("core", core),
            ("sign", double(&signs)),
            ("weights", double(&network.layers[0].weight)),
            ("level.accuracy", accuracies),
            ("level.risk", risks),
        ]
        .map(|(name, values)| (name.to_owned(), values)),
    );
    Ok(observed)
}

/// v ← μ v + g, w ← w + η v, as SGD with momentum has it, for one number a neuron.
struct Recursion {
    velocity: Vec<f64>,
    sum: Vec<f64>,
}

impl Recursion {
    fn step(&mut self, asymmetry: &[f64], spec: &Spec) {
        for ((velocity, sum), asymmetry) in self.velocity.iter_mut().zip(&mut self.sum).zip(asymmetry) {
            *velocity = spec.momentum * *velocity + asymmetry / spec.neurons as f64;
            *sum += spec.learning_rate * *velocity;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(border: Border) -> Spec {
        Spec {
            seed: 5,
            border,
            shifted: Border::Tint { low: -0.7, high: 0.0 },
            activation: Activation::Relu,
            neurons: 6,
            steps: 30,
            learning_rate: 5.0,
            momentum: 0.8,
        }
    }

    #[test]
    fn the_split_is_one_and_the_seed_decides_it() {
        let (trained, held_out) = split(1797, 5);
        assert_eq!((trained.len(), held_out.len()), (TRAINED_ON, 899));
        let mut all = [trained.clone(), held_out].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1797).collect::<Vec<_>>());
        assert_eq!(split(1797, 5).0, trained);
        assert_ne!(split(1797, 6).0, trained);
    }

    /// Where the border is the same on all images, eq. (7) with the gates as they are is the whole gradient.
    #[test]
    fn on_a_constant_border_the_prediction_is_exact() {
        let observed = run(&spec(Border::Tint { low: 0.3, high: 0.3 }), Executor::detect().unwrap()).unwrap();
        assert!(observed.number("early.step") >= 2.0);
        let (along, asymmetry) = (observed.series("early.along"), observed.series("early.asymmetry"));
        assert_eq!(along.len(), 6);
        for (along, asymmetry) in along.iter().zip(asymmetry) {
            let predicted = 0.3 * (BORDER as f64).sqrt() * asymmetry;
            assert!((along - predicted).abs() < 1e-4 * (1.0 + predicted.abs()), "{along} and {predicted}");
        }
        assert!(along.iter().any(|along| along.abs() > 0.01));
    }

    #[test]
    fn without_a_border_no_weight_of_it_moves() {
        let observed = run(&spec(Border::None), Executor::detect().unwrap()).unwrap();
        assert!(observed.series("along").iter().all(|&along| along == 0.0));
        assert!(observed.series("core").iter().any(|&core| core > 0.1));
        // Tint 0 is no border.
        assert_eq!(observed.series("level.accuracy")[7], observed.number("id.accuracy"));
        assert_eq!(observed, run(&spec(Border::None), Executor::detect().unwrap()).unwrap());
    }

    /// What a run shows of itself, and judges itself by, are images that it was not trained on, in either border.
    #[test]
    fn networks_are_judged_on_images_that_were_held_out() {
        let spec = Spec { steps: 1, ..spec(Border::Tint { low: 0.0, high: 0.7 }) };
        let observed = run(&spec, Executor::detect().unwrap()).unwrap();
        let digits = Digits::load().unwrap();
        let (_, held_out) = split(digits.len(), spec.seed);
        for (name, sign) in [("examples.id", 1.0), ("examples.ood", -1.0)] {
            let images = observed.series(name).chunks_exact(PIXELS).zip(&held_out);
            assert_eq!(images.len(), EXAMPLES);
            for (at, (image, &index)) in images.enumerate() {
                assert_eq!(observed.series("examples.digit")[at], f64::from(digits.digits[index]));
                for (pixel, &input) in image.iter().enumerate() {
                    match inside(pixel) {
                        Some(place) => {
                            let expected = f64::from(digits.image(index)[place]) - 0.3;
                            assert!((input - expected).abs() < 1e-6, "{name} {at}: {input}, {expected}");
                        }
                        None => assert!((0.0..=0.7).contains(&(sign * input)), "{name} {at}: {input}"),
                    }
                }
            }
        }
    }

    /// Accuracy, loss and frequencies of a network of two neurons by hand.
    #[test]
    fn a_look_sees_what_a_plain_loop_sees() {
        let spec = spec(Border::Tint { low: 0.0, high: 0.7 });
        let digits = Digits::load().unwrap();
        let set = Set::new(&digits, &[0, 1, 2, 3, 4], spec.border, 1, 0);
        let network = Network::<f32>::init(
            &Architecture {
                inputs: PIXELS,
                hidden: 2,
                layers: 2,
                activation: Activation::Relu,
                bias: false,
                frozen_output: true,
            },
            3,
        )
        .unwrap();
        let look = Look::at(Executor::detect().unwrap(), &network, &set.x).unwrap();
        let (mut right, mut loss, mut asymmetry, mut fired) = (0.0, 0.0, [0.0; 2], [[0.0; 2]; 2]);
        for (x, &y) in set.x.chunks_exact(PIXELS).zip(&set.y) {
            let s: Vec<f32> = network.layers[0]
                .weight
                .chunks_exact(PIXELS)
                .map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum())
                .collect();
            let h = 0.5 * s[0].max(0.0) - 0.5 * s[1].max(0.0);
            right += f64::from(u8::from(y * h > 0.0)) / 5.0;
            loss += f64::from((1.0 - y * h).max(0.0)) / 5.0;
            for (k, sign) in [1.0, -1.0].into_iter().enumerate() {
                asymmetry[k] += if s[k] > 0.0 { f64::from(y * sign) / 5.0 } else { 0.0 };
                fired[usize::from(y != sign)][k] += f64::from(u8::from(s[k] > 0.0));
            }
        }
        let (accuracy, risk) = look.accuracy_and_risk(&set.y);
        assert!((accuracy - right).abs() < 1e-12 && (risk - loss).abs() < 1e-6);
        for (a, b) in look.asymmetry(&set.y, &[1.0, -1.0]).iter().zip(asymmetry) {
            assert!((a - b).abs() < 1e-12);
        }
        // Digits 0 to 4: two odd ones and three even ones.
        let [own, oth] = look.frequencies(&set.y, &[1.0, -1.0]);
        assert_eq!([own[0], oth[0]], [fired[0][0] / 2.0, fired[1][0] / 3.0]);
        assert_eq!([own[1], oth[1]], [fired[0][1] / 3.0, fired[1][1] / 2.0]);
    }
}
