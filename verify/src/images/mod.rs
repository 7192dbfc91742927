//! Real images: handwritten digits with a border that has nothing to do with them, and networks trained on them.

pub mod border;
pub mod digits;
pub mod training;
