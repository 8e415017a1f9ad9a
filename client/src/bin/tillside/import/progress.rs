//! How far a file is: a bar on a terminal, a line every few seconds elsewhere. It only looks at the tally.

use super::tally::Tally;
use indicatif::{ProgressBar, ProgressStyle};
use std::{convert::Infallible, io::IsTerminal as _, sync::Arc, time::Duration};

const BAR_INTERVAL: Duration = Duration::from_millis(100);
const LINE_INTERVAL: Duration = Duration::from_secs(3);

/// Shows the progress until it is dropped.
pub(super) async fn show(tally: Arc<Tally>) -> Infallible {
    if std::io::stderr().is_terminal() {
        let bar = Bar(ProgressBar::new(tally.length_bytes));
        let style =
            ProgressStyle::with_template("{prefix:>20} {bar:32} {bytes}/{total_bytes} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.0.set_style(style);
        bar.0.set_prefix(tally.file.clone());
        loop {
            bar.0.set_position(tally.bytes().min(tally.length_bytes));
            bar.0
                .set_message(format!("{:.0} rows/s", tally.rows_per_second()));
            tokio::time::sleep(BAR_INTERVAL).await;
        }
    }
    loop {
        tokio::time::sleep(LINE_INTERVAL).await;
        let percent = (tally.bytes() * 100)
            .checked_div(tally.length_bytes)
            .unwrap_or(0);
        eprintln!(
            "{}: {percent} %, {} rows, {:.0} rows/s, {} rejected",
            tally.file,
            tally.rows(),
            tally.rows_per_second(),
            tally.rejected()
        );
    }
}

/// Leaves the terminal clean however the import ends; the summary says the rest.
struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
