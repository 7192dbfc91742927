//! Random shapes, strides and block sizes.

use crate::support::{Guarded, LAYOUTS, Layout, Random, Scalar, compare_exactly, for_each_isa};
use feature_contamination_kernels::{
    Activation, Blocking, Executor, Mask, MatMut, MatRef, Packing, Workspace, reference,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};

/// Three sizes, three layouts, block sizes and a seed for the data.
#[derive(Debug, Clone)]
struct Case {
    sizes: [usize; 3],
    layouts: [usize; 3],
    blocks: [usize; 6],
    seed: u64,
}

impl Arbitrary for Case {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut below = |bound: usize| usize::arbitrary(g) % bound;
        let sizes = [below(150), below(70), below(40)];
        let layouts = [below(5), below(5), below(5)];
        let blocks = [below(50), below(20), below(80), below(2000), below(8), below(20_000)];
        Self { sizes, layouts, blocks, seed: u64::arbitrary(g) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let case = self.clone();
        let smaller = (0..3).flat_map(move |i| {
            let case = case.clone();
            case.sizes[i].shrink().map(move |size| {
                let mut smaller = case.clone();
                smaller.sizes[i] = size;
                smaller
            })
        });
        Box::new(smaller)
    }
}

impl Case {
    fn layout(&self, i: usize) -> Layout {
        LAYOUTS[self.layouts[i]]
    }

    fn executor(&self, executor: Executor) -> Executor {
        let [gemm_mc, gemm_kc, gemm_nc, forward_v_bytes, backward_group, backward_sums_bytes] = self.blocks;
        executor.with_blocking(Blocking {
            gemm_mc,
            gemm_kc,
            gemm_nc,
            gemm_packing: [Packing::Measured, Packing::Blocks, Packing::Panels, Packing::Never]
                [(self.seed % 4) as usize],
            forward_v_bytes,
            backward_group,
            backward_sums_bytes,
            share_ns: executor.blocking().share_ns,
        })
    }
}

/// Checks `property` on each instruction set, and that it was tried.
fn check(property: fn(Executor, &Case) -> Result<(), String>) {
    for_each_isa(|executor| {
        const CASES: u64 = 300;
        for seed in 0..CASES {
            let case = Case::arbitrary(&mut Gen::from_size_and_seed(100, seed));
            if let Err(message) = property(case.executor(executor), &case) {
                panic!("{} {case:?}: {message}", executor.isa());
            }
        }
        CASES as usize
    });
}

#[test]
fn gemm_is_the_reference() {
    fn property<T: Scalar>(executor: Executor, case: &Case) -> Result<(), String> {
        let ([m, n, k], mut random) = (case.sizes, Random(case.seed));
        let a = Guarded::<T>::new(case.layout(0), m, k, || random.integer());
        let b = Guarded::new(case.layout(1), k, n, || random.integer());
        let mut c = Guarded::new(case.layout(2), m, n, || random.integer());
        let (alpha, beta) = (random.integer(), random.integer());
        let want = reference::gemm(alpha, a.view(), b.view(), beta, &c.entries());
        executor
            .gemm(alpha, a.view(), b.view(), beta, c.view_mut(), &mut Workspace::new())
            .map_err(|e| e.to_string())?;
        c.check_guards()?;
        compare_exactly(&c.entries(), &want)
    }
    check(property::<f32>);
    check(property::<f64>);
}

#[test]
fn passes_are_the_reference() {
    check(|executor, case| {
        let ([n, m, d0], mut random) = (case.sizes, Random(case.seed));
        let act = if random.below(4) == 0 { Activation::Identity } else { Activation::Relu };
        let x = Guarded::new(case.layout(0), n, d0, || random.integer());
        let v = Guarded::new(case.layout(1), m, d0, || random.integer());
        let a = Guarded::vector(m, || random.integer());
        let want = reference::forward(act, x.view(), v.view(), a.slice());
        let (mut h, mut mask, mut ws) = (Guarded::vector(n, || f32::NAN), Mask::default(), Workspace::new());
        executor
            .forward(act, x.view(), v.view(), a.slice(), h.slice_mut(), &mut mask, &mut ws)
            .map_err(|e| e.to_string())?;
        h.check_guards()?;
        compare_exactly(&h.entries(), &want.h)?;
        let mut expected = Mask::new(n, m);
        want.active.iter().enumerate().for_each(|(place, &bit)| expected.set(place / m, place % m, bit));
        if mask != expected {
            return Err("another mask".into());
        }

        let percent = [100, 80, 20][random.below(3)];
        let s: Vec<i8> = (0..n).map(|_| random.sign(percent)).collect();
        let mut g = Guarded::new(case.layout(2), m, d0, || f32::NAN);
        executor.backward(x.view(), &s, &mask, g.view_mut(), &mut ws).map_err(|e| e.to_string())?;
        g.check_guards()?;
        compare_exactly(&g.entries(), &reference::backward(x.view(), &s, &want.active, m))
    });
}

/// With the identity every bit is 1, and the backward pass is the product of s with x, once per neuron.
#[test]
fn identity_backward_is_a_product() {
    check(|executor, case| {
        let ([n, m, d0], mut random) = (case.sizes, Random(case.seed));
        let x = Guarded::new(case.layout(0), n, d0, || random.integer());
        let v = vec![1.0; m * d0];
        let v = MatRef::from_row_major(&v, m, d0).map_err(|e| e.to_string())?;
        let (mut h, mut mask, mut ws) = (vec![0.0; n], Mask::default(), Workspace::new());
        let forward = executor.forward(Activation::Identity, x.view(), v, &vec![1.0; m], &mut h, &mut mask, &mut ws);
        forward.map_err(|e| e.to_string())?;
        let s: Vec<i8> = (0..n).map(|_| random.sign(50)).collect();
        let (mut g, mut product) = (vec![0.0; m * d0], vec![0.0; m * d0]);
        let view = MatMut::from_row_major(&mut g, m, d0).map_err(|e| e.to_string())?;
        executor.backward(x.view(), &s, &mask, view, &mut ws).map_err(|e| e.to_string())?;
        let signs: Vec<f32> = s.iter().map(|&s| f32::from(s)).collect();
        let signs = MatRef::from_slice_with_strides(&signs, m, n, 0, 1).map_err(|e| e.to_string())?;
        let view = MatMut::from_row_major(&mut product, m, d0).map_err(|e| e.to_string())?;
        executor.gemm(1.0, signs, x.view(), 0.0, view, &mut ws).map_err(|e| e.to_string())?;
        if g == product { Ok(()) } else { Err("not the product".into()) }
    });
}

#[test]
fn counts_are_sums_of_bits() {
    fn property(case: Case) -> bool {
        let ([n, m, _], mut random) = (case.sizes, Random(case.seed));
        let mut mask = Mask::new(n, m);
        (0..n * m).for_each(|place| mask.set(place / m, place % m, random.next() & 1 == 1));
        let labels: Vec<u64> = (0..n.div_ceil(64)).map(|_| random.next()).collect();
        let mut counts = vec![u32::MAX; m];
        mask.active_counts(&labels, &mut counts).unwrap();
        let selected = |i: &usize| labels[i / 64] >> (i % 64) & 1 == 1;
        (0..m).all(|k| counts[k] as usize == (0..n).filter(selected).filter(|&i| mask.get(i, k)).count())
    }
    QuickCheck::new().quickcheck(property as fn(Case) -> bool);
}
