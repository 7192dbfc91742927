//! Images with a border: a background that is independent of the label, on pixels of its own.

use feature_contamination::rng::{Stream, derive};
use serde::Serialize;

use super::digits;

/// Width of the border, in pixels.
pub const WIDTH: usize = 2;
/// Pixels along an edge of an image with its border.
pub const EDGE: usize = digits::EDGE + 2 * WIDTH;
/// Pixels of an image with its border, the inputs of a network.
pub const PIXELS: usize = EDGE * EDGE;
/// Pixels of the border.
pub const BORDER: usize = PIXELS - digits::EDGE * digits::EDGE;
/// The brightness of the digits, from 0 (paper) to 1 (ink), that is an input of 0: their mean over all images, rounded.
pub const GREY: f64 = 0.3;
/// Full ink as an input, the darkest tint.
pub const INK: f64 = 1.0 - GREY;

/// The law of a border. Its pixels are inputs: 0 is the digits' mean grey, [`INK`] is black.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Border {
    /// 0 everywhere.
    None,
    /// One tint for the whole border, uniform on \[low, high\].
    Tint {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// Contrast c uniform on \[0, high\] times one of seven patterns of ±1: the solid one, stripes along rows, stripes along
    /// columns and a chessboard, the last three in either phase. What is missing is the solid one of the other sign.
    Diverse {
        /// Largest contrast.
        high: f64,
    },
}

impl Border {
    /// Mean of the tint, the average over the border's pixels.
    pub fn mean(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Tint { low, high } => f64::midpoint(low, high),
            // Six of the seven patterns cancel in pairs.
            Self::Diverse { high } => high / 2.0 / 7.0,
        }
    }

    /// The border turned round: −c for every c.
    pub fn mirrored(self) -> Self {
        match self {
            Self::Tint { low, high } => Self::Tint { low: 0.0 - high, high: 0.0 - low },
            other => other,
        }
    }

    /// Image `index` as it is framed under `seed`, appended to `inputs`; `draw` tells the sets apart that an image is in.
    pub fn frame(self, image: &[f32], seed: u64, draw: u64, index: usize, inputs: &mut Vec<f32>) {
        let variate = |which: u64| {
            let bits = derive(seed, &[Stream::ImageBorder as u64, draw, index as u64, which]);
            (bits >> 11) as f64 / (1u64 << 53) as f64
        };
        let (contrast, pattern) = match self {
            Self::None => (0.0, 0),
            Self::Tint { low, high } => (low + (high - low) * variate(0), 0),
            Self::Diverse { high } => (high * variate(0), (7.0 * variate(1)) as usize),
        };
        for pixel in 0..PIXELS {
            inputs.push(match inside(pixel) {
                Some(place) => image[place] - GREY as f32,
                None => (contrast * pattern_sign(pattern, pixel)) as f32,
            });
        }
    }
}

/// The place in the image without its border of a pixel; `None` for the border's.
pub fn inside(pixel: usize) -> Option<usize> {
    let inner = |at: usize| at.checked_sub(WIDTH).filter(|&at| at < digits::EDGE);
    Some(inner(pixel / EDGE)? * digits::EDGE + inner(pixel % EDGE)?)
}

/// ±1: pattern 0 is solid; 1 and 2 are stripes along rows, 3 and 4 along columns, 5 and 6 a chessboard, in either phase.
fn pattern_sign(pattern: usize, pixel: usize) -> f64 {
    let (row, column) = (pixel / EDGE, pixel % EDGE);
    let odd = match pattern {
        0 => 0,
        1 | 2 => row + pattern,
        3 | 4 => column + pattern,
        _ => row + column + pattern,
    };
    if odd % 2 == 0 { 1.0 } else { -1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(border: Border, index: usize) -> Vec<f32> {
        let mut inputs = Vec::new();
        border.frame(&[0.75; 64], 3, 0, index, &mut inputs);
        inputs
    }

    fn ring(inputs: &[f32]) -> Vec<f64> {
        (0..PIXELS).filter(|&pixel| inside(pixel).is_none()).map(|pixel| inputs[pixel].into()).collect()
    }

    #[test]
    fn the_border_surrounds_the_image() {
        let places: Vec<usize> = (0..PIXELS).filter_map(inside).collect();
        assert_eq!(places, (0..64).collect::<Vec<_>>());
        assert_eq!((inside(0), inside(EDGE * WIDTH + WIDTH), inside(PIXELS - 1)), (None, Some(0), None));
        let inputs = framed(Border::Tint { low: -0.5, high: -0.25 }, 0);
        assert_eq!((inputs.len(), ring(&inputs).len()), (PIXELS, BORDER));
        for (pixel, &input) in inputs.iter().enumerate() {
            match inside(pixel) {
                Some(_) => assert!((input - 0.45).abs() < 1e-6),
                None => assert!((-0.5..-0.25).contains(&input)),
            }
        }
        assert!(ring(&framed(Border::None, 0)).iter().all(|&input| input == 0.0));
    }

    #[test]
    fn borders_have_the_mean_that_they_say_and_differ_from_image_to_image() {
        for border in [Border::Tint { low: 0.0, high: 0.7 }, Border::Diverse { high: 0.7 }] {
            let means: Vec<f64> =
                (0..4000).map(|index| ring(&framed(border, index)).iter().sum::<f64>() / BORDER as f64).collect();
            let mean = means.iter().sum::<f64>() / 4000.0;
            // Standard deviations of at most 0.7/√12 an image: five standard errors.
            assert!((mean - border.mean()).abs() < 5.0 * 0.7 / (12.0f64 * 4000.0).sqrt(), "{border:?}: {mean}");
            assert_ne!(means[0], means[1]);
        }
        assert_eq!(Border::Tint { low: 0.0, high: 0.7 }.mirrored(), Border::Tint { low: -0.7, high: 0.0 });
    }

    /// No pattern of a diverse border is the solid one of the other sign, and the others are orthogonal to the solid one.
    #[test]
    fn patterns_but_the_first_have_no_tint() {
        for pattern in 0..7 {
            let sum: f64 = (0..PIXELS).filter(|&p| inside(p).is_none()).map(|p| pattern_sign(pattern, p)).sum();
            assert_eq!(sum, if pattern == 0 { BORDER as f64 } else { 0.0 }, "{pattern}");
        }
    }
}
