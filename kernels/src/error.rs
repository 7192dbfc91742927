//! What callers can get wrong.

use crate::Isa;
use std::fmt;

/// An argument's name and shape, as an error message shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// The argument's name in the function's signature.
    pub name: &'static str,
    /// Rows of a matrix, or length of a vector.
    pub rows: usize,
    /// Columns of a matrix; `None` for a vector.
    pub cols: Option<usize>,
}

impl Operand {
    pub(crate) fn matrix(name: &'static str, rows: usize, cols: usize) -> Self {
        Self { name, rows, cols: Some(cols) }
    }

    pub(crate) fn vector(name: &'static str, len: usize) -> Self {
        Self { name, rows: len, cols: None }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cols {
            Some(cols) => write!(f, "{} is {} x {}", self.name, self.rows, cols),
            None => write!(f, "{} has length {}", self.name, self.rows),
        }
    }
}

/// Arguments that do not fit one another, or a value that an argument cannot take.
///
/// Nothing is written when a function returns one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Two arguments disagree.
    #[error("{operation}: {left}, but {right}: {rule}")]
    Mismatch {
        /// The function that was called.
        operation: &'static str,
        /// One of the two arguments.
        left: Operand,
        /// The other one.
        right: Operand,
        /// What has to hold.
        rule: &'static str,
    },
    /// A row-major matrix was asked for over a slice of another length.
    #[error("a row-major {rows} x {cols} matrix has {rows} * {cols} elements, but the slice has {len}")]
    Length {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Elements in the slice.
        len: usize,
    },
    /// Strides lead past the end of the slice (or past the range of `usize`).
    #[error(
        "a {rows} x {cols} matrix with strides ({row_stride}, {col_stride}) reaches past the end of its slice of {len}"
    )]
    OutOfBounds {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: usize,
        /// Elements from one column to the next.
        col_stride: usize,
        /// Elements in the slice.
        len: usize,
    },
    /// Strides of a mutable matrix give two entries one place.
    #[error("strides ({row_stride}, {col_stride}) give two entries of a mutable {rows} x {cols} matrix the same place")]
    Aliasing {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: usize,
        /// Elements from one column to the next.
        col_stride: usize,
    },
    /// A sign outside {-1, 0, 1}.
    #[error("backward: s[{index}] is {value}, but must be -1, 0 or 1")]
    Sign {
        /// Position in `s`.
        index: usize,
        /// What stands there.
        value: i8,
    },
}

/// An instruction set that was asked for and is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IsaError {
    /// The name is none of an [`Isa`]'s.
    #[error("unknown instruction set \"{name}\"; known are portable, avx2, avx512")]
    Unknown {
        /// The name as given.
        name: String,
    },
    /// This host does not run it.
    #[error("this host does not run {isa}; it runs {}", list(available))]
    Unavailable {
        /// What was asked for.
        isa: Isa,
        /// What the host runs, the best last.
        available: Vec<Isa>,
    },
    /// The environment variable `FC_ISA` asks for something this host does not run, or nobody knows.
    #[error("FC_ISA={value}: {reason}; this host runs {}", list(available))]
    Forced {
        /// The value of `FC_ISA`.
        value: String,
        /// Why it cannot be followed.
        reason: &'static str,
        /// What the host runs, the best last.
        available: Vec<Isa>,
    },
}

fn list(isas: &[Isa]) -> String {
    isas.iter().map(Isa::to_string).collect::<Vec<_>>().join(", ")
}
