//! The table of the document.

/// The rows of a table: a request, and the answer for each role in the order of the columns.
pub struct Table {
    /// The rows.
    pub rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Reads the table that follows a heading.
    pub fn read(heading: &str) -> Self {
        let document = include_str!("../../../docs/PERMISSIONS.md");
        let (_, section) = document.split_once(heading).expect(heading);
        let lines: Vec<Vec<String>> = section
            .lines()
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let cells = line.trim_matches('|').split('|');
                cells.map(|cell| cell.trim().replace('`', "")).collect()
            })
            .collect();
        let columns = ["anonymous", "stranger", "member", "admin", "self"];
        assert_eq!(lines[0][1..], columns, "the columns of {heading}");
        let rows = lines[2..].iter().map(|line| {
            assert_eq!(line.len(), 1 + columns.len(), "{line:?}");
            assert!(line.iter().all(|cell| !cell.is_empty()), "{line:?}");
            (line[0].clone(), line[1..].to_vec())
        });
        Self {
            rows: rows.collect(),
        }
    }

    /// The requests, row by row, without query strings.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let without_query = |name: &String| name.split('?').next().unwrap_or_default().to_owned();
        self.rows.iter().map(move |(name, _)| without_query(name))
    }

    /// How many cells there are.
    pub fn cells(&self) -> usize {
        self.rows.iter().map(|(_, cells)| cells.len()).sum()
    }
}
