//! Readable tables. Pure.

use callhome_shared::logging::steers;

/// Longest cell, characters.
const MAX_CELL: usize = 60;

/// Columns padded to their widest cell, two spaces between them.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(&head)
        .chain(rows)
        .map(|row| row.iter().map(|cell| cut(&plain(cell), MAX_CELL)).collect())
        .collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| all.iter().filter_map(|row| row.get(column)).map(|c| width(c)).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut out = String::new();
    for row in &all {
        let mut line = String::new();
        for (cell, wide) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(wide.saturating_sub(width(cell)) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Without control and direction characters: device texts must not steer the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

/// [`plain`], line by line.
pub(super) fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max - 1).collect();
    short.push('…');
    short
}

/// Columns on a terminal: CJK letters and full-width forms take two.
fn width(text: &str) -> usize {
    let wide = |c: char| {
        matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}'
            | '\u{ffe0}'..='\u{ffe6}' | '\u{20000}'..='\u{3fffd}')
    };
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_harmless() {
        let rows = vec![
            vec!["T-1".to_owned(), "风扇 2".to_owned(), "new".to_owned()],
            vec!["T-22".to_owned(), "a\u{1b}[31m".to_owned(), "x".repeat(99)],
        ];
        let out = table(&["number", "what", "state"], &rows);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "number  what    state");
        assert_eq!(lines[1], "T-1     风扇 2  new");
        assert!(lines[2].starts_with("T-22    a [31m  xxx") && lines[2].ends_with('…'), "{out}");
        assert!(!out.contains('\u{1b}'));
    }
}
