//! Where the figures come from, and how to have them again.

use maud::{Markup, html};

use super::chart::shorten;

pub(super) fn provenance(command: &str, facts: &[(String, String)]) -> Markup {
    html! {
        section #provenance {
            h2 { "Provenance" }
            p { "To repeat it:" }
            pre { code { (command) } }
            @if !facts.is_empty() {
                table { tbody { @for (name, value) in facts { tr { th { (name) } td .value { (shorten(value, 2000)) } } } } }
            }
        }
    }
}
