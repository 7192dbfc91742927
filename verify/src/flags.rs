//! Values of flags that several subcommands take.

/// A seed.
///
/// # Errors
/// Anything but a whole number that the settings can be saved with.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    // TOML's integers, in which the settings are saved, end at 2^63 - 1.
    let seed = text.parse().ok().filter(|&seed| i64::try_from(seed).is_ok());
    seed.ok_or_else(|| format!("must be a whole number from 0 to {}", i64::MAX))
}

/// A number of worker threads.
///
/// # Errors
/// Anything but a whole number that a machine may have.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok().filter(|threads| (1..=4096).contains(threads));
    threads.ok_or_else(|| "must be a whole number, at least 1 and at most 4096".to_owned())
}

/// The one of `names` that `wrong` is most like.
pub(crate) fn nearest<'a>(names: impl IntoIterator<Item = &'a str>, wrong: &str) -> Option<&'a str> {
    let similarity = |name: &&str| strsim::jaro_winkler(name, wrong);
    names.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
}
