//! Pages of lists. A token names the last element given, so a list that changes between pages neither repeats nor skips
//! what stayed.

use tillside_engine::limits::ID_BYTES_MAX;

use super::checks::{Checks, Path};

/// Elements of a page at most.
pub const PAGE_MAX: usize = 1000;
/// Elements of a page where the caller does not say.
pub const PAGE_DEFAULT: usize = 100;
const PREFIX: &str = "after:";

/// Which page is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Elements at most.
    pub size: usize,
    /// The last element of the page before.
    pub after: Option<String>,
}

/// Reads a page request.
pub fn page(checks: &mut Checks, size: i32, token: &str) -> Page {
    let root = Path::ROOT;
    let size = checks.number_or(root.field("page_size"), size, PAGE_DEFAULT, PAGE_MAX);
    if token.is_empty() {
        return Page { size, after: None };
    }
    let after = token
        .strip_prefix(PREFIX)
        .filter(|id| id.len() <= ID_BYTES_MAX);
    checks.require(
        after.is_some(),
        root.field("page_token"),
        "is not a next_page_token of this list; leave it out to start over",
    );
    Page {
        size,
        after: after.map(str::to_owned),
    }
}

/// The token of the page after `last`; empty where there is none.
pub fn token(last: Option<&str>) -> String {
    last.map_or_else(String::new, |id| format!("{PREFIX}{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_a_strange_one_is_refused() {
        let mut checks = Checks::default();
        let read = page(&mut checks, 0, &token(Some("007")));
        assert_eq!(
            read,
            Page {
                size: PAGE_DEFAULT,
                after: Some("007".into())
            }
        );
        assert!(checks.finish().is_ok());
        let mut checks = Checks::default();
        page(&mut checks, 1001, "x");
        assert_eq!(checks.finish().expect_err("two violations").0.len(), 2);
    }
}
