//! Progress of long work on standard error: one line that changes on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Shows how far a piece of work is.
pub struct Progress {
    what: String,
    terminal: bool,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    shown: Option<Instant>,
    width: usize,
}

impl Progress {
    /// Work of a name (`Indexing`); nothing is shown before the first [`Progress::at`] a moment later.
    pub fn new(what: impl Into<String>) -> Progress {
        Progress {
            what: what.into(),
            terminal: std::io::stderr().is_terminal(),
            started: Instant::now(),
            state: Mutex::new(State { shown: None, width: 0 }),
        }
    }

    /// `done` of `total` units are done, which `text` says in words. A total of 0 is unknown.
    pub fn at(&self, done: u64, total: u64, text: &str) {
        let Ok(mut state) = self.state.lock() else { return };
        let pause = if self.terminal { Duration::from_millis(100) } else { Duration::from_secs(2) };
        let last = state.shown.unwrap_or(self.started);
        if last.elapsed() < pause {
            return;
        }
        state.shown = Some(Instant::now());
        let text = self.line(done, total, text);
        self.print(&mut state, &text, !self.terminal);
    }

    /// Shows a last line instead, and ends it.
    pub fn end(&self, text: &str) {
        let Ok(mut state) = self.state.lock() else { return };
        self.print(&mut state, text, true);
    }

    /// Shows a line that stays, above the progress.
    pub fn say(&self, text: &str) {
        let Ok(mut state) = self.state.lock() else { return };
        self.print(&mut state, text, true);
    }

    /// Takes the changing line away, if there is one.
    pub fn clear(&self) {
        let Ok(mut state) = self.state.lock() else { return };
        if self.terminal && state.width > 0 {
            self.print(&mut state, "", false);
            eprint!("\r");
        }
    }

    fn line(&self, done: u64, total: u64, text: &str) -> String {
        let Some(percent) = done.saturating_mul(100).checked_div(total).map(|percent| percent.min(100))
        else {
            return format!("{}: {text}", self.what);
        };
        if !self.terminal {
            return format!("{}: {percent}%, {text}", self.what);
        }
        let filled = usize::try_from(percent / 5).unwrap_or(0);
        format!("[{}{}] {percent}% {}: {text}", "=".repeat(filled), " ".repeat(20 - filled), self.what)
    }

    fn print(&self, state: &mut State, text: &str, stays: bool) {
        let mut err = std::io::stderr().lock();
        let width = text.chars().count();
        let padding = " ".repeat(state.width.saturating_sub(width));
        let (start, end) = match (self.terminal, stays) {
            (true, true) => ("\r", "\n"),
            (true, false) => ("\r", ""),
            (false, _) => ("", "\n"),
        };
        state.width = if stays { 0 } else { width };
        // Nobody can be told that standard error is gone.
        let _ = write!(err, "{start}{text}{padding}{end}").and_then(|()| err.flush());
    }
}
