//! Choices, and what was made out of them.

use std::slice::Iter;

/// Choices, one number each; when they run out the first choice is taken. Shorter is simpler.
pub struct Dice<'a> {
    numbers: Iter<'a, u32>,
    marks: Vec<String>,
    /// The links of the chain that is being made, `c` forward and `h` backward.
    links: String,
}

/// A query: its type if it has one, its compartment if any, and its parameters.
#[derive(Debug)]
pub struct Made {
    pub resource_type: Option<String>,
    pub compartment: Option<(String, String)>,
    pub parameters: Vec<(String, String)>,
}

impl<'a> Dice<'a> {
    pub fn new(numbers: &'a [u32]) -> Dice<'a> {
        Dice { numbers: numbers.iter(), marks: Vec::new(), links: String::new() }
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.numbers.next().map_or(0, |number| usize::try_from(*number).unwrap_or(0) % sides.max(1))
    }

    pub fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        let number = self.roll(all.len());
        all.get(number).expect("there is something to pick")
    }

    /// What `make` gives; what it marked is forgotten if that is nothing.
    pub fn attempt<T>(&mut self, make: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let marks = self.marks.len();
        let made = make(self);
        if made.is_none() {
            self.marks.truncate(marks);
        }
        made
    }

    /// Says that the query has something; whether behind a link of a chain is told apart.
    pub fn mark(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.marks.push(if self.links.is_empty() { what } else { format!("linked {what}") });
    }

    /// What `make` gives behind some links. A chain is marked by all its links.
    pub fn behind<T>(&mut self, links: &str, make: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.links.len();
        self.links.push_str(links);
        let made = make(self);
        self.links.truncate(before);
        made
    }

    /// Says that the chain ends here.
    pub fn mark_chain(&mut self) {
        if !self.links.is_empty() {
            self.marks.push(format!("chain {}", self.links));
        }
    }

    /// All that was marked.
    pub fn into_marks(self) -> Vec<String> {
        self.marks
    }
}
