//! Options that could have no effect on the inputs.

use std::path::PathBuf;

use super::input::Input;
use super::{Modality, Separator, SourceOptions};
use crate::error::{Error, Result};

/// Fails on an option that none of the inputs can follow: whoever gives it expects something else of them.
///
/// # Errors
/// [`Error::Usage`] with the option's name; when a folder cannot be read.
pub(super) fn check(inputs: &[(PathBuf, Input)], options: &SourceOptions) -> Result<()> {
    let any = |of: fn(&Input) -> bool| inputs.iter().any(|(_, input)| of(input));
    if options.separator == Separator::Nul && !any(|input| *input == Input::Stdin) {
        return Err(Error::Usage(
            "-0 has no effect: it tells how standard input is read, and no input is -".to_owned(),
        ));
    }
    let table = &options.table;
    let no_effect = |flag: &str, why: &str| Err(Error::Usage(format!("{flag} has no effect: {why}")));
    match options.modality {
        Modality::Image if table.text_column.is_some() => {
            return no_effect("--text-column", "the backbone reads images; their column is named by --path-column");
        }
        Modality::Text if table.path_column.is_some() => {
            return no_effect("--path-column", "the backbone reads texts; their column is named by --text-column");
        }
        Modality::Image | Modality::Text => {}
    }
    let given = [
        ("--text-column", &table.text_column),
        ("--path-column", &table.path_column),
        ("--label-column", &table.label_column),
        ("--id-column", &table.id_column),
    ];
    let Some((flag, _)) = given.into_iter().find(|(_, column)| column.is_some()) else { return Ok(()) };
    if table.path_column.is_some() && !any(|input| !matches!(input, Input::Archives(_))) {
        return no_effect("--path-column", "the images of archives are members, not paths");
    }
    for (path, input) in inputs {
        if input.has_columns(path)? {
            return Ok(());
        }
    }
    no_effect(flag, "no input has columns")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::TableOptions;
    use crate::source::table::Table;

    type Change = fn(&mut SourceOptions);

    fn refused(input: Input, modality: Modality, change: Change) -> Option<String> {
        let mut options = SourceOptions { table: TableOptions::default(), ..SourceOptions::new(modality) };
        change(&mut options);
        match check(&[(PathBuf::from("x"), input)], &options) {
            Err(Error::Usage(reason)) => Some(reason),
            other => other.map(|()| None).unwrap(),
        }
    }

    #[test]
    fn what_could_have_no_effect_is_refused_by_name() {
        use Modality::{Image, Text};
        let archives = || Input::Archives(Vec::new());
        let table = || Input::Table(Table::Csv);
        let flags: [(&str, Input, Modality, Change); 6] = [
            ("-0", table(), Text, |o| o.separator = Separator::Nul),
            ("--text-column", table(), Image, |o| o.table.text_column = Some("t".into())),
            ("--path-column", table(), Text, |o| o.table.path_column = Some("p".into())),
            ("--path-column", archives(), Image, |o| o.table.path_column = Some("p".into())),
            ("--label-column", Input::Stdin, Text, |o| o.table.label_column = Some("l".into())),
            ("--id-column", Input::Image, Image, |o| o.table.id_column = Some("i".into())),
        ];
        for (flag, input, modality, change) in flags {
            let reason = refused(input, modality, change).unwrap();
            assert!(reason.starts_with(flag), "{flag}: {reason}");
        }
        assert_eq!(refused(Input::Stdin, Text, |o| o.separator = Separator::Nul), None);
        assert_eq!(refused(table(), Image, |o| o.table.path_column = Some("p".into())), None);
        assert_eq!(refused(archives(), Text, |o| o.table.text_column = Some("t".into())), None);
        assert_eq!(refused(archives(), Image, |o| o.table.label_column = Some("l".into())), None);
        assert_eq!(refused(Input::Stdin, Text, |_| {}), None);
    }
}
