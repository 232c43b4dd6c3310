//! Ranges of archives: `train-{000..099}.tar`.

use crate::error::{Error, Result};

/// The most names that a pattern may stand for.
const MAX_NAMES: usize = 1_000_000;

/// The names that a pattern stands for, in order: `{000..099}` is each number of the range, padded like its ends, and
/// `{a,b}` each word. Several braces are expanded from left to right, the last one fastest, as shells do.
///
/// # Errors
/// When a brace is not closed or holds neither, or when there would be more than a million names.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let parts = after.split_once('}').and_then(|(inside, after)| Some((alternatives(inside)?, after)));
        let Some((alternatives, after)) = parts else {
            let how = "write a range as {000..099} or words as {a,b}";
            return Err(Error::Usage(format!("the braces in {pattern} cannot be read: {how}")));
        };
        if names.len().saturating_mul(alternatives.len()) > MAX_NAMES {
            return Err(Error::Usage(format!("{pattern} stands for more than {MAX_NAMES} files")));
        }
        let longer = |name: &String| alternatives.iter().map(|a| format!("{name}{before}{a}")).collect::<Vec<_>>();
        names = names.iter().flat_map(longer).collect();
        rest = after;
    }
    Ok(names.into_iter().map(|name| name + rest).collect())
}

fn alternatives(inside: &str) -> Option<Vec<String>> {
    let Some((first, last)) = inside.split_once("..") else {
        return inside.contains(',').then(|| inside.split(',').map(str::to_owned).collect());
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (from, to): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    if !digits(first) || !digits(last) || from > to {
        return None;
    }
    let padded = [first, last].iter().any(|text| text.len() > 1 && text.starts_with('0'));
    let width = if padded { first.len().max(last.len()) } else { 0 };
    // One name too many is enough to be refused.
    Some((from..=to).take(MAX_NAMES + 1).map(|number| format!("{number:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_words_are_expanded_in_order() {
        assert_eq!(expand("a.tar").unwrap(), ["a.tar"]);
        assert_eq!(expand("s-{08..11}.tar").unwrap(), ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]);
        assert_eq!(expand("{9..10}").unwrap(), ["9", "10"]);
        assert_eq!(expand("{a,b}/{0..1}.tar").unwrap(), ["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"]);
    }

    #[test]
    fn what_cannot_be_a_range_is_refused() {
        for pattern in ["{0..9", "{}", "{x}", "{9..0}", "{+1..2}", "{0..99999999}", "{0..2000}{0..2000}"] {
            assert!(matches!(expand(pattern), Err(Error::Usage(_))), "{pattern}");
        }
    }
}
