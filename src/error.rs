//! What a user can get wrong.

use std::fmt::Display;

/// A value that a run cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} = {value}: must be {expected}")]
pub struct SpecError {
    /// The field, as a user writes it.
    pub field: String,
    /// The value it had.
    pub value: String,
    /// What would be right.
    pub expected: String,
}

impl SpecError {
    /// An error in `field`.
    pub fn new(field: impl Into<String>, value: impl Display, expected: impl Into<String>) -> Self {
        let mut value = value.to_string();
        // 1e300 is more easily read than its 301 digits.
        if value.len() > 24
            && let Ok(number) = value.parse::<f64>()
        {
            value = format!("{number:e}");
        }
        Self { field: field.into(), value, expected: expected.into() }
    }
}
