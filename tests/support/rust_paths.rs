//! Finds the paths that a piece of Rust source names, well enough to check its layering.

/// One path, with `use` groups expanded: `use a::{b, c::d}` gives `a::b` and `a::c::d`. A macro's name ends in `!`.
#[derive(Debug, PartialEq, Eq)]
pub struct Use {
    pub path: Vec<String>,
    /// How many inline modules (`mod tests { … }`) it stands in.
    pub depth: usize,
}

/// Every path in the source, outside comments and literals.
pub fn uses(text: &str) -> Vec<Use> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    // For each open brace, whether it opened a module.
    let mut braces = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let depth = braces.iter().filter(|is_module| **is_module).count();
        match token.as_str() {
            "{" => braces.push(at >= 2 && tokens[at - 2] == "mod"),
            "}" => drop(braces.pop()),
            // A method call or a field is no path.
            "." if tokens.get(at + 1).is_some_and(|t| is_name(t)) => at += 1,
            t if is_name(t) || t == "::" => {
                let mut paths = Vec::new();
                at = read(&tokens, at, &[], &mut paths);
                found.extend(paths.into_iter().map(|path| Use { path, depth }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads the path that begins at `at`, after `prefix`, and gives the place of the token after it.
fn read(tokens: &[String], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    if token(at) == "::" {
        at += 1;
    }
    loop {
        if token(at) == "{" && !path.is_empty() {
            at += 1;
            while !matches!(token(at), "}" | "") {
                at = if is_name(token(at)) { read(tokens, at, &path, found) } else { at + 1 };
            }
            return at + 1;
        }
        if !is_name(token(at)) {
            break;
        }
        path.push(token(at).to_owned());
        at += 1;
        match token(at) {
            "::" => at += 1,
            "!" if token(at + 1) != "=" => {
                path.last_mut().unwrap().push('!');
                break;
            }
            _ => break,
        }
    }
    if !path.is_empty() {
        found.push(path);
    }
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Names, `::` and single marks. Comments, literals of text and the quotes of lifetimes are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_text(rest) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            let mut next = rest.chars().skip(1);
            match (next.next(), next.next()) {
                (Some('\\'), _) | (_, Some('\'')) => quoted(rest, '\''),
                _ => 1,
            }
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            // `r#name` is `name`; prefixes of texts are no names.
            if rest[..end] == *"r" && rest[end..].starts_with('#') {
                end + 1
            } else {
                if !rest[end..].starts_with('"') {
                    tokens.push(rest[..end].to_owned());
                }
                end
            }
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let (step, change) = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of `r"…"` or `r#"…"#`, with `b` or `c` before it or not, if the source goes on with one.
fn raw_text(text: &str) -> Option<usize> {
    let after = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let body = after.trim_start_matches('#');
    let end = format!("\"{}", &after[..after.len() - body.len()]);
    let close = body.strip_prefix('"')?.find(&end)?;
    Some(text.len() - body.len() + 1 + close + end.len())
}

/// The length of a literal in quotes, with escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}
