//! Numbers of things, in words.

use std::fmt::Display;

/// `1 row`, `2 rows`, `0 classes`: the number with the noun as it asks for.
pub fn counted(n: impl Display, noun: &str) -> String {
    let n = n.to_string();
    if n == "1" {
        return format!("1 {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{n} {stem}ies"),
        _ if noun.ends_with(['s', 'x']) || noun.ends_with("ch") => format!("{n} {noun}es"),
        _ => format!("{n} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_all_else_plural() {
        assert_eq!(counted(1, "reject"), "1 reject");
        let plurals = [("text", "0 texts"), ("class", "0 classes"), ("entry", "0 entries"), ("day", "0 days")];
        for (noun, plural) in plurals {
            assert_eq!(counted(0, noun), plural);
        }
        assert_eq!(counted(1001_u64, "row"), "1001 rows");
    }
}
