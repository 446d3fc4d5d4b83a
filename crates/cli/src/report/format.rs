//! Numbers and tables for people.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Bytes with three digits, in powers of 1000.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} bytes"),
        _ if value < 9.995 => format!("{value:.2} {}", UNITS[unit]),
        _ if value < 99.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// A time with a unit that suits it.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 0.0995 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 99.95 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

/// A count with a space between thousands.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// "1 call", "2 calls".
pub(crate) fn plural(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// Columns of running text.
const COLUMNS: usize = 100;

/// Running text in lines of at most 100 columns: `first` begins the first line, as many spaces the others.
pub(crate) fn wrapped(first: &str, text: &str) -> String {
    let margin = first.chars().count();
    let mut lines = first.to_owned();
    let mut column = margin;
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > margin && column + 1 + width > COLUMNS {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', margin));
            column = margin;
        } else if column > margin {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines
}

/// A plain table; the first column stands left, all others right.
pub(crate) fn table<R: fmt::Display>(header: &[&str], rows: impl IntoIterator<Item = Vec<R>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(ToString::to_string));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(2_284), "2.28 KB");
        assert_eq!(bytes(135_000), "135 KB");
        assert_eq!(bytes(999_999), "1.00 MB");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(count(999), "999");
        assert_eq!(seconds(0.0123), "12 ms");
        assert_eq!(seconds(2.34), "2.3 s");
        assert_eq!(plural(1, "call"), "1 call");
    }

    #[test]
    fn text_wraps_between_words() {
        let word = "x".repeat(49);
        let text = [word.as_str(); 3].join(" ");
        assert_eq!(wrapped("- ", &text), format!("- {word}\n  {word}\n  {word}"));
        let fits = "x".repeat(48);
        assert_eq!(wrapped("- ", &format!("{fits} {word} a")), format!("- {fits} {word}\n  a"));
        assert_eq!(wrapped("", &"y".repeat(200)), "y".repeat(200));
    }
}
