//! `compile-package PACKAGE.tgz OUT`: compiles a FHIR package to what the server embeds: the table `OUT.jsonl`, what it
//! validates by, `OUT.profiles.jsonl`, its terminology, `OUT.terminology.jsonl`, and where it defines types, what it says of their
//! elements, `OUT.shorts.tsv`.

use std::error::Error;
use std::process::ExitCode;

use conformance::terminology::compile_terminology;
use conformance::validation::compile_structures;
use conformance::{Limits, compile_package, compile_shorts};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [package, out] = arguments.as_slice() else {
        eprintln!("usage: compile-package PACKAGE.tgz OUT");
        return ExitCode::from(2);
    };
    match compile(package, out) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{package}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compile(package: &str, out: &str) -> Result<String, Box<dyn Error>> {
    let table = compile_package(std::fs::File::open(package)?, &Limits::default())?;
    let text = table.write()?;
    std::fs::write(format!("{out}.jsonl"), &text)?;
    let structures = compile_structures(std::fs::File::open(package)?, &Limits::default())?;
    std::fs::write(format!("{out}.profiles.jsonl"), structures)?;
    let terminology = compile_terminology(std::fs::File::open(package)?, &Limits::default())?;
    std::fs::write(format!("{out}.terminology.jsonl"), &terminology)?;
    let shorts = compile_shorts(std::fs::File::open(package)?, &Limits::default())?;
    if !shorts.is_empty() {
        std::fs::write(format!("{out}.shorts.tsv"), shorts)?;
    }
    Ok(format!(
        "{} {}: {} types, {} search parameters, {} compartments, {} profiles, {} operations; {} bytes; terminology: {} \
         definitions, {} bytes",
        table.package.name,
        table.package.version,
        table.types.len(),
        table.search_parameters.len(),
        table.compartments.len(),
        table.profiles.len(),
        table.operations.len(),
        text.len(),
        terminology.lines().count(),
        terminology.len()
    ))
}
