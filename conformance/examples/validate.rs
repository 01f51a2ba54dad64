//! `validate FILE [PROFILE...]`: what is wrong with a resource, by the definitions embedded in the program and by the packages
//! (.tgz) that `PACKAGES` names, separated by colons.

use std::error::Error;
use std::path::Path;

use conformance::Definitions;
use conformance::validation::{Options, Validator};

fn main() -> Result<(), Box<dyn Error>> {
    let packages = std::env::var("PACKAGES").unwrap_or_default();
    let packages: Vec<&Path> = packages.split(':').filter(|it| !it.is_empty()).map(Path::new).collect();
    let validator = Validator::with_packages(Definitions::embedded()?.schema, &packages)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, profiles @ ..] = arguments.as_slice() else {
        return Err("usage: validate FILE [PROFILE...]".into());
    };
    let profiles: Vec<&str> = profiles.iter().map(String::as_str).collect();
    let options = Options { information: true, ..Options::default() };
    for issue in validator.validate_json(&std::fs::read(file)?, &profiles, &options) {
        let place = issue.expression.as_deref().unwrap_or("-");
        let (line, column) = issue.position.unwrap_or_default();
        println!(
            "{} {} {place} ({line}:{column}): {}",
            issue.severity.as_str(),
            issue.code.as_str(),
            issue.details
        );
    }
    Ok(())
}
