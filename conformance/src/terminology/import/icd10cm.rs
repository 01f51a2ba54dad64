//! ICD-10-CM, from the order file of CMS (`icd10cm-order-YYYY.txt`, described in its `icd10OrderFiles.pdf`): fixed columns,
//! an order number, the code without its dot, whether it can be billed, a short and a long description.

use std::io::BufRead;

use super::super::code_table::CodeTable;
use super::{ImportError, Lines, boolean_property, description, designation};

/// Reads the order file. `version` is the year it is for.
///
/// # Errors
/// The file cannot be read, or a line is not in the format.
pub fn icd10cm(order: impl BufRead, version: &str) -> Result<CodeTable, ImportError> {
    let url = "http://hl7.org/fhir/sid/icd-10-cm";
    let mut table = CodeTable::new(description(url, version, "ICD-10-CM", &[("billable", "boolean")]));
    let mut lines = Lines::new("order file", order);
    // Headings above the line at hand, without dots: a code stands below the longest of them that it starts with.
    let mut above: Vec<String> = Vec::new();
    while let Some(line) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        let column =
            |from: usize, to: usize| line.get(from..to.min(line.len())).map(str::trim).unwrap_or_default();
        let (code, flag) = (column(6, 14), column(14, 15));
        let is_code = (3..=7).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_code || !matches!(flag, "0" | "1") {
            return Err(
                lines.wrong("is not an order number, a code, a flag and descriptions in their columns")
            );
        }
        let (short, long) = (column(16, 77), column(77, usize::MAX));
        while above.last().is_some_and(|heading| !code.starts_with(heading.as_str())) {
            above.pop();
        }
        let concept = table.concept(&dotted(code))?;
        concept.display = Some(long.into());
        if short != long {
            concept.designations.push(designation("en", short));
        }
        concept.properties.push(boolean_property("billable", flag == "1"));
        concept.parents.extend(above.last().map(|heading| dotted(heading).into()));
        above.push(code.to_owned());
    }
    Ok(table)
}

/// A code as it is written in FHIR: `A00.1`.
fn dotted(code: &str) -> String {
    match code.split_at_checked(3) {
        Some((category, rest)) if !rest.is_empty() => format!("{category}.{rest}"),
        _ => code.to_owned(),
    }
}
