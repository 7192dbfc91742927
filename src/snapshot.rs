//! The state of a training between two steps, as named arrays: what a checkpoint must hold.
//!
//! A training lists every array that a later step depends on, once, for saving and restoring alike. Data and random numbers
//! are none of it: they follow from the settings, and the streams are addressed by the step.

/// An array by value.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Counts, masks and flags.
    U64(Vec<u64>),
    /// Signs.
    I8(Vec<i8>),
}

impl Array {
    /// Number of entries.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::I8(values) => values.len(),
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest absolute value of its real numbers, 0 for none.
    pub fn max_abs(&self) -> f64 {
        match self {
            Self::F32(values) => values.iter().fold(0.0, |most, x| most.max(f64::from(x.abs()))),
            Self::F64(values) => values.iter().fold(0.0, |most, x| most.max(x.abs())),
            Self::U64(_) | Self::I8(_) => 0.0,
        }
    }

    /// Whether no entry is infinite or NaN.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::F32(values) => values.iter().all(|x| x.is_finite()),
            Self::F64(values) => values.iter().all(|x| x.is_finite()),
            Self::U64(_) | Self::I8(_) => true,
        }
    }
}

/// The state of a training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The arrays with their names, in the order of the training.
    pub arrays: Vec<(String, Array)>,
}

/// A snapshot that is not one of the training that should go on from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state has {found}, and this run needs {expected}")]
pub struct SnapshotError {
    /// What there is.
    pub found: String,
    /// What there must be.
    pub expected: String,
}

/// An array of a training, to be saved or restored.
#[derive(Debug)]
pub enum Field<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// Double precision.
    F64(&'a mut [f64]),
    /// Counts, masks and flags.
    U64(&'a mut [u64]),
    /// Signs.
    I8(&'a mut [i8]),
}

impl Field<'_> {
    fn take(&self) -> Array {
        match self {
            Self::F32(values) => Array::F32(values.to_vec()),
            Self::F64(values) => Array::F64(values.to_vec()),
            Self::U64(values) => Array::U64(values.to_vec()),
            Self::I8(values) => Array::I8(values.to_vec()),
        }
    }

    /// Copies `array` here; whether it has the type and the length.
    fn put(&mut self, array: &Array) -> bool {
        match (self, array) {
            (Self::F32(to), Array::F32(from)) if to.len() == from.len() => to.copy_from_slice(from),
            (Self::F64(to), Array::F64(from)) if to.len() == from.len() => to.copy_from_slice(from),
            (Self::U64(to), Array::U64(from)) if to.len() == from.len() => to.copy_from_slice(from),
            (Self::I8(to), Array::I8(from)) if to.len() == from.len() => to.copy_from_slice(from),
            _ => return false,
        }
        true
    }
}

/// What lists its arrays, always the same ones in the same order, names and lengths following from the settings alone.
pub(crate) trait Stateful {
    fn visit(&mut self, visit: &mut dyn FnMut(&str, Field<'_>));

    fn save(&mut self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.visit(&mut |name, field| snapshot.arrays.push((name.to_owned(), field.take())));
        snapshot
    }

    /// Takes a saved state over, all of it or, on an error, nothing.
    fn load(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        let own = self.save();
        let describe = |arrays: &[(String, Array)], at: usize| match arrays.get(at) {
            None => "no further array".to_owned(),
            Some((name, array)) => {
                let kind = match array {
                    Array::F32(_) => "f32",
                    Array::F64(_) => "f64",
                    Array::U64(_) => "u64",
                    Array::I8(_) => "i8",
                };
                let name: String = name.chars().take(40).collect();
                format!("array {name:?} of {} {kind}", array.len())
            }
        };
        let fits = |at: usize| match (own.arrays.get(at), snapshot.arrays.get(at)) {
            (Some((own, mine)), Some((name, array))) => {
                own == name
                    && mine.len() == array.len()
                    && std::mem::discriminant(mine) == std::mem::discriminant(array)
            }
            _ => false,
        };
        if let Some(at) = (0..own.arrays.len().max(snapshot.arrays.len())).find(|&at| !fits(at)) {
            return Err(SnapshotError { found: describe(&snapshot.arrays, at), expected: describe(&own.arrays, at) });
        }
        let mut arrays = snapshot.arrays.iter();
        self.visit(&mut |_, mut field| {
            let fitted = arrays.next().is_some_and(|(_, array)| field.put(array));
            debug_assert!(fitted);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkpoint with a number that is none would be what a run goes on from.
    #[test]
    fn numbers_that_are_none_are_seen_in_either_precision() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!Array::F64(vec![0.0, bad]).is_finite() && !Array::F32(vec![0.0, bad as f32]).is_finite());
        }
        for good in
            [Array::F32(vec![f32::MAX, -0.0]), Array::U64(vec![u64::MAX]), Array::I8(vec![-1]), Array::F64(vec![])]
        {
            assert!(good.is_finite(), "{good:?}");
        }
        assert_eq!(Array::F64(vec![1.0, -3.0]).max_abs(), 3.0);
        assert_eq!(Array::F32(vec![-2.0, 1.0]).max_abs(), 2.0);
    }
}
