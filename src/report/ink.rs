//! The colours. A chart names the light one; the style sheet replaces it by a variable, which is another in the dark.

use std::fmt::Write;

use plotters::style::RGBColor;

/// A colour on white, and its counterpart on black.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink {
    light: (u8, u8, u8),
    dark: (u8, u8, u8),
}

const fn ink(light: u32, dark: u32) -> Ink {
    const fn parts(c: u32) -> (u8, u8, u8) {
        ((c >> 16) as u8, (c >> 8) as u8, c as u8)
    }
    Ink { light: parts(light), dark: parts(dark) }
}

/// Text and axes.
pub(super) const TEXT: Ink = ink(0x1b_1f24, 0xe6_e8eb);
/// Text on a dark cell.
pub(super) const REVERSE: Ink = ink(0xff_fffe, 0x10_1418);
/// Lines that stay behind.
pub(super) const GRID: Ink = ink(0xd9_dde2, 0x3a_4048);
/// What is right.
pub(super) const RIGHT: Ink = ink(0x1f_6fd1, 0x66_a8f7);
/// What is wrong.
pub(super) const WRONG: Ink = ink(0xc2_3b22, 0xf5_8a70);
/// One for each class, where they are few.
pub(super) const CLASSES: [Ink; 10] = [
    ink(0x2a_78d6, 0x5a_a2f5),
    ink(0xd1_5a16, 0xff_9256),
    ink(0x1a_915c, 0x45_c98a),
    ink(0xb0_418f, 0xe0_7cc4),
    ink(0x8a_6d00, 0xd3_b13c),
    ink(0x6a_55c9, 0xa5_94f5),
    ink(0x0e_8494, 0x4f_c9d8),
    ink(0xc8_3a4a, 0xf2_7878),
    ink(0x6b_7280, 0xa3_abb8),
    ink(0x7a_4a21, 0xc4_9a6c),
];

impl Ink {
    /// As plotters takes it.
    pub(super) fn color(self) -> RGBColor {
        let (r, g, b) = self.light;
        RGBColor(r, g, b)
    }

    fn hex((r, g, b): (u8, u8, u8)) -> String {
        format!("#{r:02X}{g:02X}{b:02X}")
    }

    /// As a style sheet's value, for what is no chart.
    pub(super) fn variable(self) -> String {
        format!("var(--i{})", &Self::hex(self.light)[1..])
    }
}

/// The variables, and the rules by which charts use them.
pub(super) fn style_sheet() -> String {
    let all = [TEXT, REVERSE, GRID, RIGHT, WRONG].into_iter().chain(CLASSES);
    let (mut light, mut dark, mut rules) = (String::new(), String::new(), String::new());
    for ink in all {
        let hex = Ink::hex(ink.light);
        let _ = write!(light, "--i{}:{hex};", &hex[1..]);
        let _ = write!(dark, "--i{}:{};", &hex[1..], Ink::hex(ink.dark));
        for property in ["fill", "stroke"] {
            let _ = write!(rules, "svg [{property}=\"{hex}\"]{{{property}:{}}}", ink.variable());
        }
    }
    format!(":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{rules}")
}
