//! Networks of any depth: gradients against finite differences, training against a plain loop in double precision.

use feature_contamination::Executor;
use feature_contamination::mlp::{
    Activation, Architecture, Dense, Gradients, Labels, Linear, Loss, Method, Network, Online, Optimizer, Toy,
    Training, network::zero_gradients,
};
use feature_contamination_kernels::MatRef;

const METHODS: [Method; 4] =
    [Method::Sgd { momentum: 0.0 }, Method::Sgd { momentum: 0.9 }, Method::Adam, Method::AdamW];

/// Every architecture of these inputs and neurons.
fn architectures(inputs: usize, hidden: usize) -> Vec<Architecture> {
    let mut all = Vec::new();
    for activation in Activation::ALL {
        for layers in [2, 3] {
            for bias in [false, true] {
                for frozen_output in [false, true] {
                    all.push(Architecture { inputs, hidden, layers, activation, bias, frozen_output });
                }
            }
        }
    }
    all
}

fn outputs(network: &Network<f64>, dense: &mut Dense<f64>, x: &[f64], n: usize) -> Vec<f64> {
    let executor = Executor::detect().unwrap();
    let mut h = vec![0.0; n];
    let x = MatRef::from_row_major(x, n, network.layers[0].inputs).unwrap();
    dense.forward(executor, network, x, &mut h).unwrap();
    h
}

fn mean_loss(loss: Loss, h: &[f64], y: &[f64]) -> f64 {
    h.iter().zip(y).map(|(&h, &y)| loss.value(h, y)).sum::<f64>() / y.len() as f64
}

/// The gradient of the mean loss, and the outputs.
fn gradient(network: &Network<f64>, loss: Loss, x: &[f64], y: &[f64]) -> (Gradients<f64>, Vec<f64>) {
    let (mut dense, n) = (Dense::new(), y.len());
    let h = outputs(network, &mut dense, x, n);
    let delta: Vec<f64> = h.iter().zip(y).map(|(&h, &y)| loss.derivative(h, y) / n as f64).collect();
    let mut gradients = zero_gradients(network);
    let rows = MatRef::from_row_major(x, n, network.layers[0].inputs).unwrap();
    dense.backward(Executor::detect().unwrap(), network, rows, &delta, &mut gradients).unwrap();
    (gradients, h)
}

/// Weights and biases of the first `layers` layers, one after the other.
fn parameters<T>(layers: &mut [Linear<T>]) -> Vec<&mut T> {
    layers.iter_mut().flat_map(|layer| layer.weight.iter_mut().chain(layer.bias.iter_mut().flatten())).collect()
}

#[test]
fn every_gradient_is_that_of_finite_differences() {
    let (inputs, n, step) = (5, 9, 1e-6);
    let toy = Toy::draw(Labels::Sphere, n, 3, 2, inputs, 11).unwrap();
    let x: Vec<f64> = toy.train_x.iter().map(|&x| 3.0 * f64::from(x)).collect();
    let y: Vec<f64> = toy.y.iter().map(|&y| y.into()).collect();
    let mut checked = 0;
    for loss in Loss::ALL {
        for architecture in architectures(inputs, 4) {
            let mut network = Network::<f64>::init(&architecture, 5).unwrap();
            // Larger outputs than at the start, so that the hinge is inactive on some examples.
            for layer in &mut network.layers[1..] {
                layer.weight.iter_mut().for_each(|w| *w *= 3.0);
            }
            if architecture.frozen_output {
                network.layers.last_mut().unwrap().weight.iter_mut().for_each(|w| *w *= 4.0);
            }
            let (mut gradients, h) = gradient(&network, loss, &x, &y);
            if loss == Loss::Hinge && architecture.activation == Activation::Relu && architecture.layers == 2 {
                let active = h.iter().zip(&y).filter(|&(h, y)| h * y < 1.0).count();
                assert!(active > 0 && active < n, "{active} of {n} examples are active: {architecture:?}");
            }
            let trained = network.trained();
            let dense = &mut Dense::new();
            let count = parameters(&mut network.layers[..trained]).len();
            assert_eq!(count, parameters(&mut gradients[..trained]).len());
            for p in 0..count {
                let mut at = |change: f64| {
                    *parameters(&mut network.layers)[p] += change;
                    mean_loss(loss, &outputs(&network, dense, &x, n), &y)
                };
                let (above, below) = (at(step), at(-2.0 * step));
                at(step);
                let (measured, found) = ((above - below) / (2.0 * step), *parameters(&mut gradients)[p]);
                // Truncation is of order step²; a loss is rounded by some ε of its size.
                let rounding = 32.0 * f64::EPSILON * mean_loss(loss, &h, &y) / step;
                assert!(
                    (measured - found).abs() < 1e-9 * (1.0 + measured.abs()) + rounding,
                    "{loss:?}, {architecture:?}, parameter {p}: {found}, by differences {measured}"
                );
            }
            if architecture.frozen_output {
                assert!(parameters(&mut gradients[trained..]).iter().all(|g| **g == 0.0));
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 3 * 6 * 2 * 2 * 2);
}

/// Several outputs: the gradient of (1/N) Σ_i Σ_c ℓ(h_ic, r_ic), and one output's numbers where only one counts.
#[test]
fn gradients_of_several_outputs_are_those_of_finite_differences() {
    let executor = Executor::detect().unwrap();
    let (inputs, n, outputs, step) = (5, 9, 3, 1e-6);
    let toy = Toy::draw(Labels::Sphere, n, 3, 2, inputs, 11).unwrap();
    let x: Vec<f64> = toy.train_x.iter().map(|&x| 3.0 * f64::from(x)).collect();
    let rows = MatRef::from_row_major(&x, n, inputs).unwrap();
    // No target is an output's value, and none is ±1, where the hinge has its kink.
    let targets: Vec<f64> = (0..n * outputs).map(|i| ((i * 37) % 101) as f64 / 70.0 - 0.7).collect();
    let mut checked = 0;
    for loss in [Loss::Mse, Loss::Logistic] {
        for architecture in architectures(inputs, 4).into_iter().filter(|architecture| !architecture.frozen_output) {
            let mut network = Network::<f64>::init_to(&architecture, outputs, 5).unwrap();
            let mut dense = Dense::new();
            let mut loss_of = |network: &Network<f64>| {
                let mut h = vec![0.0; n * outputs];
                dense.forward(executor, network, rows, &mut h).unwrap();
                h.iter().zip(&targets).map(|(&h, &r)| loss.value(h, r)).sum::<f64>() / n as f64
            };
            let (mut passes, mut h) = (Dense::new(), vec![0.0; n * outputs]);
            passes.forward(executor, &network, rows, &mut h).unwrap();
            let delta: Vec<f64> = h.iter().zip(&targets).map(|(&h, &r)| loss.derivative(h, r) / n as f64).collect();
            let mut gradients = zero_gradients(&network);
            passes.backward(executor, &network, rows, &delta, &mut gradients).unwrap();
            let count = parameters(&mut network.layers).len();
            assert_eq!(count, parameters(&mut gradients).len());
            for p in 0..count {
                let mut at = |change: f64| {
                    *parameters(&mut network.layers)[p] += change;
                    loss_of(&network)
                };
                let (above, below) = (at(step), at(-2.0 * step));
                at(step);
                let (measured, found) = ((above - below) / (2.0 * step), *parameters(&mut gradients)[p]);
                let rounding = 32.0 * f64::EPSILON * loss_of(&network) / step;
                assert!(
                    (measured - found).abs() < 1e-9 * (1.0 + measured.abs()) + rounding,
                    "{loss:?}, {architecture:?}, parameter {p}: {found}, by differences {measured}"
                );
            }
            // Nothing comes back from outputs without δ: what is left is one output's gradient.
            let mut single = network.clone();
            let last = single.layers.last_mut().unwrap();
            last.weight.truncate(last.inputs);
            last.bias.iter_mut().for_each(|bias| bias.truncate(1));
            let first: Vec<f64> = delta.chunks(outputs).map(|d| d[0]).collect();
            let alone: Vec<f64> = first.iter().flat_map(|&d| [d, 0.0, 0.0]).collect();
            let (mut expected, mut found) = (zero_gradients(&single), zero_gradients(&network));
            let mut h = vec![0.0; n];
            passes.forward(executor, &single, rows, &mut h).unwrap();
            passes.backward(executor, &single, rows, &first, &mut expected).unwrap();
            let mut h = vec![0.0; n * outputs];
            passes.forward(executor, &network, rows, &mut h).unwrap();
            passes.backward(executor, &network, rows, &alone, &mut found).unwrap();
            let last = found.last_mut().unwrap();
            last.weight.truncate(last.inputs);
            last.bias.iter_mut().for_each(|bias| bias.truncate(1));
            for (a, b) in parameters(&mut expected).into_iter().zip(parameters(&mut found)) {
                assert!((*a - *b).abs() < 1e-14, "{architecture:?}: {a} and {b}");
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 2 * 6 * 2 * 2);
}

/// Steps on one and the same batch are those of [`Training`] on it.
#[test]
fn training_on_given_batches_is_training() {
    let executor = Executor::detect().unwrap();
    let toy = Toy::draw(Labels::Linear, 70, 3, 2, 12, 3).unwrap();
    for architecture in architectures(12, 10) {
        let network = Network::init(&architecture, 17).unwrap();
        let sgd = Optimizer { method: Method::Sgd { momentum: 0.9 }, learning_rate: 0.02, weight_decay: 0.01 };
        let expected = plain_losses(&network, Loss::Hinge, sgd, &toy, 25);
        let mut online = Online::new(executor, network, Loss::Hinge, sgd).unwrap();
        for (step, &expected) in expected.iter().enumerate() {
            let h = online.outputs(&toy.train_x).unwrap();
            let sum: f64 = h.iter().zip(&toy.y).map(|(&h, &y)| f64::from(Loss::Hinge.value(h, y))).sum();
            let found = sum / toy.y.len() as f64;
            assert!(
                (found - expected).abs() < 2e-5 * expected.max(0.1),
                "{architecture:?}, step {step}: {found}, {expected}"
            );
            online.step(&toy.train_x, &toy.y).unwrap();
        }
        assert!(online.step(&toy.train_x, &toy.y[1..]).unwrap_err().to_string().contains("targets"));
        assert!(online.outputs(&toy.train_x[1..]).unwrap_err().to_string().contains("12 inputs"));
    }
}

/// Steps towards several outputs, the loss summed over them and averaged over the examples, by plain gradients.
#[test]
fn steps_towards_several_outputs_are_plain_ones() {
    let executor = Executor::detect().unwrap();
    let (inputs, n, outputs, rate) = (12, 20, 3, 0.05);
    let toy = Toy::draw(Labels::Linear, n, 3, 2, inputs, 3).unwrap();
    let targets: Vec<f32> = (0..n * outputs).map(|i| ((i * 37) % 101) as f32 / 70.0 - 0.7).collect();
    let double = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| x.into()).collect() };
    let (x, r) = (double(&toy.train_x), double(&targets));
    let rows = MatRef::from_row_major(&x, n, inputs).unwrap();
    let architecture =
        Architecture { inputs, hidden: 10, layers: 2, activation: Activation::Relu, bias: true, frozen_output: false };
    let network = Network::<f32>::init_to(&architecture, outputs, 17).unwrap();
    let mut plain = Network::<f64>::init_to(&architecture, outputs, 17).unwrap();
    let sgd = Optimizer { method: Method::Sgd { momentum: 0.0 }, learning_rate: rate, weight_decay: 0.0 };
    let mut online = Online::new(executor, network, Loss::Mse, sgd).unwrap();
    for step in 0..10 {
        let (mut dense, mut h) = (Dense::new(), vec![0.0; n * outputs]);
        dense.forward(executor, &plain, rows, &mut h).unwrap();
        for (found, expected) in online.outputs(&toy.train_x).unwrap().iter().zip(&h) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "step {step}: {found}, plainly {expected}");
        }
        // 2 (h − r) / N, whatever the number of outputs.
        let delta: Vec<f64> = h.iter().zip(&r).map(|(h, r)| 2.0 * (h - r) / n as f64).collect();
        let mut gradients = zero_gradients(&plain);
        dense.backward(executor, &plain, rows, &delta, &mut gradients).unwrap();
        for (w, g) in parameters(&mut plain.layers).into_iter().zip(parameters(&mut gradients)) {
            *w -= rate * *g;
        }
        online.step(&toy.train_x, &targets).unwrap();
    }
}

/// Plain training in double precision: textbook formulas, one parameter at a time.
fn plain_losses(network: &Network<f32>, loss: Loss, optimizer: Optimizer, toy: &Toy, steps: i32) -> Vec<f64> {
    let double = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| x.into()).collect() };
    let layers = network.layers.iter().map(|layer| Linear {
        inputs: layer.inputs,
        weight: double(&layer.weight),
        bias: layer.bias.as_deref().map(double),
    });
    let mut network =
        Network { layers: layers.collect(), activation: network.activation, frozen_output: network.frozen_output };
    let (x, y) = (double(&toy.train_x), double(&toy.y));
    let trained = network.trained();
    let count = parameters(&mut network.layers[..trained]).len();
    let (mut first, mut second) = (vec![0.0; count], vec![0.0; count]);
    let Optimizer { method, learning_rate, weight_decay } = optimizer;
    let mut losses = Vec::new();
    for step in 1..=steps {
        let (mut gradients, h) = gradient(&network, loss, &x, &y);
        losses.push(mean_loss(loss, &h, &y));
        let gradients: Vec<f64> = parameters(&mut gradients[..trained]).into_iter().map(|g| *g).collect();
        for (p, w) in parameters(&mut network.layers[..trained]).into_iter().enumerate() {
            let (m, v) = (&mut first[p], &mut second[p]);
            match method {
                Method::Sgd { momentum } => {
                    *m = momentum * *m + gradients[p] + weight_decay * *w;
                    *w -= learning_rate * *m;
                }
                Method::Adam | Method::AdamW => {
                    let mut g = gradients[p];
                    match method {
                        Method::Adam => g += weight_decay * *w,
                        _ => *w *= 1.0 - learning_rate * weight_decay,
                    }
                    *m = 0.9 * *m + 0.1 * g;
                    *v = 0.999 * *v + 0.001 * g * g;
                    let (m, v) = (*m / (1.0 - 0.9f64.powi(step)), *v / (1.0 - 0.999f64.powi(step)));
                    *w -= learning_rate * m / (v.sqrt() + 1e-8);
                }
            }
        }
    }
    losses
}

#[test]
fn training_is_the_plain_loop_whatever_path_it_takes() {
    let executor = Executor::detect().unwrap();
    // More examples than a word of the mask has bits, and no multiple of a register.
    let mut toy = Toy::draw(Labels::Linear, 70, 3, 2, 24, 3).unwrap();
    // With as many of one label as of the other, hinge gradients of biases can be 0 but for rounding, and Adam makes full
    // steps of what rounding leaves.
    toy.y[60..].fill(1.0);
    let mut paths = std::collections::BTreeSet::new();
    for architecture in architectures(24, 10) {
        let network = Network::init(&architecture, 17).unwrap();
        for loss in Loss::ALL {
            for method in METHODS {
                let optimizer = Optimizer { method, learning_rate: 0.02, weight_decay: 0.01 };
                let expected = plain_losses(&network, loss, optimizer, &toy, 25);
                for dictionary in [toy.transform.as_slice(), &[]] {
                    let problem = feature_contamination::mlp::Problem { dictionary, ..toy.problem() };
                    let mut training = Training::new(executor, network.clone(), problem, loss, optimizer).unwrap();
                    paths.insert(training.path());
                    for (step, &expected) in expected.iter().enumerate() {
                        training.advance().unwrap();
                        let found = training.train_loss().unwrap();
                        // Adam turns a gradient that is 0 but for rounding into a step of full length; hence not 1e-6.
                        assert!(
                            (found - expected).abs() < 2e-5 * expected.abs().max(0.1),
                            "{architecture:?}, {loss:?}, {method:?}, step {step}: {found}, plainly {expected}"
                        );
                    }
                }
            }
        }
    }
    // Lazy, fused and dense; in latent coordinates and in ambient ones; fused with ambient weights over latent products.
    assert_eq!(paths.len(), 7, "{paths:?}");
}

/// The lazy passes through all that can happen to them: samples turn on and off, steps are short, then too long.
#[test]
fn laziness_changes_nothing() {
    let executor = Executor::detect().unwrap();
    let toy = Toy::draw(Labels::Linear, 150, 6, 6, 40, 9).unwrap();
    for bias in [false, true] {
        let activation = Activation::Relu;
        let architecture = Architecture { inputs: 40, hidden: 20, layers: 2, activation, bias, frozen_output: true };
        let network = Network::init(&architecture, 4).unwrap();
        for (learning_rate, steps) in [(0.02, 1500), (2.0, 150)] {
            let method = Method::Sgd { momentum: 0.9 };
            let optimizer = Optimizer { method, learning_rate, weight_decay: 0.001 };
            let expected = plain_losses(&network, Loss::Hinge, optimizer, &toy, steps);
            let mut training = Training::new(executor, network.clone(), toy.problem(), Loss::Hinge, optimizer).unwrap();
            assert!(training.path().starts_with("lazy"), "{}", training.path());
            for (step, &expected) in expected.iter().enumerate() {
                training.advance().unwrap();
                let found = training.train_loss().unwrap();
                assert!(
                    (found - expected).abs() < 1e-5,
                    "rate {learning_rate}, step {step}: {found}, plainly {expected}"
                );
            }
            assert!(learning_rate > 1.0 || expected[1499] < 0.5 * expected[0], "{expected:?}");
        }
    }
}

#[test]
fn initial_parameters_are_pytorchs() {
    let architecture = Architecture {
        inputs: 100,
        hidden: 40,
        layers: 3,
        activation: Activation::Relu,
        bias: true,
        frozen_output: true,
    };
    let network = Network::<f64>::init(&architecture, 1).unwrap();
    for layer in &network.layers[..2] {
        let bound = 1.0 / (layer.inputs as f64).sqrt();
        for values in [&layer.weight, layer.bias.as_ref().unwrap()] {
            assert!(values.iter().all(|w| w.abs() <= bound));
            let mean_square = values.iter().map(|w| w * w).sum::<f64>() / values.len() as f64;
            // Var(u²) = 4/45 bound⁴; five standard errors.
            let error = 5.0 * (4.0f64 / 45.0 / values.len() as f64).sqrt();
            assert!((mean_square / bound.powi(2) - 1.0 / 3.0).abs() < error, "{mean_square}");
        }
    }
    let output = &network.layers[2];
    assert!(
        output.weight[..20].iter().all(|&a| a == 1.0 / 40.0) && output.weight[20..].iter().all(|&a| a == -1.0 / 40.0)
    );
    assert!(output.bias.as_ref().unwrap()[0] != 0.0);
    assert_ne!(network, Network::init(&architecture, 2).unwrap());
    let wrong = Architecture { layers: 1, ..architecture };
    assert!(Network::<f32>::init(&wrong, 1).unwrap_err().to_string().contains("layers = 1"));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let executor = Executor::detect().unwrap();
    let toy = Toy::draw(Labels::Linear, 6, 2, 2, 8, 3).unwrap();
    let architecture = Architecture {
        inputs: 8,
        hidden: 4,
        layers: 2,
        activation: Activation::Relu,
        bias: true,
        frozen_output: false,
    };
    let network = Network::init(&architecture, 1).unwrap();
    let sgd = Optimizer { method: Method::Sgd { momentum: 0.9 }, learning_rate: 0.1, weight_decay: 0.0 };
    let fails = |network: &Network<f32>, toy: &Toy, optimizer: Optimizer| {
        Training::new(executor, network.clone(), toy.problem(), Loss::Hinge, optimizer).err().unwrap().to_string()
    };
    assert!(fails(&network, &toy, Optimizer { learning_rate: 0.0, ..sgd }).contains("learning_rate"));
    assert!(fails(&network, &toy, Optimizer { weight_decay: f64::NAN, ..sgd }).contains("weight_decay"));
    assert!(fails(&network, &toy, Optimizer { method: Method::Sgd { momentum: 1.0 }, ..sgd }).contains("momentum"));
    let mut short = toy.clone();
    short.train_x.pop();
    assert!(fails(&network, &short, sgd).contains("train"));
    let mut odd = toy.clone();
    odd.transform.pop();
    assert!(fails(&network, &odd, sgd).contains("dictionary"));
    let mut broken = network.clone();
    broken.layers[1].weight.pop();
    assert!(fails(&broken, &toy, sgd).contains("layers[1]"));
    let wild = Optimizer { learning_rate: 1e30, ..sgd };
    let mut training = Training::new(executor, network, toy.problem(), Loss::Mse, wild).unwrap();
    let error = (0..20).find_map(|_| training.advance().err()).unwrap().to_string();
    assert!(error.contains("iteration") && error.contains("learning_rate"), "{error}");
}
