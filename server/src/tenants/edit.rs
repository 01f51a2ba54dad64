//! Changes to the table of tenants: a tenant added, or given another home. What else stands in the file, comments included,
//! stays. The new text is checked before it takes the old one's place, which it does at once.

use std::io::Write;
use std::path::{Path, PathBuf};

use store::Tenant;

use super::table::{Row, Table, TableError};
use crate::config::Config;

/// A change that can be made.
#[derive(Debug)]
pub struct Edit {
    path: PathBuf,
    text: String,
    /// The table as it will be.
    pub table: Table,
}

impl Edit {
    fn new(path: &Path, config: &Config, text: String) -> Result<Edit, TableError> {
        let table = Table::parse(&text, path, config)?;
        Ok(Edit { path: path.to_owned(), text, table })
    }

    /// Makes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(self) -> Result<Table, TableError> {
        replace(&self.path, &self.text)
            .map_err(|error| TableError::File { path: self.path, message: error.to_string() })?;
        Ok(self.table)
    }
}

/// Adds a tenant. The file is made if it is missing.
///
/// # Errors
/// The tenant is in the table, or the table would be refused.
pub fn add(path: &Path, config: &Config, tenant: &Tenant, row: &Row) -> Result<Edit, TableError> {
    let fault = |message: String| TableError::File { path: path.to_owned(), message };
    let mut text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(fault(error.to_string())),
    };
    if Table::parse(&text, path, config)?.tenants.contains_key(tenant) {
        return Err(TableError::Refused {
            path: path.to_owned(),
            place: format!("tenant {}", tenant.as_str()),
            message: "it is there already".to_owned(),
        });
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&format!("[tenants.{}]\n", tenant.as_str()));
    for line in home_lines(row).into_iter().chain(other_lines(row)) {
        text.push_str(&line);
        text.push('\n');
    }
    Edit::new(path, config, text)
}

/// Gives a tenant the tier, account, database and container of a row; the rest of what the table says of it stays.
///
/// # Errors
/// The tenant has no section of its own, or the table would be refused.
pub fn set_home(path: &Path, config: &Config, tenant: &Tenant, row: &Row) -> Result<Edit, TableError> {
    let fault = |message: String| TableError::File { path: path.to_owned(), message };
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let header = format!("[tenants.{}]", tenant.as_str());
    let Some(edited) = with_home(&text, &header, row) else {
        return Err(TableError::Refused {
            path: path.to_owned(),
            place: format!("tenant {}", tenant.as_str()),
            message: format!(
                "it has no section {header} of its own, so it cannot be changed by this command"
            ),
        });
    };
    Edit::new(path, config, edited)
}

/// The text with the section's home replaced; `None` if there is no such section.
fn with_home(text: &str, header: &str, row: &Row) -> Option<String> {
    const HOME: [&str; 4] = ["tier", "account", "database", "container"];
    let (mut out, mut inside, mut found) = (String::with_capacity(text.len() + 64), false, false);
    for line in text.lines() {
        let bare = line.split('#').next().unwrap_or_default().trim();
        if bare.starts_with('[') {
            inside = bare == header;
        }
        let key = bare.split('=').next().unwrap_or_default().trim();
        if inside && HOME.contains(&key) {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if inside && bare == header {
            found = true;
            for line in home_lines(row) {
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
    found.then_some(out)
}

fn home_lines(row: &Row) -> Vec<String> {
    let mut lines = vec![format!("tier = {}", quoted(row.tier.name()))];
    let parts = [("account", &row.account), ("database", &row.database), ("container", &row.container)];
    lines.extend(texts(&parts));
    lines
}

fn other_lines(row: &Row) -> Vec<String> {
    let mut lines = Vec::new();
    if !row.hosts.is_empty() {
        let hosts: Vec<String> = row.hosts.iter().map(|host| quoted(host)).collect();
        lines.push(format!("hosts = [{}]", hosts.join(", ")));
    }
    if !row.path {
        lines.push("path = false".to_owned());
    }
    lines.extend(texts(&[("base_url", &row.base_url), ("claim", &row.claim), ("data_key", &row.data_key)]));
    for (name, number) in [("ru_per_second", row.ru_per_second), ("ru_per_day", row.ru_per_day)] {
        lines.extend(number.map(|number| format!("{name} = {number}")));
    }
    lines
}

fn texts(parts: &[(&str, &Option<String>)]) -> Vec<String> {
    let line = |(name, text): &(&str, &Option<String>)| {
        text.as_ref().map(|text| format!("{name} = {}", quoted(text)))
    };
    parts.iter().filter_map(line).collect()
}

/// A TOML string. <https://toml.io/en/v1.0.0#string>
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Puts a text in a file's place, so that a reader finds the old one or the new one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenants::Tier;

    fn config() -> Config {
        crate::config::load(None, &[("VESTA_STORE".to_owned(), "cosmos".to_owned())], &[]).unwrap()
    }

    fn tenant(name: &str) -> Tenant {
        Tenant::new(name).unwrap()
    }

    #[test]
    fn added_and_moved() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenants.toml");
        let row = Row {
            hosts: vec!["a.example.org".into()],
            ru_per_second: Some(400),
            claim: Some("quo\"te".into()),
            ..Row::new(Tier::T1)
        };
        add(&path, &config(), &tenant("a"), &row).unwrap().write().unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "# kept").unwrap();
        add(&path, &config(), &tenant("b"), &Row::new(Tier::T2)).unwrap().write().unwrap();
        let moved = Row { database: Some("own".into()), ..Row::new(Tier::T2) };
        let table = set_home(&path, &config(), &tenant("a"), &moved).unwrap().write().unwrap();
        assert_eq!(table, Table::read(&path, &config()).unwrap());
        let text = "[tenants.a]\ntier = \"T2\"\ndatabase = \"own\"\nhosts = [\"a.example.org\"]\nclaim = \"quo\\\"te\"\nru_per_second = 400\n# kept\n\n[tenants.b]\ntier = \"T2\"\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn refused_and_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenants.toml");
        let text = "tenants.c = { tier = \"T2\" }\n[tenants.a]\n";
        std::fs::write(&path, text).unwrap();
        let message = |result: Result<Edit, TableError>| {
            let text = result.unwrap_err().to_string();
            text.replace(&path.display().to_string(), "FILE")
        };
        assert_eq!(
            message(add(&path, &config(), &tenant("a"), &Row::new(Tier::T1))),
            "the table of tenants FILE: tenant a: it is there already"
        );
        assert_eq!(
            message(add(&path, &config(), &tenant("d"), &Row::new(Tier::T3))),
            "the table of tenants FILE: tenant d: tier T3 has an account of its own; name it: account = \"..\""
        );
        assert_eq!(
            message(set_home(&path, &config(), &tenant("c"), &Row::new(Tier::T1))),
            "the table of tenants FILE: tenant c: it has no section [tenants.c] of its own, so it cannot be changed by this command"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
