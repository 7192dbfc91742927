use crate::support::{Guarded, LAYOUTS, Layout, Random, Scalar, compare, compare_exactly, for_each_isa, gamma_in};
use feature_contamination_kernels::{Activation, Executor, Mask, MatRef, Workspace, reference};

/// Both passes on one problem against the reference: to rounding, or exactly on data whose sums are exact.
fn check<T: Scalar>(
    executor: Executor,
    (n, m, d0): (usize, usize, usize),
    (act, layout): (Activation, Layout),
    (mask, ws): (&mut Mask, &mut Workspace),
    random: &mut Random,
    exact: bool,
) -> usize {
    let entry = |random: &mut Random| if exact { random.integer() } else { random.real::<T>() };
    let x = Guarded::new(layout, n, d0, || entry(random));
    let v = Guarded::new(layout, m, d0, || entry(random));
    let a = Guarded::vector(m, || entry(random));
    let mut h = Guarded::vector(n, || T::NAN);
    executor.forward_dense(act, x.view(), v.view(), a.slice(), h.slice_mut(), mask, ws).unwrap();
    h.check_guards().unwrap();
    let describe = || format!("{} {act:?} {layout:?} N {n} m {m} d0 {d0}", executor.isa());

    let want = reference::forward(act, x.view(), v.view(), a.slice());
    let absolute = |matrix: &Guarded<T>| -> Vec<f64> { matrix.entries().iter().map(|&x| x.into().abs()).collect() };
    let (xs, vs, weights) = (absolute(&x), absolute(&v), absolute(&a));
    let mut magnitude = vec![0.0; n];
    for i in 0..n {
        for k in 0..m {
            let size: f64 = (0..d0).map(|j| xs[i * d0 + j] * vs[k * d0 + j]).sum();
            magnitude[i] += weights[k] * size;
            if exact || act == Activation::Identity || want.pre_activations[i * m + k].abs() > gamma_in::<T>(d0) * size
            {
                assert_eq!(mask.get(i, k), want.active[i * m + k], "{}: bit ({i}, {k})", describe());
            }
        }
    }
    let compared = match exact {
        true => compare_exactly(&h.entries(), &want.h),
        false => compare(&h.entries(), &want.h, &magnitude, gamma_in::<T>(d0 + m)),
    };
    compared.unwrap_or_else(|message| panic!("{}: h {message}", describe()));

    // Given these bits, whatever they are.
    let s: Vec<i8> = (0..n).map(|_| random.sign(70)).collect();
    let active: Vec<bool> = (0..n * m).map(|place| mask.get(place / m, place % m)).collect();
    let mut g = Guarded::new(layout, m, d0, || T::NAN);
    executor.backward_dense(x.view(), &s, mask, g.view_mut(), ws).unwrap();
    g.check_guards().unwrap();
    let want = reference::backward(x.view(), &s, &active, m);
    let compared = match exact {
        true => compare_exactly(&g.entries(), &want),
        false => {
            let signs: Vec<i8> = s.iter().map(|s| s.abs()).collect();
            let magnitude = reference::backward(MatRef::from_row_major(&xs, n, d0).unwrap(), &signs, &active, m);
            compare(&g.entries(), &want, &magnitude, gamma_in::<T>(n))
        }
    };
    compared.unwrap_or_else(|message| panic!("{}: G {message}", describe()));
    1
}

fn suite<T: Scalar>() {
    for_each_isa(|executor| {
        let (mut random, mut mask, mut ws, mut cases) = (Random(31), Mask::default(), Workspace::new(), 0);
        let scratch = &mut (&mut mask, &mut ws);
        for act in [Activation::Relu, Activation::Identity] {
            for layout in LAYOUTS {
                for exact in [true, false] {
                    for sizes in [
                        (1, 1, 1),
                        (63, 3, 5),
                        (64, 8, 16),
                        (65, 17, 7),
                        (255, 5, 3),
                        (256, 9, 4),
                        (257, 6, 33),
                        (600, 40, 20),
                        (0, 3, 2),
                        (3, 0, 2),
                        (70, 5, 0),
                        (0, 0, 0),
                    ] {
                        let scratch = (&mut *scratch.0, &mut *scratch.1);
                        cases += check::<T>(executor, sizes, (act, layout), scratch, &mut random, exact);
                    }
                }
            }
        }
        cases
    });
}

#[test]
fn single_precision() {
    suite::<f32>();
}

#[test]
fn double_precision() {
    suite::<f64>();
}

/// The fused passes compute what the dense ones do: the same bits on data whose sums are exact.
#[test]
fn fused_and_dense_agree() {
    for_each_isa(|executor| {
        let (mut random, mut ws) = (Random(32), Workspace::new());
        let (n, m, d0) = (300, 70, 19);
        let x = Guarded::<f32>::new(Layout::RowMajor, n, d0, || random.integer());
        let v = Guarded::<f32>::new(Layout::RowMajor, m, d0, || random.integer());
        let a = Guarded::<f32>::vector(m, || random.integer());
        let s: Vec<i8> = (0..n).map(|_| random.sign(70)).collect();
        let (mut fused, mut dense) = ((vec![0.0; n], Mask::default()), (vec![0.0; n], Mask::default()));
        let act = Activation::Relu;
        executor.forward(act, x.view(), v.view(), a.slice(), &mut fused.0, &mut fused.1, &mut ws).unwrap();
        executor.forward_dense(act, x.view(), v.view(), a.slice(), &mut dense.0, &mut dense.1, &mut ws).unwrap();
        assert!(fused == dense);
        let mut g = [(); 2].map(|()| Guarded::<f32>::new(Layout::RowMajor, m, d0, || 0.0));
        executor.backward(x.view(), &s, &fused.1, g[0].view_mut(), &mut ws).unwrap();
        executor.backward_dense(x.view(), &s, &fused.1, g[1].view_mut(), &mut ws).unwrap();
        assert_eq!(g[0].entries(), g[1].entries());
        1
    });
}
