//! Colour on a terminal, plain text elsewhere. `NO_COLOR` (<https://no-color.org>) and `TERM=dumb` mean plain.

use std::io::IsTerminal as _;

/// How to mark text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    colour: bool,
}

impl Paint {
    /// For what goes to stdout.
    pub(super) fn for_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: std::io::stdout().is_terminal() && !refused && !dumb,
        }
    }

    /// A headline.
    pub(super) fn strong(self, text: &str) -> String {
        self.sgr("1", text)
    }

    /// The answer one looks for.
    pub(super) fn good(self, text: &str) -> String {
        self.sgr("32", text)
    }

    /// An identifier, a command.
    pub(super) fn name(self, text: &str) -> String {
        self.sgr("36", text)
    }

    /// Something beside the point.
    pub(super) fn dim(self, text: &str) -> String {
        self.sgr("2", text)
    }

    fn sgr(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
