//! The images: handwritten digits of 8 × 8 pixels.

use std::io::Read;

/// Pixels along an edge of an image.
pub const EDGE: usize = 8;

/// Optical Recognition of Handwritten Digits, the part that UCI calls the test set: E. Alpaydin and C. Kaynak (1998), CC BY
/// 4.0. A line an image, 64 pixels from 0 to 16 in rows and the digit.
const FILE: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// Why the images cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("digits.csv.gz: {0}")]
pub struct DigitsError(String);

/// Images with their digits.
#[derive(Clone, Debug, PartialEq)]
pub struct Digits {
    /// Pixels from 0 (paper) to 1 (ink), \[images × 64\].
    pub pixels: Vec<f32>,
    /// The digits, 0 to 9, \[images\].
    pub digits: Vec<u8>,
}

impl Digits {
    /// The 1797 images that the program carries.
    ///
    /// # Errors
    /// None, unless the program was built with another file.
    pub fn load() -> Result<Self, DigitsError> {
        let mut text = String::new();
        flate2::read::GzDecoder::new(FILE)
            .read_to_string(&mut text)
            .map_err(|error| DigitsError(format!("cannot be decompressed: {error}")))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, DigitsError> {
        let (mut pixels, mut digits) = (Vec::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let error = |expected: &str| DigitsError(format!("line {}: must have {expected}", index + 1));
            let numbers: Option<Vec<u8>> = line.split(',').map(|number| number.parse().ok()).collect();
            let numbers = numbers.ok_or_else(|| error("whole numbers with commas between them"))?;
            let Some((&digit, image)) = numbers.split_last().filter(|(_, image)| image.len() == EDGE * EDGE) else {
                return Err(error("64 pixels and a digit"));
            };
            if digit > 9 || image.iter().any(|&pixel| pixel > 16) {
                return Err(error("pixels from 0 to 16 and a digit from 0 to 9"));
            }
            pixels.extend(image.iter().map(|&pixel| f32::from(pixel) / 16.0));
            digits.push(digit);
        }
        Ok(Self { pixels, digits })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.digits.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.digits.is_empty()
    }

    /// The pixels of one image.
    pub fn image(&self, index: usize) -> &[f32] {
        &self.pixels[index * EDGE * EDGE..][..EDGE * EDGE]
    }

    /// +1 for an odd digit, −1 for an even one.
    pub fn label(&self, index: usize) -> f32 {
        if self.digits[index] % 2 == 1 { 1.0 } else { -1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_images_are_there() {
        let digits = Digits::load().unwrap();
        assert_eq!(digits.len(), 1797);
        // How often each digit comes up, as the data's description has it.
        let counts: Vec<usize> = (0..10).map(|d| digits.digits.iter().filter(|&&digit| digit == d).count()).collect();
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(digits.image(0)[..8], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0].map(|pixel| pixel / 16.0));
        assert_eq!((digits.label(0), digits.label(1)), (-1.0, 1.0));
        assert!(digits.pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_the_line() {
        let good = format!("{}7\n", "3,".repeat(64));
        assert_eq!(Digits::parse(&good).unwrap().digits, [7]);
        for (bad, expected) in [
            ("3,".repeat(63) + "7", "64 pixels"),
            ("3,".repeat(64) + "10", "0 to 9"),
            ("17,".repeat(64) + "1", "0 to 16"),
            ("x,".repeat(64) + "1", "whole numbers"),
        ] {
            let error = Digits::parse(&(good.clone() + &bad)).unwrap_err().to_string();
            assert!(error.contains("line 2") && error.contains(expected), "{error}");
        }
    }
}
