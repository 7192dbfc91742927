//! The wish to stop: a run then writes a checkpoint and ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether runs should stop at the next step; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// 0, or the signal's number.
    by: Arc<AtomicUsize>,
    #[cfg(unix)]
    again: Arc<std::sync::atomic::AtomicBool>,
}

/// What [`Stop::set`] leaves for the number of a signal.
const BY_CALL: usize = usize::MAX;

impl Stop {
    /// Set by SIGINT, SIGTERM or SIGUSR1, which Slurm sends before a job's limit. A second SIGINT ends the program at once.
    ///
    /// # Errors
    /// The system takes no handler.
    #[cfg(unix)]
    pub fn on_signals() -> io::Result<Self> {
        use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
        let stop = Self::default();
        // Asked first, so that the first SIGINT finds nothing set.
        signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&stop.again))?;
        signal_hook::flag::register(SIGINT, Arc::clone(&stop.again))?;
        for signal in [SIGINT, SIGTERM, SIGUSR1] {
            signal_hook::flag::register_usize(signal, Arc::clone(&stop.by), signal as usize)?;
        }
        Ok(stop)
    }

    /// Where there are no such signals, never set.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn on_signals() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Asks runs to stop.
    pub fn set(&self) {
        self.by.store(BY_CALL, Ordering::Relaxed);
    }

    /// Whether runs should stop.
    pub fn is_set(&self) -> bool {
        self.by.load(Ordering::Relaxed) != 0
    }

    /// What asked for it, in words.
    pub fn cause(&self) -> &'static str {
        match self.by.load(Ordering::Relaxed) {
            #[cfg(unix)]
            by if by == signal_hook::consts::SIGINT as usize => "SIGINT",
            #[cfg(unix)]
            by if by == signal_hook::consts::SIGTERM as usize => "SIGTERM",
            #[cfg(unix)]
            by if by == signal_hook::consts::SIGUSR1 as usize => "SIGUSR1",
            _ => "a call",
        }
    }
}
