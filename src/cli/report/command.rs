//! The command that was given, for a shell.

/// This process's command line, after the settings of the environment that count as flags.
pub(in super::super) fn line() -> String {
    // Where engraft keeps its files is another matter on every machine.
    let settings = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("ENGRAFT_") && name != "ENGRAFT_HOME")?;
        Some(format!("{name}={}", quoted(&value.to_string_lossy())))
    });
    let mut settings: Vec<String> = settings.collect();
    settings.sort_unstable();
    let arguments = std::env::args_os().skip(1).map(|argument| quoted(&argument.to_string_lossy()));
    settings.into_iter().chain(["engraft".to_owned()]).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    match word {
        word if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        word => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_otherwise() {
        for (word, expected) in [
            ("--seed=3", "--seed=3"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(rm)", "'$(rm)'"),
            ("photos/*.jpg", "'photos/*.jpg'"),
            ("~", "'~'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
