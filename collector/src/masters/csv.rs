//! CSV after RFC 4180, with the place of every cell.

/// Where something stands in a file: line and column in characters, both from 1.
pub type Place = (usize, usize);

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Where it begins.
    pub place: Place,
    /// Its text, without quotes.
    pub text: String,
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    place: Place,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.place =
            if c == '\n' { (self.place.0 + 1, 1) } else { (self.place.0, self.place.1 + 1) };
        Some(c)
    }

    fn ends(&mut self) -> bool {
        matches!(self.chars.peek(), None | Some(',' | '\n' | '\r'))
    }

    fn cell(&mut self) -> Result<Cell, (Place, &'static str)> {
        let place = self.place;
        let mut text = String::new();
        if self.chars.peek() != Some(&'"') {
            while !self.ends() {
                text.extend(self.next());
            }
            return Ok(Cell { place, text });
        }
        self.next();
        loop {
            match self.next() {
                None => return Err((place, "expected a closing quote, found the end of the file")),
                Some('"') if self.chars.peek() == Some(&'"') => text.extend(self.next()),
                Some('"') => break,
                Some(c) => text.push(c),
            }
        }
        if self.ends() {
            return Ok(Cell { place, text });
        }
        Err((self.place, "expected a comma or the line's end after the closing quote"))
    }
}

/// All rows; lines without anything are left out. More than `most` rows are refused.
pub fn rows(text: &str, most: usize) -> Result<Vec<Vec<Cell>>, (Place, String)> {
    let mut reader = Reader { chars: text.chars().peekable(), place: (1, 1) };
    let (mut all, mut row) = (Vec::new(), Vec::new());
    while reader.chars.peek().is_some() {
        row.push(reader.cell().map_err(|(place, why)| (place, why.to_owned()))?);
        if reader.chars.peek() == Some(&',') {
            reader.next();
            if reader.chars.peek().is_none() {
                row.push(Cell { place: reader.place, text: String::new() });
            }
            continue;
        }
        while reader.chars.peek() == Some(&'\r') {
            reader.next();
        }
        reader.next();
        let row = std::mem::take(&mut row);
        if row.iter().any(|cell| !cell.text.trim().is_empty()) {
            if all.len() == most {
                let place = row.first().map_or((1, 1), |cell| cell.place);
                return Err((place, format!("expected at most {most} rows")));
            }
            all.push(row);
        }
    }
    if row.iter().any(|cell| !cell.text.trim().is_empty()) {
        all.push(row);
    }
    Ok(all)
}

/// One line of CSV.
pub fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let quoted = cells.map(|cell| {
        let must = cell.contains([',', '"', '\n', '\r']) || cell.trim() != cell;
        if must { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
    });
    quoted.collect::<Vec<_>>().join(",") + "\r\n"
}
